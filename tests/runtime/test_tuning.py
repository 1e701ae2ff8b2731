"""What the system refuses is said with its remedy, and the process runs without."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from events.event import Event
from events.instance import PinRefused, TuningRefused
from observability.logs import Reporter
from runtime import tuning
from settings import PROJECT, SettingsError, load_raw, parse_settings
from tests.waiting import DEADLINE_S


class Said(Reporter):
    """A reporter that keeps what is reported."""

    def __init__(self) -> None:
        super().__init__("executor", run_id="r", level=None)
        self.events: list[Event] = []

    def report(self, event: Event) -> bool:
        self.events.append(event)
        return super().report(event)


@pytest.fixture
def logged() -> Said:
    return Said()


def test_a_core_that_is_not_there_is_reported(logged: Said) -> None:
    before = os.sched_getaffinity(0)

    tuning.pin(4_095, logged)

    assert os.sched_getaffinity(0) == before
    (event,) = logged.events
    assert isinstance(event, PinRefused)
    assert event.core == 4_095
    assert "runtime.pin" in event.detail


def test_a_device_that_cannot_be_opened_is_reported_and_nothing_is_held(
    logged: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "DMA_LATENCY", tmp_path / "absent")

    with tuning.cores_kept_awake(True, logged):
        pass

    (event,) = logged.events
    assert isinstance(event, TuningRefused)
    assert event.what == "keep_cores_awake"
    assert "No such file" in event.detail
    assert "absent" in event.detail


def test_idle_states_are_forbidden_as_long_as_the_context_lasts(
    logged: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes the number as four bytes and keeps it while the file is open."""
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    monkeypatch.setattr(tuning, "DMA_LATENCY", device)

    def is_open() -> bool:
        return any(
            os.path.samefile(f"/proc/self/fd/{fd}", device)
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        )

    with tuning.cores_kept_awake(True, logged):
        assert device.read_bytes() == b"\0\0\0\0"
        assert is_open()
    assert not is_open()
    assert logged.events == []


def test_nothing_is_touched_unless_it_is_wanted(logged: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "DMA_LATENCY", Path("/nowhere/at/all"))
    with tuning.cores_kept_awake(False, logged):
        assert logged.events == []


_LOCK = """
import resource, sys
from runtime import tuning
class Said:
    def report(self, event): print(event.name(), event.what, "|", event.detail)
if sys.argv[1] == "limited":
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (4096, 4096))
    import ctypes, os
    if os.getuid() == 0: os.setuid(65534)
tuning.lock_memory(Said())
tuning.prioritise(int(sys.argv[2]), Said())
print(open("/proc/self/status").read().split("VmLck:")[1].split()[0])
"""


def in_a_process(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", _LOCK, *arguments]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=DEADLINE_S
    )
    return done.stdout.splitlines()


def test_without_permission_pages_stay_unlocked_and_the_priority_as_it_was() -> None:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        pytest.skip("written for 64 bits")
    lock, priority, locked_kib = in_a_process("limited", "-5")

    assert lock.startswith("tuning_refused lock_memory |")
    assert "ulimit -l unlimited" in lock
    assert priority.startswith("tuning_refused priority |")
    assert "runtime.nice" in priority
    assert locked_kib == "0"


@pytest.mark.skipif(os.getuid() != 0, reason="locking this much needs root or a higher limit")
def test_with_permission_every_page_is_locked() -> None:
    (locked_kib,) = in_a_process("free", "1")
    assert int(locked_kib) > 1_000


def test_what_is_configured_is_checked() -> None:
    raw = load_raw(PROJECT / "config.yaml")
    raw["runtime"] |= {"nice": {"executor": -21, "barber": 1}, "keep_cores_awake": 1}

    with pytest.raises(SettingsError) as refused:
        parse_settings(raw, "test")

    assert {"runtime.nice.executor", "runtime.keep_cores_awake"} <= {p.key for p in refused.value.problems}
