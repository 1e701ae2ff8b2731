"""A whole instance under test: the real supervisor, its processes, venues and database."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import yaml

from persistence.server import stop_server
from settings import PROJECT
from tests.events.catalogue import check, check_readable
from tests.waiting import DEADLINE_S

Line = Mapping[str, Any]


def free_ports(count: int) -> list[int]:
    """Loopback ports nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


@contextmanager
def a_directory() -> Iterator[Path]:
    """A directory with a short path for an instance and its embedded PostgreSQL; both go at the end."""
    directory = Path(tempfile.mkdtemp(prefix="tandem-test-"))
    try:
        yield directory
    finally:
        stop_server(directory / "var")
        shutil.rmtree(directory)
        shutil.rmtree(_memory_dir(directory), ignore_errors=True)


def _memory_dir(directory: Path) -> Path:
    return Path("/dev/shm") / f"test-{os.getpid()}-{directory.name}"


def write_config(directory: Path, **changes: Any) -> Path:
    """The shipped configuration with its own memory, database and ports. Keys: ``section__key``.

    Of its pairs, those of Vest and Paradex: a third venue is one process more.
    """
    config = yaml.safe_load((PROJECT / "config.yaml").read_text())
    config["pairs"] = config["pairs"][:2]
    memory_dir = _memory_dir(directory)
    memory_dir.mkdir(exist_ok=True)
    vest, paradex = free_ports(2)
    config["bot_id"] = "test"
    config["persistence"]["var_dir"] = str(directory / "var")
    config["runtime"]["memory_dir"] = str(memory_dir)
    config["runtime"] |= {"pin": {}, "shutdown_timeout_s": 120}
    config["runtime"]["nice"] = {"persistence": 0, "alerts": 0}  # beside others they would hardly run
    config["simulator"] |= {"ports": {"vest": vest, "paradex": paradex}, "published_fees": []}
    for venue in config.get("venues", {}).values():
        venue.pop("maintenance", None)  # a test does not wait for a venue's weekday release to end
    for name, value in changes.items():
        *sections, key = name.split("__")
        section = config
        for inner in sections:
            section = section[inner]
        section[key] = value
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def memory_dir(config: Path) -> Path:
    return Path(yaml.safe_load(config.read_text())["runtime"]["memory_dir"])


class Instance:
    """``python supervisor.py`` with its log lines as they come."""

    def __init__(
        self,
        config: Path,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        project: Path = PROJECT,
    ) -> None:
        self.config = config
        self.lines: list[Line] = []
        self._has_ended = False
        self._is_deaf = False
        self._incoming: queue.Queue[Line | None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, str(project / "supervisor.py"), "--config", str(config), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            cwd=config.parent,
        )
        assert self.process.stdout is not None
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._incoming.put(_parsed(line))
            if self._is_deaf:
                stream.close()
                break
        self._incoming.put(None)

    def stop_reading(self) -> None:
        """Close our end of the log's pipe; the instance's next line meets a reader that is gone."""
        self._is_deaf = True
        while self._incoming.get(timeout=DEADLINE_S) is not None:
            pass

    def _take(self, line: Line) -> None:
        check(line)
        check_readable(line)
        self.lines.append(line)

    def wait_for(self, wanted: Callable[[Line], bool] | str, timeout_s: float = DEADLINE_S) -> Line:
        """The next line that is wanted (by event name or a test of the line)."""
        wants = (lambda line: line["event"] == wanted) if isinstance(wanted, str) else wanted
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                line = self._incoming.get(timeout=max(0.01, deadline_s - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"{wanted} not seen in {timeout_s} s; last: {self.lines[-3:]}") from None
            if line is None:
                self._has_ended = True
                raise AssertionError(f"the instance ended before {wanted}; last: {self.lines[-3:]}")
            self._take(line)
            if wants(line):
                return line

    def take_waiting(self) -> None:
        """Take up the lines that have come, without waiting for more."""
        while not self._has_ended:
            try:
                line = self._incoming.get_nowait()
            except queue.Empty:
                return
            if line is None:
                self._has_ended = True
            else:
                self._take(line)

    def finish(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait for the end, collecting the remaining lines; return the exit code."""
        deadline_s = time.monotonic() + timeout_s
        while not self._has_ended:
            line = self._incoming.get(timeout=max(0.01, deadline_s - time.monotonic()))
            if line is None:
                self._has_ended = True
            else:
                self._take(line)
        return self.process.wait(max(0.1, deadline_s - time.monotonic()))

    def stop(self, signum: int = signal.SIGINT, timeout_s: float = DEADLINE_S) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.finish(timeout_s)

    def end_at_once(self) -> None:
        """What was not stopped in order: the third signal ends every process of it."""
        for _ in range(3):
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)  # signals that come together are one
        self.process.wait(DEADLINE_S)

    def events(self, name: str) -> list[Line]:
        return [line for line in self.lines if line["event"] == name]

    def pid_of(self, process: str) -> int:
        """Pid of a child's newest life, from the supervisor's log."""
        changes = [line for line in self.events("process_state") if line["process"] == process]
        return int([line["child_pid"] for line in changes if line["state"] == "starting"][-1])


def _parsed(line: bytes) -> Line:
    try:
        parsed: Line = json.loads(line)
    except ValueError:  # without this the reader ends, and a test waits for lines until its time is up
        return {"event": "no line of JSON", "level": "error", "detail": line.decode(errors="replace")}
    return parsed


def descendants(marker: str) -> Iterator[str]:
    """Command lines of running processes that mention a path of the test."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if marker in command and "pytest" not in command:
            yield command
