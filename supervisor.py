"""The one command: config → memory → processes → watch → stop.

    python supervisor.py [--config FILE] [--check] [--live] [--clean]

Exit codes: 0 stopped as asked · 1 a process could not be kept alive, the executor did not end in order,
or a venue did not confirm what a stop asks of it · 2 the configuration or the environment does not allow
a start · 3 a venue does not answer or is closed, the same start may do later; or it is as with 2, and
something may be held.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from configuration.arguments import path_argument
from events.instance import (
    ConfigError,
)
from executor.accounts import register_keys
from observability.logs import Reporter, finish_lines
from observability.redaction import guard_stderr
from observability.standard_streams import open_standard_streams, run_command
from runtime.bootstrap import EXIT_UNUSABLE
from settings import (
    PROJECT,
    SettingsError,
    load_raw,
)
from shm.segment import SegmentError
from supervision.boot import VERSION, run
from supervision.checks import check_mode, config_error, print_resolved
from supervision.preflight import resolve
from supervision.unattended import config_in, exit_code_of_refusal


def main(argv: Sequence[str] | None = None) -> int:
    try:
        arguments = _parse_arguments(argv)
    except SystemExit as error:
        if error.code == EXIT_UNUSABLE:
            words = sys.argv[1:] if argv is None else argv
            raise SystemExit(exit_code_of_refusal(config_in(words))) from None
        raise
    reporter = Reporter("supervisor", run_id="-")
    try:
        register_keys(arguments.env_file)
        settings, resolved = resolve(load_raw(arguments.config), str(arguments.config))
        check_mode(settings, arguments)
        if arguments.check:
            print_resolved(settings, arguments.env_file)
            return 0
        return run(settings, resolved, arguments)
    except SettingsError as error:
        refusals = [config_error(problem) for problem in error.problems]
    except SegmentError as error:
        refusals = [ConfigError(detail=str(error))]
    exit_code = EXIT_UNUSABLE if arguments.check else exit_code_of_refusal(arguments.config)
    for refusal in refusals:  # last of all: who reads them finds the process ended
        reporter.report(refusal)
    return exit_code


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python supervisor.py",
        description="Trade the gap between two perpetual-futures venues. Logs JSON lines to standard output; "
        "Ctrl-C stops in order.",
        epilog="Exit codes: 0 stopped as asked, 1 a process could not be kept alive or end in order, or a "
        "venue did not confirm what a stop asks of it, 2 the configuration or the environment does not allow "
        "a start, 3 a venue does not answer or is closed, or a start is not allowed while something may be "
        "held: try again.",
    )
    parser.add_argument(
        "-c", "--config", type=path_argument, default=PROJECT / "config.yaml", help="default: config.yaml"
    )
    parser.add_argument(
        "--env-file", type=path_argument, default=PROJECT / ".env", help="secrets; default: .env"
    )
    parser.add_argument("--check", action="store_true", help="validate, print the resolved settings, stop")
    parser.add_argument("--live", action="store_true", help="second switch for real orders, with mode: live")
    parser.add_argument(
        "--clean", action="store_true", help="remove what a killed instance left in memory unread"
    )
    parser.add_argument("--version", action="version", version=f"tandem {VERSION}")
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
