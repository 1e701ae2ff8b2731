"""The control socket answers its owner, and nobody who connects to it can hold the supervisor up."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from settings import PROJECT
from supervision.control import socket as channel_module
from supervision.control.socket import Answer, Channel, NobodyAnswers, Request, ask
from tests.waiting import DEADLINE_S, eventually, wait_until


class Ear:
    """A channel whose turns are taken by a thread, as the supervisor takes them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.refused: list[str] = []
        self.asked: list[Request] = []
        self.slowest_turn_s = 0.0
        self._is_over = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    async def _handle(self, request: Request, by: str) -> Answer:
        self.asked.append(request)
        if request["command"] == "wait":
            await eventually(lambda: any(item["command"] == "go on" for item in self.asked))
        if request["command"] == "fail":
            raise RuntimeError("a mistake of our own")
        return {"ok": True, "summary": request["command"], "by": by}

    def _turn(self) -> None:
        channel = Channel(self.directory, self._handle, self.refused.append)
        self._ready.set()
        ready = select.poll()
        ready.register(channel.fd, select.POLLIN)
        while not self._is_over.is_set():
            ready.poll(1_000 * channel.patience_s(0.1))
            began_s = time.thread_time()
            channel.do_work()
            self.slowest_turn_s = max(self.slowest_turn_s, time.thread_time() - began_s)
        channel.close()

    def ask(self, command: str, **fields: Any) -> Answer:
        return ask(self.directory, {"command": command, **fields}, DEADLINE_S)

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="test-channel-", dir="/dev/shm"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def ear(directory: Path) -> Iterator[Ear]:
    made = Ear(directory)
    yield made
    made.close()


def say(ear: Ear, data: bytes) -> Answer:
    """Send these very bytes; the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE_S)
        connection.connect(str(ear.directory / "control.sock"))
        connection.sendall(data)
        received = b""
        while not received.endswith(b"\n"):
            part = connection.recv(65_536)
            assert part, "no answer"
            received += part
    answer: Answer = json.loads(received)
    return answer


def test_a_request_is_answered_and_names_who_asked(ear: Ear) -> None:
    answer = ear.ask("hello", reason="x")

    assert answer["summary"] == "hello"
    assert f"pid {os.getpid()}" in answer["by"]
    assert ear.asked == [{"command": "hello", "reason": "x"}]


def test_the_socket_is_its_owners_alone(ear: Ear) -> None:
    mode = (ear.directory / "control.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


_AS_NOBODY = """
import os, sys
from pathlib import Path
from supervision.control.socket import NobodyAnswers, ask
os.setgid(65534); os.setuid(65534)
try:
    print(ask(Path(sys.argv[1]), {"command": "pause"}, 30)["summary"])
except NobodyAnswers as error:
    print(error)
"""
_AS_NOBODY_WHO_DOES_NOT_LOOK = """
import os, socket, sys
os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.connect(sys.argv[1] + "/control.sock")
    connection.sendall(b'{"command": "pause"}\\n')
    print(connection.recv(65_536).decode())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("is_opened", [False, True])
def test_another_user_is_not_answered(ear: Ear, is_opened: bool) -> None:
    """Neither by the modes, nor, should somebody have widened them, by the supervisor."""
    if is_opened:
        ear.directory.chmod(0o755)
        (ear.directory / "control.sock").chmod(0o666)
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY_WHO_DOES_NOT_LOOK if is_opened else _AS_NOBODY, str(ear.directory)],
        cwd=PROJECT, capture_output=True, text=True, timeout=DEADLINE_S, check=True,
    )  # fmt: skip

    assert "belongs to another user" in done.stdout
    assert ear.asked == []
    assert len(ear.refused) == int(is_opened)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\n", "not one line of JSON"),
        (b"\xff\xfe\x00pause\n", "not one line of JSON"),
        (b"[" * 50_000 + b"\n", "not one line of JSON"),
        (b'"pause"\n', 'not an object with a "command"'),
        (b'{"command": 7}\n', 'not an object with a "command"'),
        (b"x" * 200_000 + b"\n", "a line longer than"),
    ],
)
def test_rubbish_is_refused_by_name_and_the_next_is_answered(ear: Ear, data: bytes, why: str) -> None:
    answer = say(ear, data)

    assert not answer["ok"]
    assert why in answer["summary"]
    assert len(ear.refused) == 1
    assert ear.ask("next")["ok"]


def test_two_requests_at_once_do_not_wait_for_each_other(ear: Ear) -> None:
    """A forced exit may take half a minute; a pause must not."""
    slow: list[Answer] = []
    thread = threading.Thread(target=lambda: slow.append(ear.ask("wait")))
    thread.start()
    wait_until(lambda: bool(ear.asked))

    assert ear.ask("quick")["ok"]
    assert slow == []

    ear.ask("go on")
    thread.join(DEADLINE_S)
    assert slow[0]["summary"] == "wait"


def test_clients_that_hang_cost_no_turn_and_are_sent_away(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connected and silent, half a line, gone in the middle: the supervisor goes on turning."""
    monkeypatch.setattr(channel_module, "_CONVERSATION_S", 0.3)
    hanging = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for connection in hanging:
        connection.settimeout(DEADLINE_S)
        connection.connect(str(ear.directory / "control.sock"))
    hanging[0].sendall(b'{"command": "pau')
    hanging[1].sendall(b'{"command": "pause"}\n')
    hanging[1].close()

    assert ear.ask("meanwhile")["ok"]
    for connection in (hanging[0], *hanging[2:]):
        assert b"no whole line" in connection.recv(4096)
        connection.close()
    assert ear.slowest_turn_s < 0.25, "nothing in a turn may wait for a client"


def test_more_than_a_handful_at_once_are_told_to_come_again(ear: Ear) -> None:
    waiting = [threading.Thread(target=lambda: ear.ask("wait")) for _ in range(8)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: len(ear.asked) == 8)

    refused = say(ear, b'{"command": "go on"}\n')
    assert "too many" in refused["summary"]

    ear.asked.append({"command": "go on"})
    for thread in waiting:
        thread.join(DEADLINE_S)
    assert ear.ask("again")["ok"]


def test_a_mistake_of_our_own_ends_one_conversation(ear: Ear) -> None:
    """The one who asked is told that there was none, and the supervisor lives."""
    with pytest.raises(NobodyAnswers, match="ended the conversation"):
        ear.ask("fail")
    assert ear.ask("next")["ok"]


def test_nobody_there_is_said_with_what_to_do(directory: Path) -> None:
    with pytest.raises(NobodyAnswers, match="start it again"):
        ask(directory, {"command": "pause"}, 1.0)

    left = socket.socket(socket.AF_UNIX)  # what a killed supervisor leaves
    left.bind(str(directory / "control.sock"))
    left.close()
    with pytest.raises(NobodyAnswers, match="start it again"):
        ask(directory, {"command": "pause"}, 1.0)


def test_a_directory_deeper_than_a_sockets_address_works_all_the_same() -> None:
    """An address holds 107 bytes; ``runtime.memory_dir`` may be anything."""
    parent = Path(tempfile.mkdtemp(prefix="test-channel-", dir="/dev/shm"))
    deep = parent / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    made = Ear(deep)
    try:
        assert made.ask("hello")["ok"]
    finally:
        made.close()
        shutil.rmtree(parent)
