"""Sends a command to the running instance through its control socket and prints the answer.

The instance is found by ``bot_id`` and ``runtime.memory_dir`` alone: a configuration that is being edited,
or is wrong elsewhere, must not keep an operator from pausing. Exit codes: 0 done, 1 not done or not yet (the
answer says which), 2 no instance answers.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from configuration.arguments import path_argument
from settings import PROJECT, PersistenceSettings, Problem, RuntimeSettings, SettingsError, load_raw
from shm.segment import SegmentError
from supervision.control.socket import ask

_SPARE_S: Final = 5.0  # beyond what the supervisor itself waits


def add_request_arguments(parser: argparse.ArgumentParser, timeout_s: float) -> None:
    """Add the arguments that all commands to the control socket share."""
    parser.add_argument(
        "--memory", type=path_argument, help="the instance's memory, instead of the configuration's"
    )
    parser.add_argument("--timeout-s", type=float, default=timeout_s, help="how long to wait for it")
    parser.add_argument("--json", action="store_true", help="print the whole answer")


def send(arguments: argparse.Namespace, command: str, **fields: Any) -> dict[str, Any]:
    """Send a command; return the answer. Raises SegmentError, with the remedy, where no instance answers."""
    request = {"command": command, "timeout_s": arguments.timeout_s, **fields}
    return ask(find_instance(arguments), request, arguments.timeout_s + _SPARE_S)


def find_instance(arguments: argparse.Namespace) -> Path:
    """The running instance's memory. Raises SettingsError or SegmentError."""
    if arguments.memory is not None:
        return Path(arguments.memory)
    raw = load_raw(arguments.config)
    bot_id = raw.get("bot_id") if isinstance(raw, dict) else None
    if not isinstance(bot_id, str):
        problem = Problem("bot_id", "", "is missing; name the instance's memory with --memory instead")
        raise SettingsError(str(arguments.config), [problem])
    memory_dir = _text_in(raw, "runtime", "memory_dir", RuntimeSettings().memory_dir)
    directory = PROJECT / memory_dir / f"tandem-{bot_id}"
    if not directory.is_dir():
        var_dir = _text_in(raw, "persistence", "var_dir", PersistenceSettings().var_dir)
        raise SegmentError(
            f"no instance runs under bot_id {bot_id!r} (no {directory}): start it, or name its "
            f"configuration with --config. To have it begin paused: touch {var_dir}/pause-{bot_id}"
        )
    return directory


def _text_in(raw: dict[str, Any], section: str, key: str, default: str) -> str:
    inner = raw.get(section)
    value = inner.get(key) if isinstance(inner, dict) else None
    return value if isinstance(value, str) else default


def print_answer(arguments: argparse.Namespace, answer: dict[str, Any]) -> int:
    """Print the answer; return the exit code."""
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
