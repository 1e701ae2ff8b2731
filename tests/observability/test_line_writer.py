"""Lines to a descriptor that does not wait, is full, or leads nowhere."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability.line_writer import LineWriter
from settings import PROJECT
from tests.waiting import DEADLINE_S, wait_until

F_SETPIPE_SZ = 1031


def a_line(number: int, size: int = 40) -> bytes:
    fields = {"event": "leg_sent", "proc": "executor", "pid": 7, "n": number, "x": "y" * size}
    return json.dumps(fields).encode()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """(reader, writer) of a pipe of one page whose ends do not wait."""
    reader, writer = os.pipe2(os.O_NONBLOCK)
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


@contextlib.contextmanager
def writing(fd: int, **options: float) -> Iterator[LineWriter]:
    """A writer whose thread has ended before its descriptor can be closed.

    A thread that outlives it writes into whatever has the descriptor's number next: another test's shared
    memory, or the log of its instance.
    """
    lines = LineWriter(fd, **options)
    try:
        yield lines
    finally:
        lines.finish()
        assert lines._thread is not None
        lines._thread.join(DEADLINE_S)
        assert not lines._thread.is_alive()


class Reader:
    """Everything that comes out of a descriptor, as lines."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._data = b""

    @property
    def lines(self) -> list[dict[str, object]]:
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._fd, 65_536):
                self._data += part
        whole, _, _ = self._data.rpartition(b"\n")  # the last one may still be coming
        return [json.loads(line) for line in whole.splitlines()]

    def events(self) -> list[object]:
        return [line["event"] for line in self.lines]


def test_lines_lost_on_a_pipe_that_does_not_wait_are_counted(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    with writing(writer, patience_s=0.0) as lines:
        for number in range(500):
            lines.put(a_line(number))
        wait_until(lambda: lines._lost > 0 and lines._waiting.empty(), "something is lost")

        seen = Reader(reader)
        wait_until(
            lambda: "log_dropped" in seen.events(), "what was lost is reported, without another line to write"
        )
        lines.put(a_line(500))
        wait_until(lambda: any(line.get("n") == 500 for line in seen.lines), "the log goes on")

    dropped = [line for line in seen.lines if line["event"] == "log_dropped"]
    written = [line for line in seen.lines if line["event"] == "leg_sent"]
    assert sum(int(str(line["count"])) for line in dropped) + len(written) == 501
    assert dropped[0]["proc"] == "executor"
    assert dropped[0]["pid"] == 7
    assert {"ts", "level", "mono_ns"} <= dropped[0].keys()


def test_a_short_pause_of_the_reader_loses_nothing(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with writing(writer, patience_s=60.0) as lines:
        for number in range(500):
            lines.put(a_line(number))

        seen = Reader(reader)
        wait_until(lambda: len(seen.lines) == 500, "all lines")

    assert [line["n"] for line in seen.lines] == list(range(500))


def test_a_reader_that_went_away_and_came_back_is_written_to_again(tmp_path: Path) -> None:
    """A named pipe outlives its readers."""
    path = tmp_path / "log"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    with writing(writer) as lines:
        lines.put(a_line(1))
        seen = Reader(first)
        wait_until(lambda: len(seen.lines) == 1, "the first line")
        os.close(first)
        lines.put(a_line(2))
        wait_until(lambda: lines._lost == 1, "nobody reads")

        second = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        seen = Reader(second)
        wait_until(lambda: "log_dropped" in seen.events(), "the next reader is told")

    assert seen.lines[0]["count"] == 1
    os.close(second)
    os.close(writer)


@pytest.mark.parametrize("is_appending", [False, True])
def test_a_line_cut_by_a_full_disk_leaves_no_half_line(tmp_path: Path, is_appending: bool) -> None:
    """A file that may not grow beyond some bytes is a full disk: it takes a part, then nothing."""
    script = (
        "import os, resource, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from observability.line_writer import LineWriter\n"
        "lines = LineWriter(1, patience_s=0.0)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))\n"
        'def put(n): lines.put(b\'{"event": "leg_sent", "n": %d, "x": "%s"}\' % (n, b\'y\' * 150))\n'
        "for n in range(50): put(n)\n"
        "while not lines._lost or not lines._waiting.empty(): time.sleep(0.01)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "put(50)\n"
        "lines.finish()\n"
    )
    path = tmp_path / "log"
    with path.open("ab" if is_appending else "wb") as file:
        subprocess.run(
            [sys.executable, "-c", script, str(PROJECT)], stdout=file, check=True, timeout=DEADLINE_S
        )

    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    dropped = [line["count"] for line in lines if line["event"] == "log_dropped"]
    assert b"\0" not in path.read_bytes()
    assert lines[-1]["n"] == 50
    assert sum(dropped) + len(lines) - len(dropped) == 51


def test_what_is_out_of_half_a_line_is_finished_before_the_next_one() -> None:
    """A socket, as journald gives, takes any part of a line and cannot give it back."""
    import socket

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with writing(ours.fileno(), patience_s=0.0) as lines:
        for number in range(400):
            lines.put(a_line(number, 3_000 if number % 2 else 10))
        wait_until(lambda: lines._lost > 0 and lines._waiting.empty(), "something is lost")

        seen = Reader(theirs.fileno())
        wait_until(lambda: "log_dropped" in seen.events(), "every line is JSON, and the loss is reported")
    ours.close()
    theirs.close()


def test_nobody_who_logs_ever_waits(monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]) -> None:
    """The thread that logs makes no system call at all, whatever the descriptor does."""
    _, writer = pipe
    with writing(writer) as lines:
        calls: list[str] = []
        write = os.write

        def noted(fd: int, data: bytes) -> int:
            calls.append(threading.current_thread().name)
            return write(fd, data)

        monkeypatch.setattr(os, "write", noted)
        for number in range(500):
            lines.put(a_line(number))
        wait_until(lambda: len(calls) > 0, "something was written")

    assert set(calls) == {"stdout"}
