"""Killed at any instruction between a ring and the disk, persistence loses nothing and doubles nothing.

The process is the real one and dies by SIGKILL. What it dies at is one of its own system calls: the
space of a ring is given back only after the fsync, and the journal's last record says where to go on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import orjson
import pytest

from events.persistence import JournalCheckpoint
from persistence.journal import files, read_file
from persistence.restore import SOURCE, holdings_of
from persistence.salvage import keep_unread
from runtime.carried_positions import CarriedPair, is_written, read_carried
from tests.persistence.harness import Harness, a_harness
from tests.waiting import wait_until

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"  # the database plays no part here
# Before the n-th call of a system call, in the middle of a write, or right after the call.
DYING = """
import os, signal
name, count, how = {name!r}, {count}, {how!r}
real = getattr(os, name)
def fatal(*arguments):
    global count
    count -= 1
    if count == 0:
        if how == "torn":
            fd, data, offset = arguments
            real(fd, data[: len(data) // 2], offset)
        elif how == "after":
            real(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
setattr(os, name, fatal)
from persistence.process import main
main()
"""


@pytest.fixture
def harness() -> Iterator[Harness]:
    with a_harness(NOWHERE) as harness:
        yield harness


def test_killed_between_reading_and_giving_the_space_back(harness: Harness) -> None:
    """Read from the ring and not on disk: read again. On disk and not given back: not written again."""
    harness.push(30)
    harness.push(10, "detector")
    deaths = [
        ("pwrite", "torn", 1),
        ("pwrite", "after", 2),
        ("fdatasync", "before", 2),
        ("fdatasync", "after", 3),
    ]
    for name, how, count in deaths:
        harness.start(DYING.format(name=name, count=count, how=how))
        process = harness.process
        assert process is not None
        while process.poll() is None:
            harness.push(5)  # each push is another group, until the process has met its call
            wait_until(lambda: harness.has_drained() or process.poll() is not None)  # noqa: B023
        assert harness.ended() == -signal.SIGKILL

    harness.start()
    wait_until(harness.has_drained)

    assert sorted(harness.journalled_serials()) == harness.all_serials
    numbers = [entry.number for entry in harness.journal()]
    assert numbers == sorted(set(numbers))
    assert harness.stop() == 0


def test_killed_at_random_while_events_pour_in(harness: Harness) -> None:
    """Wherever it happens to be; order within a source is kept throughout."""
    for life in range(4):
        harness.start()
        wait_until(lambda: harness.counter("heartbeat_mono_ns"))
        deadline_s = time.monotonic() + 0.07 * life
        while time.monotonic() < deadline_s:
            harness.push(20)
            harness.push(5, "supervisor")
        harness.kill()
    harness.start()
    wait_until(harness.has_drained)

    assert sorted(harness.journalled_serials()) == harness.all_serials
    for source in ("executor", "supervisor"):
        cursors = [entry.cursor for entry in harness.journal() if entry.source == source]
        assert cursors == sorted(set(cursors))


def test_memory_lost_with_the_power_begins_anew_behind_the_journal(harness: Harness) -> None:
    """A new run's rings start at nothing: no cursor of the old run may make it skip their events."""
    harness.start()
    harness.push(50)
    wait_until(harness.has_drained)
    harness.kill()
    harness.new_run("run-2")
    harness.push(50)
    harness.start()
    wait_until(harness.has_drained)

    assert harness.journalled_serials() == harness.all_serials
    # And each file begins with what was held, so that the ones before it may go.
    for path in files(harness.journal_dir):
        first = next(read_file(path))
        assert (first.source, orjson.loads(first.payload)["event"]) == (SOURCE, JournalCheckpoint.name())


def test_a_disk_that_refuses_keeps_events_in_the_rings(harness: Harness) -> None:
    """Told once, entries stopped; with room again everything is written, in order, once."""
    harness.start()
    harness.push(100)
    wait_until(harness.has_drained)
    assert harness.process is not None
    pid, size = harness.process.pid, max(path.stat().st_size for path in harness.var_dir.rglob("*.journal"))
    subprocess.run(["prlimit", "--pid", str(pid), f"--fsize={size + 100}:"], check=True)
    harness.push(500)
    harness.wait_for("journal_refused")
    wait_until(lambda: harness.counter("journal_full") == 1)
    assert not harness.has_drained()
    subprocess.run(["prlimit", "--pid", str(pid), "--fsize=unlimited:"], check=True)
    harness.wait_for("journal_writable")
    wait_until(harness.has_drained)
    wait_until(lambda: harness.counter("journal_full") == 0)

    assert harness.journalled_serials() == harness.all_serials
    assert len(harness.events("journal_refused")) == len(harness.events("journal_writable")) == 1
    assert harness.events("events_lost") == []
    # The outage is history, too.
    own = [entry.payload for entry in harness.journal() if entry.source == SOURCE]
    assert any(b"journal_refused" in line for line in own)


def test_the_journal_is_for_its_owner_alone(harness: Harness) -> None:
    """Positions and results of a person's account."""
    harness.start()
    harness.push(1)
    wait_until(harness.has_drained)

    modes = {oct(os.stat(path).st_mode & 0o077) for path in harness.var_dir.rglob("*.journal")}
    assert modes == {"0o0"}


@pytest.mark.parametrize(("bot_id", "mode"), [("test", "paper"), ("other", "live")])
def test_what_is_held_on_paper_or_by_another_bot_is_not_ours(
    harness: Harness, bot_id: str, mode: str
) -> None:
    """The usual way to real money is from paper, with one var_dir. The first live start took the virtual
    position for its own: a real one that lay there, the operator's, would have been sold for it."""
    legs = [
        {"leg": leg, "venue": venue, "symbol": "A", "size_e8": size_e8, "entry_price_e8": 7, "fee_e8": 0}
        for leg, venue, size_e8 in ((0, "vest", 5), (1, "paradex", -5))
    ]
    holding = {"pair": "btc", "trade_id": 77, "direction": 1, "layers": 1, "legs": legs, "opened_mono_ns": 0,
               "is_estimated": False}  # fmt: skip

    def held_by(run_id: str, **whose: str) -> tuple[CarriedPair, ...]:
        harness.new_run(run_id, **whose)
        harness.start()
        wait_until(lambda: is_written(harness.memory.directory), "the answer to what is held")
        return read_carried(harness.memory.directory)

    assert held_by("run-2", bot_id=bot_id, mode=mode) == ()
    harness.tell("holding", **holding)
    wait_until(harness.has_drained)
    harness.kill()

    assert held_by("run-3") == ()
    harness.kill()
    (pair,) = held_by("run-4", bot_id=bot_id, mode=mode)
    assert pair.sizes_e8 == (5, -5)
    harness.kill()


_ON_A_FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
from persistence.process import main
main()
"""


def test_what_a_killed_run_left_on_a_full_disk_is_known_at_once_and_journalled_first(
    harness: Harness,
) -> None:
    """Nobody looked after its positions: the start was refused. The journal is in the order of events."""
    harness.push(500)
    harness.tell(
        "holding", pair="btc", trade_id=77, direction=1, layers=1, opened_mono_ns=0, is_estimated=False,
        legs=[
            {"leg": leg, "venue": venue, "symbol": "A", "size_e8": size, "entry_price_e8": 7, "fee_e8": 0}
            for leg, venue, size in ((0, "vest", 5), (1, "paradex", -5))
        ],
    )  # fmt: skip
    left = harness.memory.directory
    harness.new_run("run-2")
    kept = keep_unread(left, harness.memory.directory, 1)
    harness.start(_ON_A_FULL_DISK)
    harness.push(3)

    assert [pair["sizes_e8"] for pair in harness.wait_for("journal_read")["pairs"]] == [[5, -5]]
    harness.wait_for("journal_refused")
    assert harness.counter("journal_full") == 1
    assert harness.journalled_serials() == []
    assert not harness.has_drained()
    harness.kill()  # and once more
    harness.start(_ON_A_FULL_DISK)
    harness.wait_for("journal_refused", 2)

    assert harness.process is not None
    subprocess.run(["prlimit", "--pid", str(harness.process.pid), "--fsize=unlimited:"], check=True)
    assert harness.wait_for("left_memory_read")["events_kept"] == 501
    harness.wait_for("journal_writable")
    wait_until(harness.has_drained)
    assert harness.journalled_serials() == harness.all_serials
    assert not kept.exists()
    assert harness.stop() == 0
    assert [pair.sizes_e8 for pair in holdings_of(harness.journal_dir).held()] == [(5, -5)]


def test_a_journal_that_cannot_be_opened_ends_no_running_instance(harness: Harness) -> None:
    """Persistence was killed, and a file in its way was exit code 2: with it the whole instance stopped."""
    harness.start()
    harness.push(5)
    harness.wait_for("journal_read")
    wait_until(harness.has_drained)
    harness.kill()
    aside = harness.journal_dir.with_name("aside")
    harness.journal_dir.rename(aside)
    harness.journal_dir.write_text("in the way")
    harness.push(5)
    harness.start()
    assert str(harness.journal_dir) in harness.wait_for("journal_refused")["detail"]
    wait_until(lambda: harness.counter("journal_full") == 1)
    harness.journal_dir.unlink()
    aside.rename(harness.journal_dir)
    harness.wait_for("journal_writable")
    wait_until(harness.has_drained)
    assert harness.journalled_serials() == harness.all_serials
    wait_until(lambda: harness.counter("journal_full") == 0)
    assert harness.stop() == 0
