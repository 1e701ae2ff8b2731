"""systemd is told what is so, over a real datagram socket: ready, alive, stopping."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from observability import logs
from shm.counters import CounterTable
from shm.layout import Memory
from supervision.process_table import ProcessState
from supervision.systemd import ServiceManager
from tests.instance import Instance, a_directory, memory_dir, write_config
from tests.supervision.test_supervisor_end import Harness
from tests.waiting import DEADLINE_S

WATCHDOG_S = 1.0


def told_in(datagram: bytes) -> dict[str, str]:
    return dict(line.split("=", 1) for line in datagram.decode().split("\n"))


class Mailbox:
    """systemd's end of the socket. What was sent lies there at once: nothing has to be waited for."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def take(self) -> dict[str, str] | None:
        """The next datagram; None when there is none."""
        try:
            return told_in(self._socket.recv(65_536, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return None

    def close(self) -> None:
        self._socket.close()


class Listener:
    """systemd's end, read all the time as systemd does, for an instance that tells when it likes."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._incoming: queue.Queue[dict[str, str]] = queue.Queue()
        self.logged: list[dict[str, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self._socket:
            while datagram := self._socket.recv(65_536):
                self._incoming.put(told_in(datagram))

    def next(self, patience_s: float = DEADLINE_S) -> dict[str, str] | None:
        """The next datagram; None when none came in time."""
        try:
            self.logged.append(self._incoming.get(timeout=patience_s))
        except queue.Empty:
            return None
        return self.logged[-1]

    def wait_for(self, name: str, value: str = "") -> dict[str, str]:
        """The next datagram with ``name``, whose value contains ``value``."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            message = self.next()
            if message is not None and name in message and value in message[name]:
                return message
        raise AssertionError(f"{name}={value} was not told; told: {self.logged}")

    def drain(self) -> None:
        while self.next(0.01) is not None:
            pass

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)  # an empty read ends the thread


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.close()


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    mailbox = Mailbox(str(tmp_path / "notify"))
    yield mailbox
    mailbox.close()


@pytest.fixture
def lines() -> list[bytes]:
    return []


@pytest.fixture
def reporter(lines: list[bytes]) -> logs.Reporter:
    def keep(line: bytes) -> bool:
        lines.append(line)
        return True

    return logs.Reporter("supervisor", run_id="r", to_queue=keep, level=None)


@pytest.fixture
def config() -> Iterator[Path]:
    with a_directory() as directory:
        path = write_config(directory, simulator__start_s=26.0)
        yield path
        shutil.rmtree(memory_dir(path), ignore_errors=True)


def in_memory(config: Path) -> Memory:
    return Memory(memory_dir(config) / "tandem-test")


def value(table: CounterTable, name: str) -> int:
    return table.get(table.index(name))


def test_a_real_instance_tells_when_it_can_trade_while_it_turns_and_when_it_ends(
    config: Path, listener: Listener, tmp_path: Path
) -> None:
    """One life: what systemd starts other units by, aborts a hung one by, and waits at the end by."""
    instance = Instance(
        config, env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}
    )
    try:
        ready = listener.wait_for("READY")
        assert "ready to trade btc, eth" in ready["STATUS"]
        assert value(in_memory(config).counters("executor"), "ready") == 1
        supervisor = in_memory(config).counters("supervisor")
        children = ("executor", "detector", "persistence", "simulator", "feed-vest", "feed-paradex")
        assert {value(supervisor, f"state.{child}") for child in children} == {2}
        assert any(message.get("STATUS", "").startswith("starting: ") for message in listener.logged)
        assert "EXTEND_TIMEOUT_USEC" in listener.logged[0]

        for child in children:
            environment = Path(f"/proc/{value(supervisor, f'pid.{child}')}/environ").read_bytes()
            assert b"NOTIFY_SOCKET" not in environment
            assert b"WATCHDOG_" not in environment

        listener.wait_for("WATCHDOG")
        instance.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, instance.process.pid, os.WSTOPPED | os.WNOWAIT)
        listener.drain()
        assert listener.next(2 * WATCHDOG_S) is None
        instance.process.send_signal(signal.SIGCONT)
        listener.wait_for("WATCHDOG")
        assert sum("READY" in message for message in listener.logged) == 1

        os.kill(value(supervisor, "pid.executor"), signal.SIGKILL)
        listener.wait_for("STATUS", "not trading: executor")
        listener.wait_for("STATUS", "ready to trade")

        instance.process.send_signal(signal.SIGTERM)
        assert "EXTEND_TIMEOUT_USEC" in listener.wait_for("STOPPING")
        assert "executor" in listener.wait_for("STATUS", "stopping")["STATUS"]
    finally:
        instance.process.send_signal(signal.SIGCONT)
        exit_code = instance.stop(signal.SIGTERM)
    assert exit_code == 0
    assert not instance.events("notify_refused")


def test_an_instance_whose_venue_is_away_runs_and_is_not_ready(mailbox: Mailbox, tmp_path: Path) -> None:
    """A start during a venue's maintenance is no failure, and no start either."""
    harness = Harness(tmp_path, service_manager=ServiceManager(str(tmp_path / "notify")))
    reported: list[dict[str, str]] = []

    def was_told(name: str, value: str) -> bool:
        while (message := mailbox.take()) is not None:
            reported.append(message)
            if value in message.get(name, ""):
                return True
        return False

    try:
        harness.until_state(ProcessState.RUNNING)
        harness.supervisor.is_all_started = True
        harness.turn_until(lambda: was_told("STATUS", "waits for a venue"))
        assert not any("READY" in message for message in reported)

        (tmp_path / "ready").touch()
        harness.turn_until(lambda: was_told("READY", "1"))

        (tmp_path / "ready").unlink()  # a venue is lost later: told, and no reason to be restarted
        harness.turn_until(lambda: was_told("STATUS", "waits for a venue"))
    finally:
        harness.supervisor.kill_all()
    assert was_told("STOPPING", "1")


def test_before_ready_and_while_stopping_more_time_is_asked_for_as_long_as_it_turns(
    mailbox: Mailbox, reporter: logs.Reporter, tmp_path: Path
) -> None:
    now_s = [100.0]
    manager = ServiceManager(str(tmp_path / "notify"), clock_s=lambda: now_s[0])

    def turn(after_s: float, status: str = "s", *, is_ready: bool = False) -> dict[str, str] | None:
        now_s[0] += after_s
        manager.notify(reporter, status, is_ready=is_ready)
        return mailbox.take()

    assert turn(0.0) == {"STATUS": "s", "EXTEND_TIMEOUT_USEC": "60000000"}
    assert turn(0.1) is None
    assert turn(10.0) == {"EXTEND_TIMEOUT_USEC": "60000000"}
    assert turn(0.1, is_ready=True) == {"READY": "1"}
    assert turn(100.0) is None  # ready is not taken back, and systemd counts no more

    manager.stopping(reporter, 25.0)
    assert mailbox.take() == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "85000000"}
    assert turn(30.0) is None
    assert turn(10.0) == {"EXTEND_TIMEOUT_USEC": "60000000"}
    manager.close()


def test_the_watchdog_is_told_four_times_within_its_limit(
    mailbox: Mailbox, reporter: logs.Reporter, tmp_path: Path
) -> None:
    now_s = [0.0]
    manager = ServiceManager(str(tmp_path / "notify"), watchdog_s=8.0, clock_s=lambda: now_s[0])
    manager.notify(reporter, "s", is_ready=True)
    mailbox.take()

    beats = 0
    for tenth in range(1, 81):
        now_s[0] = tenth / 10
        manager.notify(reporter, "s", is_ready=True)
        beats += mailbox.take() == {"WATCHDOG": "1"}

    assert beats == 4
    manager.close()


def test_what_the_socket_does_not_take_is_told_later_and_said_once(
    reporter: logs.Reporter, lines: list[bytes], tmp_path: Path
) -> None:
    """systemd that is restarted must not miss READY, and nobody waits for it."""
    manager = ServiceManager(str(tmp_path / "notify"))
    for _ in range(3):
        manager.notify(reporter, "up", is_ready=True)
    assert len(lines) == 1
    assert b"notify_refused" in lines[0]

    mailbox = Mailbox(str(tmp_path / "notify"))
    manager.notify(reporter, "up", is_ready=True)
    message = mailbox.take()
    assert message is not None
    assert (message["READY"], message["STATUS"]) == ("1", "up")
    mailbox.close()
    manager.close()


def test_an_abstract_socket_is_understood(reporter: logs.Reporter) -> None:
    name = f"tandem-test-{os.getpid()}"
    mailbox = Mailbox("\0" + name)
    manager = ServiceManager("@" + name)
    manager.notify(reporter, "up", is_ready=True)
    message = mailbox.take()
    assert message is not None
    assert "READY" in message
    mailbox.close()
    manager.close()


def test_without_a_service_manager_nothing_is_told_and_its_variables_are_taken_out(
    reporter: logs.Reporter, lines: list[bytes]
) -> None:
    """A child that found them would speak in our name; a watchdog meant for another pid is not ours."""
    environment = {
        "NOTIFY_SOCKET": "",
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": str(os.getpid() + 1),
        "HOME": "/",
    }
    manager = ServiceManager.from_environment(environment)
    manager.notify(reporter, "up", is_ready=True)
    manager.stopping(reporter, 1.0)
    manager.close()

    assert environment == {"HOME": "/"}
    assert lines == []
