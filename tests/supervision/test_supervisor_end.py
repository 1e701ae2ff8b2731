"""However the end comes, the executor is given the time to mend what is under way.

The executor here is a few lines that know what the supervisor knows of it: it beats, it may die, and
when it is told to end it needs a moment and then says that it has finished.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from observability import logs
from runtime.epochs import Epochs
from runtime.unconfirmed import read_unconfirmed, write_unconfirmed
from settings import PROJECT, Settings, load_raw
from shm.counter_names import EXECUTOR_COUNTERS, PROCESS_STATES, supervisor_counters
from shm.counters import CounterTable
from supervision.preflight import resolve
from supervision.process_table import Child, ProcessState
from supervision.supervisor import Supervisor
from supervision.systemd import ServiceManager
from supervision.takeover import Takeover, instance_directory
from tests.waiting import DEADLINE_S

EXECUTOR = """
import pathlib, signal, sys, time
sys.path.insert(0, sys.argv[1])
from shm.counters import CounterTable
directory = pathlib.Path(sys.argv[2])
lives = directory / "lives"
life = len(lives.read_text()) + 1 if lives.exists() else 1
lives.write_text("x" * life)
asked = []
time.sleep(float(sys.argv[4]) if life > 1 else 0)
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
counters = CounterTable.attach(directory / "executor", writer=True)
beat = counters.index("heartbeat_mono_ns")
while not asked:
    counters.set(beat, time.monotonic_ns())
    counters.set(counters.index("ready"), (directory / "ready").exists())
    if life == 1 and (directory / "die").exists():
        sys.exit(3)
    time.sleep(0.01)
time.sleep(0.3)  # what is left to do takes a while: whoever does not wait for it finds nothing finished
(directory / "finished").write_text(str(life))
sys.exit(int(sys.argv[3]))
"""


class Harness:
    """A supervisor with one child."""

    def __init__(
        self,
        directory: Path,
        *,
        exit_code: int = 0,
        boot_s: float = 0.0,
        service_manager: ServiceManager | None = None,
    ) -> None:
        self.directory = directory
        self.lines: list[dict[str, Any]] = []
        CounterTable.create(directory / "supervisor", supervisor_counters(["executor"]), [])
        CounterTable.create(directory / "executor", list(EXECUTOR_COUNTERS), [])

        def keep(line: bytes) -> bool:
            self.lines.append(json.loads(line))
            return True

        reporter = logs.Reporter("supervisor", run_id="r", to_queue=keep, level=None)
        settings, _ = resolve(load_raw(PROJECT / "config.yaml"), "config.yaml")
        counters = CounterTable.attach(directory / "supervisor", writer=True)
        epochs = Epochs(directory / "epoch")
        unconfirmed = partial(read_unconfirmed, directory)
        self.supervisor = Supervisor(settings, reporter, counters, epochs, service_manager, unconfirmed)
        arguments = [str(PROJECT), str(directory), str(exit_code), str(boot_s)]
        command = [sys.executable, "-c", EXECUTOR, *arguments]
        self.executor = Child(
            "executor", command, frozenset(), CounterTable.attach(directory / "executor", readonly=True)
        )
        self.supervisor.start(self.executor)

    def turn_until(self, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline_s
            self.supervisor.poll(0.01)

    def until_state(self, state: ProcessState) -> None:
        self.turn_until(lambda: self.executor.state is state)

    @property
    def finished_in_life(self) -> str:
        path = self.directory / "finished"
        return path.read_text() if path.exists() else ""

    def shown(self, what: str) -> int:
        table = CounterTable.attach(self.directory / "supervisor", readonly=True)
        return table.get(table.index(what))


def own(directory: Path) -> Settings:
    """The shipped settings, with everything that is kept in a directory of the test's own."""
    raw = load_raw(PROJECT / "config.yaml")
    places = {"runtime": {"memory_dir": str(directory)}, "persistence": {"var_dir": str(directory)}}
    return resolve({**raw, **places}, "config.yaml")[0]


@pytest.fixture
def make_harness(tmp_path: Path) -> Iterator[Callable[..., Harness]]:
    worlds: list[Harness] = []

    def make(**changes: Any) -> Harness:
        worlds.append(Harness(tmp_path, **changes))
        return worlds[-1]

    yield make
    for harness in worlds:
        if harness.executor.process is not None:
            harness.executor.process.kill()
            harness.executor.process.wait()


def test_an_executor_that_has_just_died_is_started_once_more_to_finish(
    make_harness: Callable[..., Harness],
) -> None:
    """Ctrl-C in the seconds between its death and its restart: nobody else knows what was under way."""
    harness = make_harness(boot_s=0.5)
    harness.until_state(ProcessState.RUNNING)
    harness.executor.quick_deaths = 3  # the next restart is seconds away
    (harness.directory / "die").touch()
    harness.until_state(ProcessState.BACKOFF)

    assert harness.supervisor.stop(0) == 0

    assert harness.finished_in_life == "2"


def test_an_executor_that_is_coming_up_again_is_told_to_end_when_it_can_hear_it(
    make_harness: Callable[..., Harness],
) -> None:
    """A SIGTERM before its handler stands would just end it."""
    harness = make_harness(boot_s=0.5)
    harness.until_state(ProcessState.RUNNING)
    (harness.directory / "die").touch()
    harness.turn_until(lambda: harness.executor.incarnations == 2)
    assert harness.executor.state is ProcessState.STARTING

    assert harness.supervisor.stop(0) == 0

    assert harness.finished_in_life == "2"


def test_an_executor_that_did_not_end_in_order_is_told_and_is_no_success(
    make_harness: Callable[..., Harness],
) -> None:
    harness = make_harness(exit_code=1)
    harness.until_state(ProcessState.RUNNING)

    assert harness.supervisor.stop(0) == 1

    (line,) = [line for line in harness.lines if line["level"] == "error"]
    assert "look at both venues" in line["detail"]
    assert not harness.supervisor.has_executor_ended_in_order


def test_a_run_whose_executor_did_not_end_in_order_leaves_its_memory_to_the_next(tmp_path: Path) -> None:
    """What the executor knew and had not told is nowhere else. An ordinary end leaves nothing."""
    settings = own(tmp_path)
    for is_left in (False, True):
        takeover = Takeover()
        with instance_directory(settings, Epochs(tmp_path / "epoch"), takeover) as directory:
            directory.mkdir()
            takeover.is_left_in_turn = is_left
        assert directory.exists() is is_left


def test_a_failure_of_the_supervisor_lets_the_executor_finish(make_harness: Callable[..., Harness]) -> None:
    """SIGKILL would leave the leg that was being mended."""
    harness = make_harness()
    harness.until_state(ProcessState.RUNNING)

    harness.supervisor.kill_all()

    assert harness.finished_in_life == "1"
    assert harness.executor.process is not None
    assert harness.executor.process.returncode == 0


def test_a_failure_of_the_supervisor_leaves_the_memory_to_be_looked_at(tmp_path: Path) -> None:
    """It knows what was under way; the next start reads it."""
    settings = own(tmp_path)

    def fail() -> None:
        with instance_directory(settings, Epochs(tmp_path / "epoch"), Takeover()) as directory:
            directory.mkdir()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / f"tandem-{settings.bot_id}").exists()


def test_a_hang_up_of_the_terminal_is_a_request_to_stop(make_harness: Callable[..., Harness]) -> None:
    """The connection to the server breaks; its default would end the supervisor on the spot."""
    harness = make_harness()
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    try:
        harness.supervisor.listen_for_signals()
        signal.raise_signal(signal.SIGHUP)
        assert harness.supervisor.stop_requested
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in before.items():
            signal.signal(number, handler)


def test_numbers_of_lives_only_grow_whatever_the_clock_does(tmp_path: Path) -> None:
    """An id used twice has the venue tell of the old order when it is asked about the new one."""
    clock_s = [1_800_000_000.0]

    def epochs() -> Epochs:
        return Epochs(tmp_path / "var" / "epoch", lambda: clock_s[0])

    first = epochs()
    given = [first.next() for _ in range(3)]
    given.append(epochs().next())  # started again within the second
    clock_s[0] -= 3_600  # the clock is set back
    given.append(epochs().next())
    clock_s[0] += 7_200
    given.append(epochs().next())

    assert given == sorted(set(given))
    assert given[-1] == int(clock_s[0]) - 1_767_225_600


def test_a_damaged_number_of_lives_is_named(tmp_path: Path) -> None:
    (tmp_path / "epoch").write_text("x")
    with pytest.raises(ValueError, match="epoch holds no number"):
        Epochs(tmp_path / "epoch")


def test_an_empty_number_of_lives_follows_the_clock(tmp_path: Path) -> None:
    """A disk that was full when the file was made leaves it empty."""
    (tmp_path / "epoch").touch()
    assert Epochs(tmp_path / "epoch").next() > 0


def test_numbers_grow_though_their_file_is_spoilt_or_the_disk_is_full(tmp_path: Path) -> None:
    """An executor that dies then must have a successor: what it holds has to be looked after."""
    clock_s = [1_800_000_000.0]
    path = tmp_path / "epoch"
    epochs = Epochs(path, lambda: clock_s[0])
    given = [epochs.next()]
    for content in ("", "rubbish", "7"):
        path.write_text(content)
        given.append(epochs.next())
    assert not epochs.problem
    path.write_text("")
    with files_no_larger_than(3):
        given.append(epochs.next())
        assert "epoch cannot be written: " in epochs.problem
        given.append(epochs.next())
    given.append(epochs.next())
    assert not epochs.problem
    assert given == sorted(set(given))
    assert Epochs(path, lambda: clock_s[0]).next() > given[-1]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As a full disk, but for the error's number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_whoever_looks_sees_state_pid_and_restarts_of_a_process(make_harness: Callable[..., Harness]) -> None:
    """The monitor has nothing but the memory to say how a process is."""
    harness = make_harness()
    harness.until_state(ProcessState.RUNNING)
    assert PROCESS_STATES[harness.shown("state.executor")] == "running"
    assert harness.executor.process is not None
    assert harness.shown("pid.executor") == harness.executor.process.pid
    assert harness.shown("restarts.executor") == 0
    (harness.directory / "die").touch()
    harness.turn_until(lambda: harness.executor.incarnations == 2)

    assert PROCESS_STATES[harness.shown("state.executor")] == "starting"
    assert harness.shown("restarts.executor") == 1
    assert 0 < harness.shown("started_mono_ns") < harness.shown("heartbeat_mono_ns") <= time.monotonic_ns()
    harness.supervisor.stop(0)
    assert PROCESS_STATES[harness.shown("state.executor")] == "exited"


@pytest.mark.parametrize(("left", "exit_code"), [([], 0), (["paradex: open orders"], 1)])
def test_what_the_venues_did_not_confirm_is_the_exit_code_and_said(
    make_harness: Callable[..., Harness], left: list[str], exit_code: int
) -> None:
    """The executor has ended in order: it is the venues that somebody has to look at."""
    harness = make_harness()
    harness.until_state(ProcessState.RUNNING)
    write_unconfirmed(harness.directory, left)

    assert harness.supervisor.stop(0) == exit_code

    assert harness.supervisor.has_executor_ended_in_order
    assert harness.supervisor.unconfirmed == left
    (line,) = [line for line in harness.lines if line["event"] == "processes_stopped"]
    assert line["exit_code"] == exit_code
