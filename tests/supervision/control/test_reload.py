"""What a reload would change and when, and that nothing changes where it cannot be done as a whole."""

from __future__ import annotations

import asyncio
import copy
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from observability.logs import Reporter
from runtime.bootstrap import read_launch, write_launch
from runtime.operator_ack import Acknowledgement, write_acknowledgement
from runtime.operator_orders import instructions_file, read_instructions
from settings import PROJECT, Problem, Settings, SettingsError, load_raw, parse_settings
from shm.counter_names import PROCESS_STATES
from shm.layout import Memory
from shm.records import PairPhase
from supervision.control.commands import Commands
from supervision.control.socket import Answer
from supervision.memory_plan import memory_plan, process_counters
from tests.tools.shown import FLAT_VIEW


class Host:
    """The memory of an instance whose supervisor this is, and whose processes the test plays."""

    def __init__(self, directory: Path) -> None:
        self.raw: dict[str, Any] = load_raw(PROJECT / "config.yaml")
        self.raw["pairs"] = self.raw["pairs"][:2]
        self.raw["persistence"]["var_dir"] = str(directory / "var")
        self.file = copy.deepcopy(self.raw)
        settings = parse_settings(self.raw, "config.yaml")
        Memory.create(directory / "memory", memory_plan(settings), process_counters(settings))
        write_launch(directory / "memory", self.raw, "run", [])
        self.memory = Memory(directory / "memory")
        self.counters = self.memory.counters("supervisor", writer=True)
        self.takers = [self.memory.counters(name, writer=True) for name in ("detector", "executor")]
        for name in ("detector", "executor"):
            self.state(name, "running")
        self._pairs = self.memory.pairs(writer=True)
        for number in range(len(settings.pairs)):
            self.view(number)
        self.lines: list[bytes] = []
        reporter = Reporter("supervisor", run_id="run", to_queue=self._keep, level=None)
        self.settings = settings
        self.commands = Commands(settings, self.memory, self.counters, reporter, self._read)

    def _keep(self, line: bytes) -> bool:
        self.lines.append(line)
        return True

    def _read(self) -> tuple[Settings, dict[str, Any]]:
        return parse_settings(self.file, "config.yaml"), self.file

    def state(self, process: str, state: str) -> None:
        self.counters.set(self.counters.index(f"state.{process}"), PROCESS_STATES.index(state))

    def view(self, number: int, **changes: Any) -> None:
        self._pairs.write(number, FLAT_VIEW._replace(pair_id=number, **changes))

    def word(self, name: str) -> int:
        return self.counters.get(self.counters.index(name))

    def ask(self, command: str, *, playing: bool = False, **fields: Any) -> Answer:
        """Ask; ``playing`` the executor that heeds and the detector that takes up."""

        async def asking() -> Answer:
            player = asyncio.create_task(self._play())
            try:
                return await self.commands.handle({"command": command, **fields}, "anna")
            finally:
                player.cancel()

        async def alone() -> Answer:
            return await self.commands.handle({"command": command, **fields}, "anna")

        return asyncio.run(asking() if playing else alone())

    async def _play(self) -> None:
        while True:
            number = read_instructions(instructions_file(self.settings)).number
            write_acknowledgement(self.memory.directory, Acknowledgement(number, self.word("entries_held")))
            for table in self.takers:
                table.set(table.index("settings_generation"), self.word("settings_generation"))
            await asyncio.sleep(0)

    def close(self) -> None:
        self.commands.close()
        self._pairs.close()


@pytest.fixture
def host() -> Iterator[Host]:
    directory = Path(tempfile.mkdtemp(prefix=f"test-reloading-{os.getpid()}-", dir="/dev/shm"))
    try:
        with closing(Host(directory)) as made:
            yield made
    finally:
        shutil.rmtree(directory)


def names(answer: Answer, what: str) -> set[str]:
    return {change["key"] for change in answer[what]}


def test_each_change_is_told_with_when_it_takes_effect_and_nothing_changes(host: Host) -> None:
    host.file["risk"]["max_leverage"] = 3
    host.file["execution"]["max_retries"] = 5
    host.file["log_level"] = "debug"
    answer = host.ask("reload", dry_run=True)
    assert answer["ok"]
    assert (names(answer, "changed"), names(answer, "waiting"), names(answer, "restart")) == (
        {"risk.max_leverage"},
        {"execution.max_retries"},
        {"log_level"},
    )
    assert read_launch(host.memory.directory)["settings"] == host.raw


def test_keys_of_a_pair_that_only_go_together_wait_for_the_slowest(host: Host) -> None:
    """A threshold above the old entry_max_bps is no valid setting until the new one is there."""
    host.file["strategy"].update(layers=2, entry_max_bps=20.0, entry_bps=2.0, cooldown_ms=700.0)
    host.file["pairs"][1]["strategy"]["entry_max_bps"] = 21.0
    answer = host.ask("reload", playing=True)
    assert answer["ok"], answer
    assert names(answer, "waiting") == set()

    host.view(0, phase=PairPhase.HEDGED)
    host.file["strategy"].update(entry_bps=30.0, entry_max_bps=50.0, cooldown_ms=800.0)
    answer = host.ask("reload", dry_run=True)
    assert names(answer, "waiting") >= {
        f"pairs[btc].strategy.{key}" for key in ("entry_bps", "entry_max_bps", "cooldown_ms")
    }
    answer = host.ask("reload", playing=True)
    assert answer["ok"], answer
    assert "pairs[btc].strategy.entry_bps" in names(answer, "waiting")
    assert "pairs[eth].strategy.cooldown_ms" in names(answer, "changed")

    host.view(0)
    answer = host.ask("reload", playing=True)
    assert "pairs[btc].strategy.entry_bps" in names(answer, "changed")
    assert names(answer, "waiting") == set()


def test_where_the_executor_does_not_answer_nothing_changes_and_entries_go_on(host: Host) -> None:
    host.file["risk"]["max_leverage"] = 3
    answer = host.ask("reload", timeout_s=0.1)
    assert not answer["ok"]
    assert "entries are suspended" in answer["summary"]
    assert (host.word("entries_held"), host.word("settings_generation")) == (0, 0)
    assert read_launch(host.memory.directory)["settings"] == host.raw
    assert not any(b'"reloaded"' in line for line in host.lines)


def test_what_only_one_process_has_taken_up_is_not_said_to_be_done(host: Host) -> None:
    """The supervisor replaces who hangs, and that one begins with the new settings: but not yet."""
    host.file["risk"]["max_leverage"] = 3
    host.takers.pop(0)  # the detector hangs
    answer = host.ask("reload", playing=True, timeout_s=1.0)
    assert not answer["ok"]
    assert "not taken up by every process" in answer["summary"]
    assert host.word("entries_held") == 0
    assert read_launch(host.memory.directory)["settings"]["risk"]["max_leverage"] == 3


def test_entries_are_held_for_as_long_as_settings_change(host: Host) -> None:
    held: list[int] = []
    host.file["risk"]["max_leverage"] = 3
    play = host._play

    async def watching() -> None:
        reported = asyncio.create_task(play())
        try:
            while True:
                held.append(host.word("entries_held"))
                await asyncio.sleep(0)
        finally:
            reported.cancel()

    host._play = watching  # type: ignore[method-assign]
    assert host.ask("reload", playing=True)["ok"]
    assert 1 in held
    assert host.word("entries_held") == 0


@pytest.mark.parametrize("state", ["starting", "backoff", "stopping"])
def test_a_process_that_does_not_run_is_waited_for_by_the_operator(host: Host, state: str) -> None:
    host.file["risk"]["max_leverage"] = 3
    host.state("detector", state)
    answer = host.ask("reload", playing=True)
    assert not answer["ok"]
    assert f"the detector is {state}" in answer["summary"]


def test_a_file_that_is_wrong_changes_nothing_and_says_everything(host: Host) -> None:
    def wrong() -> tuple[Settings, dict[str, Any]]:
        raise SettingsError("config.yaml", [Problem("a", "1", "no"), Problem("b", "2", "nor that")])

    host.commands._reloads._read_config = wrong
    answer = host.ask("reload", playing=True)
    assert [problem["key"] for problem in answer["problems"]] == ["a", "b"]
    assert any(b"reload_refused" in line for line in host.lines)


@pytest.mark.parametrize(
    ("command", "fields", "why"),
    [
        ("pause", {"timeout_s": "ten"}, "timeout_s must be"),
        ("pause", {"timeout_s": float("nan")}, "timeout_s must be"),
        ("pause", {"timeout_s": True}, "timeout_s must be"),
        ("pause", {"reason": "x" * 201}, "reason must be"),
        ("resume", {"pair": 7}, "pair must be"),
        ("force-exit", {"pairs": "btc"}, "pairs must be"),
        ("force-exit", {"pairs": ["btc", "doge"]}, "no pair is called 'doge'"),
        ("reload", {"dry_run": "yes"}, "dry_run must be"),
        ("launch", {}, "unknown command; known are pause, resume"),
    ],
)
def test_a_request_with_wrong_fields_does_nothing(
    host: Host, command: str, fields: dict[str, Any], why: str
) -> None:
    answer = host.ask(command, **fields)
    assert not answer["ok"]
    assert why in answer["summary"]
    assert not instructions_file(host.settings).exists()


def test_an_order_nobody_heeds_stands_all_the_same_and_that_is_said(host: Host) -> None:
    """On disk, for the executor that comes; and in the word, for the one that is."""
    answer = host.ask("pause", timeout_s=0.1)
    assert not answer["ok"]
    assert "is on disk and holds" in answer["summary"]
    assert host.word("entries_paused") == 1
    assert read_instructions(instructions_file(host.settings)).paused is not None


def test_a_disk_that_takes_nothing_pauses_for_as_long_as_it_can(host: Host) -> None:
    """And closes nothing: what is not kept would be forgotten half-way."""
    instructions_file(host.settings).parent.write_text("not a directory")
    answer = host.ask("pause", timeout_s=0.1)
    assert not answer["ok"]
    assert "not on disk" in answer["summary"]
    assert host.word("entries_paused") == 1

    answer = host.ask("force-exit", pairs=["btc"])
    assert "tools kill" in answer["summary"]
