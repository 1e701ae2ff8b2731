"""Places where a test makes a process die or stop: every journal write, send, receive, publish and commit.

For the crash matrix (``make crash``) alone. A process started with ``TANDEM_CRASH_AT=FILE`` in its
environment has the functions below wrapped before it uses any of them; without it this module is not
even imported, so a fault point costs nothing. The wrapped functions look for FILE, which says

    PROCESS POINT MOMENT COUNT SCENE SIGNAL PIDS...        executor order_send after 2 entry SIGKILL 4711

and at the COUNT-th time PROCESS passes POINT in SCENE ("-": whatever is going on), before or after the
function itself, FILE becomes FILE.done, holding the monotonic time, and the process sends SIGNAL to PIDS
(so that a whole instance dies at one instruction) and to itself.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final, NamedTuple

from shm.entry_block import EntryBlock

VARIABLE: Final = "TANDEM_CRASH_AT"


class Point(NamedTuple):
    """One function whose beginning and end are places to die."""

    name: str
    module: str
    owner: str
    function: str


POINTS: Final[Mapping[str, tuple[Point, ...]]] = {
    "executor": (
        Point("machine_write", "executor.recovery.state_store", "StateStore", "write"),
        Point("signal_write", "executor.recovery.state_store", "StateStore", "write_event"),
        Point("order_send", "executor.gateways.live", "LiveGateway", "send"),
        Point("answer_receive", "executor.gateways.live", "LiveGateway", "_on_answer"),
        Point("stream_receive", "executor.gateways.private_socket", "PrivateSocket", "_take"),
        Point("question", "executor.gateways.live", "LiveGateway", "_perform"),
        Point("view_publish", "executor.engine", "Engine", "publish"),
        Point("event_push", "shm.queue", "QueueWriter", "push"),
    ),
    "feed": (
        Point("frame_receive", "feeds.connection", "Connection", "_receive"),
        Point("quote_publish", "shm.broadcast", "BroadcastWriter", "publish"),
        Point("slot_publish", "shm.slot", "SlotTable", "write"),
    ),
    "detector": (
        Point("quote_receive", "shm.broadcast", "BroadcastReader", "poll"),
        Point("signal_push", "detector.agent", "Detector", "_signal"),
    ),
    "persistence": (
        Point("event_receive", "shm.queue", "QueueReader", "poll"),
        Point("journal_append", "persistence.journal", "Journal", "append"),
        Point("journal_sync", "persistence.journal", "Journal", "sync"),
        Point("space_give_back", "shm.queue", "QueueReader", "commit"),
        Point("database_commit", "persistence.store", "Store", "write"),
    ),
}
# The same points where something else has taken a function's place. An answer may come over a socket. Where C
# did it: what Python does right behind it. Nothing lies between the two but our own memory, so a death before
# the C is a death after the point that came before.
TWINS: Final[Mapping[str, tuple[Point, ...]]] = {
    "executor": (Point("answer_receive", "executor.gateways.live", "LiveGateway", "_on_socket_answer"),),
    "feed": tuple(
        Point(name, "feeds.connection", "Connection", "on_ws_frame")
        for name in ("frame_receive", "quote_publish", "slot_publish")
    ),
    "detector": (
        Point("quote_receive", "detector.native", "NativeDetector", "_after"),
        Point("signal_push", "detector.native", "NativeDetector", "_take_signal"),
    ),
}
MOMENTS: Final = ("before", "after")


def arm(process: str) -> None:
    """Wrap the points of this process. Called before any of them is in use."""
    watch = _Watch(process, Path(os.environ[VARIABLE]))
    kind = process.partition("-")[0]
    for point in (*POINTS.get(kind, ()), *TWINS.get(kind, ())):
        owner = getattr(sys.modules[point.module], point.owner)
        setattr(owner, point.function, watch.wrap(point.name, getattr(owner, point.function)))
    if process == "executor":
        _watch_scenes(watch)


class _Watch:
    """What is asked for, and how often it has been passed."""

    def __init__(self, process: str, path: Path) -> None:
        self._process = process
        self._path = path
        self._order: list[str] = []
        self._left = 0
        self.scene: Callable[[], str] = lambda: "-"

    def passes(self, name: str, moment: str) -> None:
        try:
            order = self._path.read_text().split()
        except FileNotFoundError:
            self._order = []
            return
        if order[:3] != [self._process, name, moment] or order[4] not in ("-", self.scene()):
            return
        if order != self._order:
            self._order, self._left = order, int(order[3])
        self._left -= 1
        if not self._left:
            self._path.with_name(self._path.name + ".done").write_text(str(time.monotonic_ns()))
            self._path.unlink()
            for pid in (*map(int, order[6:]), os.getpid()):
                with suppress(ProcessLookupError):  # a database server's helpers come and go
                    os.kill(pid, signal.Signals[order[5]])

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                self.passes(name, "before")
                result = await function(*args, **kwargs)
                self.passes(name, "after")
                return result

            return awaited

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            self.passes(name, "before")
            result = function(*args, **kwargs)
            self.passes(name, "after")
            return result

        return called


def _watch_scenes(watch: _Watch) -> None:
    """Let the executor's points know what its first pair is doing, as its machine knows it."""
    engine = sys.modules["executor.engine"].Engine
    begin = engine.__init__

    def began(self: Any, pairs: Any, *args: Any, **kwargs: Any) -> None:
        watch.scene = functools.partial(_scene, pairs[0])
        begin(self, pairs, *args, **kwargs)

    engine.__init__ = began


def _scene(pair: Any) -> str:
    plan, flatten = pair.state.plan.name, pair.state.flatten
    if pair.state.entries_stopped == EntryBlock.STOPPING.text or flatten == "shutdown":
        return "shutdown"
    if pair.in_flight is not None and plan == "NONE":  # a signal's orders may leave before its step is taken
        trade = pair.state.trade  # a closed one is kept until its fees are known
        return "entry" if trade is None or trade.closed_mono_ns else "exit"
    scenes = {"ENTRY": "entry", "COMPLETE": "retry", "UNWIND": "unwind", "EXIT": "exit"}
    return scenes.get(plan, "hold" if pair.state.trade is not None else "idle")
