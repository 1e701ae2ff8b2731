"""Real second processes for the shared-memory tests, and ways to end them at a chosen point."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from types import FrameType, ModuleType
from typing import Any

from tests.waiting import DEADLINE_S

_spawn = multiprocessing.get_context("spawn")


class InheritedFd:
    """A descriptor handed to a ``peer`` at its start, as the supervisor hands over its eventfds."""

    def __init__(self, fd: int) -> None:
        self._fd: Any = fd

    def __getstate__(self) -> dict[str, Any]:
        return {"_fd": DupFd(self._fd)}  # pickled while the process is being spawned

    def detach(self) -> int:
        """In the peer: its own number for the descriptor."""
        fd: int = self._fd.detach()
        return fd


class Peer:
    """A running second process and our end of its pipe."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process = process
        self.pipe = pipe

    def receive(self) -> Any:
        """What the peer sent next. EOFError if it ended without sending."""
        assert self.pipe.poll(DEADLINE_S), "the other process said nothing in time"
        return self.pipe.recv()

    def kill(self) -> None:
        """kill -9, and wait until the kernel has taken it away."""
        self.process.kill()
        self.process.join()  # no deadline: one would wait for the programs it started, too

    def join(self) -> int:
        self.process.join(DEADLINE_S)
        assert self.process.exitcode is not None, "the other process did not end in time"
        return self.process.exitcode


@contextmanager
def peer(target: Callable[..., None], *arguments: object) -> Iterator[Peer]:
    """Run ``target(pipe, *arguments)`` in a fresh interpreter; killed if it outlives the block."""
    ours, theirs = _spawn.Pipe()
    process = _spawn.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # so that its death is an EOFError here
    try:
        yield Peer(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def died_at_bytecode(place: int, within: ModuleType, operation: Callable[[], object]) -> bool:
    """Run ``operation`` in a forked process that kills itself before its ``place``-th bytecode in a module.

    True if it died there; False if it came to its end, so that ``for place in count()`` visits every
    point at which a process can die inside the module. Attach *within* the operation: what the fork
    inherits, locks included, is shared with the test.
    """
    pid = os.fork()
    if pid == 0:
        left = place

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal left
            if frame.f_code.co_filename != within.__file__:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1
            return trace

        exit_code = 1
        try:
            sys.settrace(trace)
            operation()
            exit_code = 0
        finally:
            os._exit(exit_code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the operation raised"
    return False
