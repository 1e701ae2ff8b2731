"""The real persistence process between rings that a test fills and a server that a test stops."""

from __future__ import annotations

import json
import os
import queue
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import orjson
import psycopg
import yaml

from persistence.journal import JournalEntry, files, journal_directory, read_file
from persistence.server import start_server, stop_server
from runtime.bootstrap import write_launch
from settings import PROJECT, parse_settings
from shm.counter_names import PERSISTENCE_COUNTERS
from shm.layout import Memory, MemoryPlan
from tests.instance import a_directory
from tests.reported import blanks
from tests.waiting import DEADLINE_S, wait_until

Line = Mapping[str, Any]
SOURCES = ("supervisor", "executor", "detector")


class Server:
    """A PostgreSQL of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = start_server(directory)

    @property
    def socket_path(self) -> Path:
        return self.directory / "postgres" / ".s.PGSQL.5432"

    @property
    def postmaster(self) -> int:
        return int((self.directory / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])

    def start(self) -> None:
        assert start_server(self.directory) == self.url

    def stop(self) -> None:
        assert stop_server(self.directory)

    def signal(self, signum: int) -> None:
        """To the postmaster and every process of the server."""
        postmaster = self.postmaster
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            os.kill(pid, signum)

    def limit_files(self, limit: str) -> None:
        """The largest file the server's future processes may write, in bytes, or ``unlimited``."""
        pid = self.postmaster
        owner = Path(f"/proc/{pid}").stat()
        command = ["prlimit", "--pid", str(pid), f"--fsize={limit}:"]
        subprocess.run(command, user=owner.st_uid, group=owner.st_gid, check=True)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        self.rows("drop schema public cascade; create schema public")


class Proxy:
    """Between client and server: every byte may be held back, or the line be cut."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.delay_s = 0.0  # before each piece is passed on
        self.passes = threading.Event()  # while it is clear, everything is taken and nothing passed on
        self.passes.set()
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._is_closed = True
        self.passes.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as selector:
            try:
                server.connect(str(self._target))
                for end in (client, server):
                    selector.register(end, selectors.EVENT_READ)
                while not self._is_closed:
                    for key, _ in selector.select(0.05):
                        source = client if key.fd == client.fileno() else server
                        data = source.recv(65_536)
                        if not data:
                            return
                        time.sleep(self.delay_s)
                        self.passes.wait()
                        (server if source is client else client).sendall(data)
            except OSError:
                return


class Harness:
    """One run's memory, the processes that follow one another in it, and the journal they leave."""

    def __init__(self, directory: Path, url: str, **settings: Any) -> None:
        self.directory = directory
        self.url = url
        self.var_dir = directory / "var"
        self.lines: list[Line] = []
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = settings
        self._epoch = 100
        self._pushed = 0
        self._incoming: queue.Queue[Line] = queue.Queue()
        self.memory_dir = Path(tempfile.mkdtemp(prefix="test-persistence-", dir="/dev/shm"))
        self.new_run("run-1")

    def new_run(self, run_id: str, *, bot_id: str = "test", mode: str = "live") -> None:
        """New memory, as after a reboot; the journal stays. Simulated venues would forget what it says."""
        directory = self.memory_dir / run_id
        raw = yaml.safe_load((PROJECT / "config.yaml").read_text())
        raw["persistence"] = {"var_dir": str(self.var_dir), **self._settings}
        raw |= {"bot_id": bot_id, "mode": mode}
        self.journal_dir = journal_directory(parse_settings(raw, "test"))
        plan = MemoryPlan(("vest", "paradex"), 2, 1, 16, 1 << 10, 1 << 20, SOURCES)
        Memory.create(directory, plan, {"persistence": (list(PERSISTENCE_COUNTERS), [])})
        write_launch(directory, raw, run_id, (), self.directory / "none.env")
        self.memory = Memory(directory)
        self.run_id = run_id
        self._queues = {source: self.memory.events_writer(source) for source in SOURCES}
        self._counters = self.memory.counters("persistence")

    def start(self, code: str = "from persistence.process import main; main()") -> None:
        """A life of the process; ``code`` may prepare its own death first."""
        self._epoch += 1
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--memory", str(self.memory.directory), "--epoch", str(self._epoch)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
            env={**os.environ, "DATABASE_URL": self.url},
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._incoming.put(json.loads(line))

    def push(self, count: int, source: str = "executor", **fields: Any) -> None:
        """Events with running serials, waiting for room as no real process would have to."""
        for _ in range(count):
            self._pushed += 1
            line = self.a_line("signal", source, serial=self._pushed, **fields)
            self.push_line(line, source)

    def push_line(self, line: bytes, source: str = "executor") -> None:
        wait_until(partial(self._queues[source].push, line), "room in the queue")

    def tell(self, event: str, **fields: Any) -> None:
        assert self._queues["executor"].push(self.a_line(event, "executor", **fields))

    def a_line(self, event: str, source: str, **fields: Any) -> bytes:
        head = {"ts": "2026-01-02T12:04:05.000000Z", "level": "info", "event": event, "proc": source}
        return orjson.dumps(
            {
                **head,
                "pid": 1,
                "run_id": self.run_id,
                **blanks(event),
                **fields,
                "mono_ns": time.monotonic_ns(),
            }
        )

    def counter(self, name: str) -> int:
        return self._counters.get(self._counters.index(name))

    def events(self, name: str) -> list[Line]:
        """Lines of this name that the process has printed so far."""
        while not self._incoming.empty():
            self.lines.append(self._incoming.get())
        return [line for line in self.lines if line["event"] == name]

    def wait_for(self, event: str, count: int = 1) -> Line:
        wait_until(lambda: len(self.events(event)) >= count, f"{count} {event} in {self.lines[-3:]}")
        return self.events(event)[count - 1]

    def wait_until_stored(self) -> None:
        """Everything pushed is journalled and in the database."""
        wait_until(lambda: self.has_drained() and self.counter("backlog") == 0, f"backlog {self.lines[-3:]}")

    def has_drained(self) -> bool:
        """Whether everything pushed has left the rings for the disk."""
        return all(queue.used == 0 for queue in self._queues.values())

    def journal(self) -> list[JournalEntry]:
        return [entry for path in files(self.journal_dir) for entry in read_file(path)]

    def journal_bytes(self) -> int:
        return sum(path.stat().st_size for path in files(self.journal_dir))

    def journalled_serials(self) -> list[int]:
        lines = (orjson.loads(entry.payload) for entry in self.journal())
        return [line["serial"] for line in lines if "serial" in line]

    @property
    def all_serials(self) -> list[int]:
        return list(range(1, self._pushed + 1))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        assert self.process is not None
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    @property
    def errors(self) -> str:
        assert self.process is not None
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.memory_dir)


@contextmanager
def a_harness(url: str, **settings: Any) -> Iterator[Harness]:
    with a_directory() as directory:
        harness = Harness(directory, url, **settings)
        try:
            yield harness
        finally:
            harness.close()
