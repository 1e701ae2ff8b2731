"""The kill latch: pulled in either of its two places is pulled, and only both released is released."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import kill_switch
from runtime.kill_switch import KillSwitch
from shm.layout import Memory, MemoryPlan


@pytest.fixture
def memory() -> Iterator[Memory]:
    directory = Path(tempfile.mkdtemp(prefix="latch-", dir="/dev/shm"))
    plan = MemoryPlan((), 1, 1, 16, 4096, 4096, ())
    Memory.create(directory / "instance", plan, {})
    yield Memory(directory / "instance")
    shutil.rmtree(directory)


def test_pulled_in_a_running_instance_it_is_seen_at_once(memory: Memory, tmp_path: Path) -> None:
    """No look at the disk, no turn of a loop: the next entry already meets it."""
    latch = KillSwitch(tmp_path / "kill", memory.latch())
    assert not latch.is_engaged

    kill_switch.engage(tmp_path / "kill", memory, "test")

    assert latch.is_engaged
    latch.close()


def test_the_file_alone_is_enough(memory: Memory, tmp_path: Path) -> None:
    """``touch`` over a bad connection, or a reboot after a kill: the latch still holds."""
    latch = KillSwitch(tmp_path / "kill", memory.latch())
    (tmp_path / "kill").touch()
    latch.look()
    assert latch.is_engaged
    latch.close()

    later = KillSwitch(tmp_path / "kill", memory.latch())
    assert later.is_engaged, "a later life must not begin by trading"
    later.close()


def test_a_disk_that_does_not_say_counts_as_pulled(memory: Memory, tmp_path: Path) -> None:
    """The executor must not end of it, again and again: exits go on, nothing is opened."""
    latch = KillSwitch(tmp_path / ("x" * 300), memory.latch())  # the system refuses to look for such a name
    assert latch.is_engaged
    latch.close()


def test_released_it_lets_entries_through(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "var" / "kill"
    latch = KillSwitch(path, memory.latch())
    kill_switch.engage(path, memory, "the operator's reason")
    assert path.read_text() == "the operator's reason\n"
    latch.look()

    kill_switch.release(path, memory)
    assert latch.is_engaged, "the file was there when it was last looked for"
    latch.look()

    assert not latch.is_engaged
    kill_switch.release(path, memory)  # releasing what is not pulled is no error
    latch.close()


def test_without_an_instance_the_latch_waits_for_the_next(tmp_path: Path) -> None:
    kill_switch.engage(tmp_path / "kill", None, "before the start")
    assert (tmp_path / "kill").exists()
    kill_switch.release(tmp_path / "kill", None)
    assert not (tmp_path / "kill").exists()
