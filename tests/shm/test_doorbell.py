"""A doorbell wakes who sleeps, costs nothing while he is awake, and a lost ring has a bound."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from shm.agent import park
from shm.doorbell import Doorbell
from tests.shm.processes import InheritedFd, Peer, peer
from tests.waiting import wait_until

LONG_MS = 30_000.0  # so long that only a ring can end it in time


@pytest.fixture
def bell_fd() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


@pytest.fixture
def path(directory: Path) -> Path:
    path = directory / "doorbells"
    Doorbell.create_table(path, 2)
    return path


def bell(path: Path, fd: int, index: int = 1) -> Doorbell:
    return Doorbell(Doorbell.attach_table(path), index, fd)


def says_it_sleeps(path: Path) -> bool:
    return Doorbell.attach_table(path).words[8] == 1


def rings_in(fd: int) -> int:
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def test_a_ring_makes_no_system_call_while_the_sleeper_is_awake(path: Path, bell_fd: int) -> None:
    ringer = bell(path, bell_fd)
    ringer.ring()
    assert rings_in(bell_fd) == 0

    ringer.announce_sleep()
    ringer.ring()
    ringer.ring()
    assert rings_in(bell_fd) == 1, "the first ringer clears the word: one call however many ring"


def test_bells_of_one_table_are_apart(path: Path, bell_fd: int) -> None:
    bell(path, bell_fd, index=0).announce_sleep()
    bell(path, bell_fd, index=1).ring()
    assert rings_in(bell_fd) == 0


def test_who_was_given_no_descriptor_can_neither_wake_nor_hang(path: Path) -> None:
    """A tool attaches without the supervisor's descriptors."""
    mute = bell(path, -1)
    mute.announce_sleep()
    mute.ring()
    started_ns = time.monotonic_ns()
    mute.announce_sleep()
    mute.wait(5)
    assert time.monotonic_ns() - started_ns >= 5_000_000
    assert not says_it_sleeps(path)


def test_a_blocking_descriptor_is_refused(path: Path) -> None:
    """Drained once more than rung, it would stop an event loop for ever."""
    fd = os.eventfd(0)
    with pytest.raises(AssertionError, match="blocking"):
        bell(path, fd)
    os.close(fd)


def sleep_until_rung(pipe: Connection, path: Path, fd: InheritedFd, timeout_ms: float) -> None:
    sleeper = bell(path, fd.detach())
    pipe.send("ready")
    while pipe.recv() == "sleep":
        sleeper.announce_sleep()
        started_ns = time.monotonic_ns()
        sleeper.wait(timeout_ms)
        woken_ns = time.monotonic_ns()
        pipe.send((started_ns, woken_ns))


@contextmanager
def a_sleeper(path: Path, fd: int, timeout_ms: float) -> Iterator[Peer]:
    with peer(sleep_until_rung, path, InheritedFd(fd), timeout_ms) as sleeper:
        assert sleeper.receive() == "ready"
        yield sleeper


def test_a_ring_wakes_a_sleeping_process(path: Path, bell_fd: int) -> None:
    ringer = bell(path, bell_fd)
    with a_sleeper(path, bell_fd, LONG_MS) as sleeper:
        for _ in range(200):
            sleeper.pipe.send("sleep")
            wait_until(lambda: says_it_sleeps(path))
            ringer.ring()
            started_ns, woken_ns = sleeper.receive()
            assert woken_ns - started_ns < LONG_MS * 1e6 / 2
            assert not says_it_sleeps(path)


def test_a_lost_ring_is_bounded_by_the_parks_limit(path: Path, bell_fd: int) -> None:
    """The ringer was killed between clearing the word and writing the eventfd."""
    with a_sleeper(path, bell_fd, 20.0) as sleeper:
        sleeper.pipe.send("sleep")
        wait_until(lambda: says_it_sleeps(path))
        Doorbell.attach_table(path).words[8] = 0
        started_ns, woken_ns = sleeper.receive()
    assert woken_ns - started_ns >= 20_000_000, "nobody rang"


def test_a_ring_left_over_wakes_once_and_no_more(path: Path, bell_fd: int) -> None:
    """A sleeper that found work by itself leaves a ring behind: a short turn, not a spin."""
    os.eventfd_write(bell_fd, 3)
    sleeper = bell(path, bell_fd)
    sleeper.announce_sleep()
    sleeper.wait(LONG_MS)
    assert not says_it_sleeps(path)
    started_ns = time.monotonic_ns()
    sleeper.announce_sleep()
    sleeper.wait(20)
    assert time.monotonic_ns() - started_ns >= 20_000_000, "drained before the next sleep"


class Worker:
    """An agent that has work when told so."""

    def __init__(self, has_work: bool) -> None:
        self._has_work = has_work

    def do_work(self, now_mono_ns: int) -> int:
        return 0

    def has_work(self) -> bool:
        return self._has_work

    def on_idle(self, now_mono_ns: int) -> None: ...

    def on_close(self) -> None: ...


def test_park_looks_once_more_before_it_sleeps(path: Path, bell_fd: int) -> None:
    """Work that came between the last look and the announcement rang nobody."""
    started_ns = time.monotonic_ns()
    park(bell(path, bell_fd), max_park_ms=LONG_MS)(Worker(has_work=True))
    assert time.monotonic_ns() - started_ns < LONG_MS * 1e6 / 2
    assert not says_it_sleeps(path)


def test_park_sleeps_no_longer_than_its_limit(path: Path, bell_fd: int) -> None:
    started_ns = time.monotonic_ns()
    park(bell(path, bell_fd), max_park_ms=5)(Worker(has_work=False))
    assert time.monotonic_ns() - started_ns >= 5_000_000
    assert not says_it_sleeps(path)
