"""The duty cycle: time read once per turn, a beat each turn, and a close however it ends."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from shm.agent import idle_strategy, run_agent, spin, yield_core
from shm.doorbell import Doorbell
from tests.shm.processes import peer


class Recorder:
    """An agent that writes down what is asked of it; ``script`` is what each turn achieves."""

    def __init__(self, script: list[int | BaseException]) -> None:
        self.script = script
        self.log: list[str] = []

    def do_work(self, now_mono_ns: int) -> int:
        self.log.append(f"work at {now_mono_ns}")
        outcome = self.script.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def has_work(self) -> bool:
        return False

    def on_idle(self, now_mono_ns: int) -> None:
        self.log.append(f"idle at {now_mono_ns}")

    def on_close(self) -> None:
        self.log.append("close")


def run(agent: Recorder, clock: Callable[[], int] | None = None) -> None:
    times = iter(range(1, 100))
    run_agent(
        agent,
        clock_mono_ns=clock or (lambda: next(times)),
        idle=lambda _: agent.log.append("rest"),
        beat=lambda now_mono_ns: agent.log.append(f"beat {now_mono_ns}"),
        is_stopping=lambda: not agent.script,
    )


def test_each_turn_reads_the_clock_once_beats_works_and_rests_only_when_idle() -> None:
    agent = Recorder([3, 0, 1])

    run(agent)

    assert agent.log == [
        *("beat 1", "work at 1"),
        *("beat 2", "work at 2", "idle at 2", "rest"),
        *("beat 3", "work at 3"),
        "close",
    ]


def test_an_agent_told_to_stop_before_its_first_turn_is_still_closed() -> None:
    agent = Recorder([])
    run(agent)
    assert agent.log == ["close"]


@pytest.mark.parametrize("end", [ValueError("bug"), KeyboardInterrupt(), SystemExit(3), AssertionError()])
def test_on_close_runs_however_work_ends_and_the_reason_is_not_lost(end: BaseException) -> None:
    agent = Recorder([1, end])
    with pytest.raises(type(end)) as raised:
        run(agent)
    assert raised.value is end
    assert agent.log[-1] == "close"


def test_on_close_runs_when_the_loop_itself_fails() -> None:
    def broken_clock() -> int:
        raise OSError("no clock")

    agent = Recorder([1])
    with pytest.raises(OSError, match="no clock"):
        run(agent, broken_clock)
    assert agent.log == ["close"]


def run_until_signalled(pipe: Connection, use_handler: bool) -> None:
    stopping: list[int] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    if use_handler:
        signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))

    class Announcing(Recorder):
        def do_work(self, now_mono_ns: int) -> int:
            if now_mono_ns == 1:
                pipe.send("running")
            return 0

        def on_close(self) -> None:
            pipe.send("closed")

    times = iter(range(1, 2**62))
    run_agent(
        Announcing([]),
        clock_mono_ns=lambda: next(times),
        idle=yield_core,
        beat=lambda now_mono_ns: None,
        is_stopping=lambda: bool(stopping),
    )


@pytest.mark.parametrize(("number", "use_handler"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
def test_a_signalled_process_closes_its_agent(number: signal.Signals, use_handler: bool) -> None:
    with peer(run_until_signalled, use_handler) as process:
        assert process.receive() == "running"
        assert process.process.pid is not None
        subprocess.run(["kill", f"-{number.value}", str(process.process.pid)], check=True)
        assert process.receive() == "closed"
        assert process.join() == (0 if use_handler else 1)


def test_waiting_strategies_go_by_their_names_and_no_other(directory: Path) -> None:
    Doorbell.create_table(directory / "doorbells", 1)
    doorbell = Doorbell(Doorbell.attach_table(directory / "doorbells"), 0, -1)

    assert idle_strategy("spin", doorbell) is spin
    assert idle_strategy("yield", doorbell) is yield_core
    park = idle_strategy("park", doorbell)
    park(Recorder([]))
    with pytest.raises(KeyError, match="spni"):
        idle_strategy("spni", doorbell)


def test_a_quiet_collector_leaves_start_up_alone_and_can_be_called_by_hand() -> None:
    """In a process of its own: it changes the interpreter for good."""
    program = (
        "import gc; from shm.agent import quiet_garbage_collector\n"
        "quiet_garbage_collector()\n"
        "frozen = gc.get_freeze_count()\n"
        "junk = []; junk.append(junk); del junk\n"
        "print(gc.isenabled(), frozen > 1000, gc.collect() >= 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]
    assert gc.isenabled(), "this process is none of its business"
