"""``python -m tools COMMAND``: look at, ask and steer an instance from beside it.

Each command is a module with ``configure(parser)`` and ``run(arguments)``, loaded only when it is
asked for: of its name in this package, or ``command`` in a folder of its name.
Exit codes: 0 done, 1 the answer is bad news (each command says which), 2 the command cannot do its work:
no instance, no database, a wrong argument.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from configuration.arguments import path_argument
from observability.redaction import guard_stderr
from observability.standard_streams import open_standard_streams, run_command
from settings import PROJECT, SettingsError
from shm.segment import SegmentError

COMMANDS: Final[Mapping[str, str]] = {
    "alerts": "alert a person by Telegram, Discord, webhook or mail when the instance needs one",
    "doctor": "whether this machine, these settings and these venues will do; changes nothing",
    "journal": "what happened, as JSON lines: by trade, event, time; --held, --verify",
    "costs": "learned slippage and funding of each contract",
    "counters": "every counter: quotes, refusals by gate, orders, heartbeats",
    "force-exit": "close one pair or all now and keep them closed until resume",
    "kill": "cancel and close everything from outside, with proof",
    "latency": "percentiles of every stage of a running instance",
    "show-config": "the settings a running instance works by, and when each may change",
    "status": "one look at the running instance; --json for programs",
    "metrics": "the running instance for Prometheus, on loopback",
    "monitor": "the running instance on one screen, as it moves",
    "pause": "no entries until resume, whatever restarts meanwhile; exits go on",
    "reconcile": "executor, database and venues side by side; adopt or flatten what nothing explains",
    "record": "keep all quotes, signals, orders and fills of a running instance, to be replayed",
    "replay": "a recording through the same detector and executor; what other settings had done",
    "reload": "let a running instance take up config.yaml, key by key; --dry-run only says what would change",
    "resume": "let entries through again: lifts pause and forced exits",
    "why": "why it does not trade: refusals by gate, the nearest miss, the setting that would have",
    "report": "what a period earned and why, as HTML, pictures and CSV",
}


class Command(Protocol):
    """What a command's module offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments; ``--config`` is there already."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit code. SettingsError and SegmentError become one line and exit code 2."""


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m tools",
        usage="python -m tools COMMAND [--help] …",
        description="\n".join(f"  {name:10}  {what}" for name, what in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    name = parser.parse_args(words[:1]).command
    command = _load(name)
    own = argparse.ArgumentParser(prog=f"python -m tools {name}", description=COMMANDS[name])
    own.add_argument("-c", "--config", type=path_argument, default=PROJECT / "config.yaml", metavar="FILE")
    command.configure(own)
    try:
        return command.run(own.parse_args(words[1:]))
    except (SettingsError, SegmentError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _load(name: str) -> Command:
    """The command's module: two live with what they read, four are folders, the rest are one file each."""
    match name:
        case "alerts":
            module = import_module("monitoring.alerts.process")
        case "metrics":
            module = import_module("monitoring.metrics")
        case "doctor" | "record" | "replay" | "report":
            module = import_module(f"tools.{name}.command")
        case _:
            module = import_module(f"tools.{name.replace('-', '_')}")
    return cast(Command, module)


if __name__ == "__main__":
    open_standard_streams()
    guard_stderr()
    run_command(main)
