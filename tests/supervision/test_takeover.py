"""What a start finds of an instance that was killed."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from persistence.journal import Journal, files, journal_directory, read_file
from persistence.salvage import unread_memories
from runtime.bootstrap import boot_id, machine_code_id, write_launch
from runtime.epochs import Epochs
from settings import PROJECT, load_raw
from shm.layout import Memory
from shm.segment import SegmentError
from supervision import takeover as taking_over
from supervision.memory_plan import memory_plan, process_counters
from supervision.preflight import resolve
from supervision.takeover import Takeover, instance_directory, processes_of

HUNG = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(flush=True)\ntime.sleep(60)\n"
)


class Host:
    """A memory directory and a journal of the test's own."""

    def __init__(self, directory: Path, memory_dir: Path | None = None) -> None:
        raw = load_raw(PROJECT / "config.yaml") | {"mode": "paper"}
        raw["runtime"] |= {"memory_dir": str(memory_dir or directory), "shutdown_timeout_s": 0.1}
        raw["persistence"] |= {"var_dir": str(directory / "var")}
        self.settings, self.raw = resolve(raw, "config.yaml")
        self.memory = directory / f"tandem-{self.settings.bot_id}"
        self.epochs = Epochs(directory / "var" / "epoch")

    def take_over(self, *, clean: bool = False) -> Takeover:
        takeover = Takeover()
        with instance_directory(self.settings, self.epochs, takeover, clean=clean) as directory:
            assert not directory.exists()
        return takeover

    def leave_memory(self, *lines: bytes) -> None:
        Memory.create(self.memory, memory_plan(self.settings), process_counters(self.settings))
        write_launch(self.memory, self.raw, "killed-run", [])
        writer = Memory(self.memory).events_writer("executor")
        for line in lines:
            writer.push(line)
        writer.close()

    def journalled(self) -> list[bytes]:
        paths = files(journal_directory(self.settings))
        return [entry.payload for path in paths for entry in read_file(path)]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(taking_over, "FINAL_REPORT_S", 0.1)
    made = Host(tmp_path)
    yield made
    made.epochs.close()


def test_events_left_in_memory_are_journalled_once_and_the_memory_goes(host: Host) -> None:
    """Among them may be the intent of an order that did leave."""
    host.leave_memory(b"first", b"second")
    assert host.take_over().events == 2
    assert not host.memory.exists()

    host.leave_memory(b"third")
    host.take_over()
    assert host.journalled() == [b"first", b"second", b"third"]


def test_what_an_executor_left_to_its_successor_goes_to_the_next_instance(host: Host, tmp_path: Path) -> None:
    """A signal's orders may have left before anybody was told: only its memory knows."""
    host.leave_memory()
    machines = Memory(host.memory).machines(writer=True)
    machines.write(0, b"state")
    machines.close()
    takeover = host.take_over()

    Memory.create(host.memory, memory_plan(host.settings), process_counters(host.settings))
    takeover.hand_over(host.memory, "this-run")

    assert Memory(host.memory).machines().read(0) == b"state"


class KilledError(Exception):
    pass


def test_machines_outlive_a_start_that_is_killed_before_it_hands_them_over(host: Host) -> None:
    """Their memory was removed first, and what only they knew was in a process's own memory for a while."""
    host.leave_memory(b"first")
    machines = Memory(host.memory).machines(writer=True)
    machines.write(0, b"state")
    machines.close()
    left = (host.memory / "machines").read_bytes()

    def be_killed() -> None:
        with instance_directory(host.settings, host.epochs, Takeover()) as directory:
            directory.mkdir()
            raise KilledError

    with pytest.raises(KilledError):
        be_killed()

    assert host.take_over().machines["machines"] == left
    assert host.journalled() == [b"first"]


def test_machines_taken_over_by_a_run_that_does_not_begin_are_there_for_the_next(host: Host) -> None:
    """A venue that cannot be reached ends a start cleanly, before any executor has seen them."""
    host.leave_memory()
    machines = Memory(host.memory).machines(writer=True)
    machines.write(0, b"state")
    machines.close()
    takeover = Takeover()
    with instance_directory(host.settings, host.epochs, takeover) as directory:
        Memory.create(directory, memory_plan(host.settings), process_counters(host.settings))
        takeover.hand_over(directory, "this-run")
        writer = Memory(directory).events_writer("supervisor")
        writer.push(b"told by this run")
        writer.close()
        takeover.is_left_in_turn = True

    again = host.take_over()

    assert again.machines == takeover.machines != {}
    assert host.journalled() == [b"told by this run"]


@pytest.mark.parametrize("changed", [{"mode": "sim"}, {"pairs": []}])
def test_machines_of_other_pairs_or_of_venues_that_are_gone_are_not_taken_over(
    host: Host, changed: dict[str, Any]
) -> None:
    host.leave_memory()
    if "pairs" in changed:
        changed = {"pairs": host.raw["pairs"][:1]}
    write_launch(host.memory, host.raw | changed, "killed-run", [])

    assert host.take_over().machines == {}


def test_memory_without_a_file_this_version_knows_is_no_obstacle(host: Host) -> None:
    """Left by an older version: every start ended with an error until the operator removed it by hand."""
    host.leave_memory(b"first")
    (host.memory / "taken").unlink()

    assert host.take_over().machines == {}
    assert not host.memory.exists()


@pytest.mark.parametrize("of_what", [boot_id, machine_code_id])
def test_machines_of_before_a_reboot_or_an_update_are_not_taken_over(
    host: Host, of_what: Callable[[], str]
) -> None:
    """A memory_dir on disk outlives a reboot, but the monotonic clock that machines go by begins anew: what
    they wait for would lie days ahead. Other code reads other things from the same bytes. The journal's
    lines tell wall-clock times, by name."""
    host.leave_memory()
    launch_file = host.memory / "launch.json"
    assert of_what() in launch_file.read_text()
    launch_file.write_text(launch_file.read_text().replace(of_what(), "another"))

    assert host.take_over().machines == {}


def test_events_that_persistence_had_journalled_are_not_doubled(host: Host) -> None:
    """Killed between its fsync and giving the ring its space back."""
    host.leave_memory(b"first", b"second")
    journal_dir = journal_directory(host.settings)
    reader = Memory(host.memory).events_reader("executor")
    journal = Journal(journal_dir, "killed-run", host.epochs.next())
    first = reader.poll()
    assert first is not None
    journal.append("executor", reader.cursor, first)
    journal.close()
    reader.close()

    assert host.take_over().events == 1
    assert host.journalled() == [b"first", b"second"]


def test_memory_that_was_never_finished_is_removed(host: Host) -> None:
    """Killed while it made its memory: nothing had been sent yet."""
    host.memory.mkdir()
    takeover = host.take_over()

    assert "cannot be read" in takeover.event().detail
    assert not host.memory.exists()


def test_clean_removes_it_unread(host: Host) -> None:
    host.leave_memory(b"first")
    assert host.take_over(clean=True).events is None
    assert not host.memory.exists()


def test_a_process_that_does_not_end_is_killed(host: Host, tmp_path: Path) -> None:
    """Two executors of one instance must never trade at once."""
    (tmp_path / "executor.py").write_text(HUNG)
    command = [sys.executable, "-m", "executor", "--memory", str(host.memory)]
    hung = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    assert hung.stdout is not None
    hung.stdout.readline()
    assert processes_of(host.memory) == [hung.pid]

    takeover = host.take_over()

    assert takeover.killed == [hung.pid]
    assert hung.wait(5) == -9


def test_a_command_that_looks_at_the_memory_is_no_process_of_it(host: Host, tmp_path: Path) -> None:
    """A monitor left open must not be killed, and must not keep the next start waiting."""
    (tmp_path / "tools.py").write_text(HUNG)
    command = [sys.executable, "-m", "tools", "monitor", "--memory", str(host.memory)]
    monitor = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    assert monitor.stdout is not None
    monitor.stdout.readline()

    assert host.take_over().processes == []
    assert monitor.poll() is None
    monitor.kill()
    monitor.wait()


def test_another_instance_on_the_same_journal_is_refused_wherever_its_memory_is(
    host: Host, tmp_path: Path
) -> None:
    """Two that append to one journal make it unreadable, and each would forget the other's trades."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = Host(tmp_path, elsewhere)
    try:
        with (
            instance_directory(host.settings, host.epochs, Takeover()),
            pytest.raises(SegmentError, match=r"persistence\.var_dir .+: pid \d+ on ") as refused,
        ):
            other.take_over()
    finally:
        other.epochs.close()
    assert repr(host.settings.bot_id) in str(refused.value)


def test_a_living_owner_is_named_and_left_alone(host: Host) -> None:
    with instance_directory(host.settings, host.epochs, Takeover()) as directory:
        directory.mkdir()
        with pytest.raises(SegmentError, match=r"pid \d+ on .+ since 20\d\d-") as refused:
            host.take_over()
        assert directory.exists()
    assert host.settings.bot_id in str(refused.value)


def test_memory_of_another_user_is_refused_before_anything_of_it_is_read(host: Host, tmp_path: Path) -> None:
    """Whoever made it says in its launch file where the journal lies that we would write."""
    host.memory.symlink_to(tmp_path / "theirs")
    with pytest.raises(SegmentError, match="is a link"):
        host.take_over()
    host.memory.unlink()
    left = host.memory.with_name(f"{host.memory.name}.left")
    left.mkdir()
    left.chmod(0o777)
    with pytest.raises(SegmentError, match="can be changed by other users"):
        host.take_over()
    assert left.exists()


def test_a_lock_of_another_user_is_not_quoted(host: Host, tmp_path: Path) -> None:
    """What he has written into it stood in our log."""
    lock = host.memory.with_name(f"{host.memory.name}.lock")
    lock.write_text('{"pid": 1, "host": "\\u001b[31mEVIL", "since": "now"}')
    lock.chmod(0o666)
    with pytest.raises(SegmentError, match="chmod go-w") as refused:
        host.take_over()
    assert "EVIL" not in str(refused.value)


def test_another_users_process_is_no_orphan_of_ours(host: Host) -> None:
    """He can give a process of his any arguments: a start waited for it, and as root it was killed."""
    if os.geteuid():
        pytest.skip("needs root, to start a process of another user")
    with tempfile.TemporaryDirectory(prefix="tandem-orphan-") as place:
        Path(place).chmod(0o755)
        Path(place, "executor").write_text("echo\nread forever\n")
        command = ["sh", "-m", "executor", "--memory", str(host.memory)]
        theirs = subprocess.Popen(
            command, cwd=place, user=65_534, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert theirs.stdout is not None
        theirs.stdout.readline()
        ours = subprocess.Popen(command, cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert ours.stdout is not None
        ours.stdout.readline()
        try:
            assert processes_of(host.memory) == [ours.pid]
            ours.kill()
            ours.wait()
            assert host.take_over().processes == []
            assert theirs.poll() is None
        finally:
            for process in (theirs, ours):
                process.kill()
                process.communicate()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """0 is as good as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_refuses_no_start_and_what_was_left_is_kept(host: Host) -> None:
    """Killed on a full disk, its positions were left alone: exit code 2, which nobody tries again."""
    host.epochs.next()
    for lines in ((b"first", b"second"), (b"third",)):
        host.leave_memory(*lines)
        machines = Memory(host.memory).machines(writer=True)
        machines.write(0, b"state")
        machines.close()
        takeover = Takeover()
        with files_of_at_most(0), instance_directory(host.settings, host.epochs, takeover) as directory:
            assert takeover.machines
            assert takeover.may_hold
            assert "kept" in takeover.event().detail
            with files_of_at_most(1 << 30):  # memory is no disk
                Memory.create(directory, memory_plan(host.settings), process_counters(host.settings))
                takeover.hand_over(directory, "this-run")
            assert Memory(directory).machines().read(0) == b"state"
            takeover.is_left_in_turn = True
        shutil.rmtree(directory)
    unread = unread_memories(host.memory)
    assert len(unread) == 2
    assert not any((path / "machines").exists() for path in unread)  # 25 MB each, and nobody needs them
    assert host.journalled() == []

    takeover = host.take_over()

    assert takeover.events == 3
    assert not takeover.refused
    assert host.journalled() == [b"first", b"second", b"third"]
    assert unread_memories(host.memory) == []


def test_clean_removes_what_waits_for_the_disk_too(host: Host) -> None:
    host.epochs.next()
    host.leave_memory(b"first")
    with files_of_at_most(0):
        host.take_over()
    assert len(unread_memories(host.memory)) == 1
    host.take_over(clean=True)
    assert unread_memories(host.memory) == []
    assert host.journalled() == []
