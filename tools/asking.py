"""A request to the running instance through its control socket, and its answer shown.

Exit codes: 0 done, 1 not done or not yet (the answer says which), 2 nobody to ask.
"""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from control.channel import NobodyAnswers, ask
from settings import Settings, load_raw, parse_settings
from shm.segment import SegmentError
from standing import pause_file
from tools.instance import instance_directory

_SPARE_S: Final = 5.0  # beyond what the supervisor itself waits


def configure_asking(parser: argparse.ArgumentParser, timeout_s: float) -> None:
    """The arguments of every command that asks."""
    parser.add_argument(
        "--timeout-s", type=float, default=timeout_s, help="how long to wait until it is done"
    )
    parser.add_argument("--json", action="store_true", help="print the whole answer")


def read_settings(arguments: argparse.Namespace) -> Settings:
    return parse_settings(load_raw(arguments.config), str(arguments.config))


def put(arguments: argparse.Namespace, settings: Settings, command: str, **fields: Any) -> dict[str, Any]:
    """Ask; the answer. Raises SegmentError where nobody runs or answers, saying what to do."""
    request = {"command": command, "timeout_s": arguments.timeout_s, **fields}
    try:
        return ask(instance_directory(settings), request, arguments.timeout_s + _SPARE_S)
    except NobodyAnswers:
        raise
    except SegmentError as error:
        raise SegmentError(
            f"{error}: start it, or give its configuration with --config. "
            f"To have it begin paused: touch {pause_file(settings)}"
        ) from error


def show(arguments: argparse.Namespace, answer: dict[str, Any]) -> int:
    """Print the answer; the exit code."""
    if arguments.json:
        print(json.dumps(answer))
    else:
        print(answer["summary"])
        for pair in answer.get("pairs", ()):
            print(_pair(pair))
    return 0 if answer["ok"] else 1


def _pair(pair: dict[str, Any]) -> str:
    held = "" if pair["size_base"] in (None, "0.00000000") else f" {pair['size_base']}"
    naked = "" if pair["naked_base"] in (None, "0.00000000") else f" NAKED {pair['naked_base']}"
    stopped = f"entries stopped: {pair['entries_stopped']}" if pair["entries_stopped"] else ""
    entries = stopped or ("entries allowed" if pair["entries_allowed"] else "no entries now")
    return f"  {pair['pair']:16} {pair['phase']}{held}{naked}  {entries}"
