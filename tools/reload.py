"""Have the running instance take up its configuration file anew, without a restart where that is possible.

The whole file is validated first; with anything wrong, nothing changes. Each key says when it changes:
``hot`` at once, ``when flat`` once the pair holds nothing, ``restart`` not before one. Exit code 1 when
nothing was changed, or not every process has applied it in time.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from tools.control_client import add_request_arguments, print_answer, send


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would change, and when")
    add_request_arguments(parser, 30.0)


def run(arguments: argparse.Namespace) -> int:
    answer = send(arguments, "reload", dry_run=arguments.dry_run)
    code = print_answer(arguments, answer)
    if not arguments.json:
        print(_report(answer), end="")
    return code


def _report(answer: dict[str, Any]) -> str:
    """A line per key, or per problem."""
    is_dry_run = answer.get("is_dry_run", False)
    at_once = "would change at once" if is_dry_run else "changed"
    lines = [
        f"  {item['key']}  {_text(item['old'])} → {_text(item['new'])}  {when}"
        for name, when in (
            ("changed", at_once),
            ("waiting", "would change when flat" if is_dry_run else "waits until flat"),
            ("restart", "needs a restart"),
        )
        for item in answer.get(name, ())
    ]
    for problem in answer.get("problems", ()):
        shown = f" is {problem['value']}" if problem["value"] else ""
        lines.append(f"  {problem['key'] or 'configuration'}{shown}: {problem['allowed']}")
    if answer["ok"] and not lines:
        lines.append("  the file says what is in force already")
    return "".join(f"{line}\n" for line in lines)


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
