"""The one command: start an instance, watch its processes, stop it in order.

python supervisor.py [--config FILE] [--env-file FILE] [--check] [--live] [--clean]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from configuration.arguments import path_argument
from observability.logs import finish_lines
from observability.redaction import guard_stderr
from observability.standard_streams import open_standard_streams, run_command
from settings import PROJECT, VERSION
from supervision import boot, unattended

_DESCRIPTION = "Trade the gap between two perpetual-futures venues; logs JSON lines, Ctrl-C stops in order."
_EXIT_CODES = """Exit codes: 0 stopped as asked, 1 a process could not be kept alive or end in order, or a
venue did not confirm what a stop asks of it, 2 the configuration or the environment does not allow a start,
3 a venue does not answer or is closed, or a start is not allowed while something may be held: try again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the arguments to the exit code, see ``--help``."""
    with unattended.refused_command_line(sys.argv[1:] if argv is None else argv):
        arguments = _parse_arguments(argv)
    return boot.run(arguments)


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python supervisor.py", description=_DESCRIPTION, epilog=_EXIT_CODES)
    add, path = parser.add_argument, path_argument
    add("-c", "--config", type=path, default=PROJECT / "config.yaml", help="default: config.yaml")
    add("--env-file", type=path, default=PROJECT / ".env", help="secrets; default: .env")
    add("--check", action="store_true", help="validate, print the resolved settings, stop")
    add("--live", action="store_true", help="second switch for real orders, with mode: live")
    add("--clean", action="store_true", help="remove unread what a killed instance left in memory")
    add("--version", action="version", version=f"tandem {VERSION}")
    return parser.parse_args(argv)


if __name__ == "__main__":
    open_standard_streams()
    guard_stderr()
    try:
        run_command(main)
    except SystemExit as end:
        # Nothing is left to end, and taking the interpreter apart takes as long as a refused start: whoever
        # reads the last line finds the process ended.
        finish_lines()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
