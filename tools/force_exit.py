"""Closes one pair or all now, reduce-only, and keep them closed until ``resume``.

The running executor closes, with its own retries and protective prices; ``kill`` is for when there is
none to trust. Exit code 0 once flat; 1 when not flat in time (it goes on). In mode live it asks first.
"""

from __future__ import annotations

import argparse
import sys

from observability.plain_text import plain
from runtime.bootstrap import read_launch
from settings import Problem, SettingsError
from tools.control_client import add_request_arguments, find_instance, print_answer, send


def configure(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("pairs", nargs="*", default=[], metavar="PAIR", help="ids as in config.yaml")
    which.add_argument("--all", action="store_true", help="every pair")
    parser.add_argument("--reason", type=plain, default="", help="kept with it, and logged")
    parser.add_argument("--yes", action="store_true", help="do not ask in mode live")
    add_request_arguments(parser, 30.0)


def run(arguments: argparse.Namespace) -> int:
    mode = read_launch(find_instance(arguments))["settings"]["mode"]
    if mode == "live" and not arguments.yes:
        _confirm("all" if arguments.all else " ".join(arguments.pairs))
    return print_answer(
        arguments, send(arguments, "force-exit", pairs=arguments.pairs, reason=arguments.reason)
    )


def _confirm(word: str) -> None:
    """Have the operator type it. Raises SettingsError without a terminal, or for another text."""
    problem = Problem("--yes", "", "is missing: mode live, and what is to be closed was not typed")
    if not sys.stdin.isatty():
        raise SettingsError("force-exit", [problem])
    if input(f"mode live: real positions are closed at market. Type {word!r} to go on: ") != word:
        raise SettingsError("force-exit", [problem])
