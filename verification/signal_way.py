"""Follows one entry signal through a running executor: ``python -m verification.signal_way``.

``--venues paradex,hyperliquid`` follows it for another pair than Vest × Paradex: where both venues take
orders on their private socket, no HTTP pool is on the way.

Prints which files of the executor it enters, in their order, until both orders' bytes have left and until
its whole step has ended, and how often it comes back to a file that it had left. Simulated venues, real
sockets, the executor a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from settings import PROJECT
from tests.executor.harness import SYMBOLS, a_harness, symbols_of

# Runs in the executor before its own main: the third signal is followed, when everything is presigned.
_TRACER: Final = """
import json, sys
from pathlib import Path
from executor.gateways.live import LiveGateway
from executor.signals import Signals

taken, sent, way = [], [], []
take, send = Signals._take, LiveGateway.send

def follow(frame, event, _):
    path = frame.f_code.co_filename
    if event == "call" and path.startswith({root!r}):
        way.append(path[len({root!r}) + 1:])

def take_traced(self, *arguments):
    taken.append(1)
    sys.setprofile(follow)
    try:
        take(self, *arguments)
    finally:
        sys.setprofile(None)
        Path({out!r}).write_text(json.dumps([way, sent]))
        way.clear(), sent.clear()

def send_traced(self, order):
    send(self, order)
    sent.append(len(way))

Signals._take, LiveGateway.send = take_traced, send_traced
"""


def returns(way: Sequence[str]) -> int:
    """How often a file is entered again that had been left."""
    changes = [path for number, path in enumerate(way) if not number or way[number - 1] != path]
    return len(changes) - len(set(changes))


async def followed(venues: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """The files entered by one entry, one for each call, and how many of them when each leg had left."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "way"
        async with a_harness(symbols_of(venues)) as harness:
            await harness.start(prelude=_TRACER.format(root=str(PROJECT / "executor"), out=str(out)))
            await harness.settle_templates()
            await harness.open()
        way, sent = json.loads(out.read_text())
    return way, sent


def main() -> int:
    """Print the way; exit code 0."""
    parser = argparse.ArgumentParser(prog="python -m verification.signal_way", description=__doc__)
    parser.add_argument("--venues", default=",".join(SYMBOLS), help="the pair, first leg first")
    way, sent = asyncio.run(followed(tuple(parser.parse_args().venues.split(","))))
    for name, part in (("until both orders have left", way[: sent[1]]), ("the whole step", way)):
        print(f"{name}: {len(set(part))} files, {returns(part)} returns, {len(part)} calls")
        print("    " + ", ".join(dict.fromkeys(part)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
