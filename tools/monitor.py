"""``python -m tools monitor``: the running instance on one screen, as it moves.

It attaches read-only to the instance's memory and reads the end of its journal; the instance does
not know that it is watched. ``q`` or Ctrl-C leaves. Everything is shown as text and figures, so
that NO_COLOR, a phone or a grey terminal lose nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live

from configuration.arguments import path_argument
from monitoring.instance import instance_directory
from monitoring.journal_tail import JournalTail
from monitoring.snapshot import Watcher
from observability.standard_streams import for_drawing
from persistence.journal import journal_directory
from settings import load_raw, parse_settings
from tools.screen import draw

_EVENTS_KEPT = 200


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--memory", type=path_argument, help="memory directory, instead of the configuration's"
    )
    parser.add_argument(
        "--interval", type=float, default=0.5, metavar="S", help="between looks (default 0.5)"
    )
    parser.add_argument("--once", action="store_true", help="print one screen and end")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0, also when the instance ends while it is watched."""
    settings = parse_settings(load_raw(arguments.config), str(arguments.config))
    watcher = Watcher(settings, arguments.memory or instance_directory(settings))
    tail = JournalTail(journal_directory(settings), _EVENTS_KEPT)
    console = Console(file=for_drawing(sys.stdout), highlight=False)
    before = watcher.read()
    tail.poll()
    if arguments.once:
        console.print(draw(before, before, list(tail.payloads), console.width, console.height - 1))
        return 0
    with Live(console=console, screen=True, auto_refresh=False) as live, _leaving() as is_leaving:
        while watcher.directory.exists():
            now = watcher.read()
            tail.poll()
            live.update(draw(now, before, list(tail.payloads), console.width, console.height), refresh=True)
            before = now
            if is_leaving(arguments.interval):
                return 0
    console.print(f"the instance has ended ({time.strftime('%H:%M:%S')})")
    return 0


@contextlib.contextmanager
def _leaving() -> Iterator[Callable[[float], bool]]:
    """A function that waits up to some seconds, and is true when ``q`` was pressed."""
    if not sys.stdin.isatty():
        yield _never
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)

    def is_leaving(wait_s: float) -> bool:
        ready, _, _ = select.select([sys.stdin], [], [], wait_s)
        return bool(ready) and os.read(sys.stdin.fileno(), 16)[:1] in (b"q", b"Q", b"\x03", b"")

    try:
        yield is_leaving
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _never(wait_s: float) -> bool:
    """Without a keyboard only the instance's end or a signal ends the watching."""
    time.sleep(wait_s)
    return False
