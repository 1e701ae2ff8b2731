"""The header says what stops entries, and status ends with 1 where that waits for a person."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from monitoring.obstacles import Obstacle, needs_person, obstacles_of
from monitoring.snapshot import Watcher
from runtime.bootstrap import launch_file
from runtime.kill_switch import kill_file
from runtime.operator_ack import Acknowledgement, write_acknowledgement
from runtime.operator_orders import pause_file
from settings import E8
from shm.counter_names import PROCESS_STATES
from shm.entry_block import TRADING_STATE, EntryBlock, bits_of
from shm.records import PairPhase, QuoteFlags
from tests.tools.shown import Shown, shown_instance
from tools.screen import draw


@pytest.fixture
def shown() -> Iterator[Shown]:
    with shown_instance() as instance:
        for venue in instance.settings.venue_names:
            instance.count(f"feed-{venue}", connected=1, last_data_mono_ns=time.monotonic_ns())
        for number in range(len(instance.settings.pairs)):
            instance.view(number)
        yield instance


def obstacles(shown: Shown) -> list[Obstacle]:
    """All but a venue's maintenance, which hangs on the hour at which the test runs."""
    found = obstacles_of(Watcher(shown.settings, shown.directory).read())
    return [item for item in found if item.block is not EntryBlock.MAINTENANCE]


def only(shown: Shown) -> Obstacle:
    (found,) = obstacles(shown)
    return found


def test_a_calm_instance_has_no_obstacle(shown: Shown) -> None:
    assert obstacles(shown) == []
    assert not needs_person(Watcher(shown.settings, shown.directory).read())


PERSON = {
    *(EntryBlock.KILL_LATCH, EntryBlock.PAUSED, EntryBlock.LEASE_LOST, EntryBlock.JOURNAL_FULL),
    *(EntryBlock.FOREIGN_ORDERS, EntryBlock.UNEXPLAINED, EntryBlock.CLOCK_OFF, EntryBlock.DAILY_LOSS),
    *(EntryBlock.DRAWDOWN, EntryBlock.NAKED_BUDGET, EntryBlock.MARGIN_UNKNOWN),
}


@pytest.mark.parametrize("block", TRADING_STATE)
def test_each_reason_of_the_executor_is_named_with_whether_a_person_must_act(
    shown: Shown, block: EntryBlock
) -> None:
    shown.count("executor", entry_blocks=bits_of([block]))
    found = only(shown)
    assert found.block is block
    assert found.needs_person is (block in PERSON)


def test_no_reason_hides_another(shown: Shown) -> None:
    shown.count("executor", entry_blocks=bits_of(TRADING_STATE))
    assert [item.block for item in obstacles(shown)] == list(TRADING_STATE)


def test_amounts_stand_beside_their_limits(shown: Shown) -> None:
    shown.count(
        "executor",
        entry_blocks=bits_of([EntryBlock.DAILY_LOSS, EntryBlock.DRAWDOWN, EntryBlock.NAKED_BUDGET]),
        result_today_e8=-20_310 * E8 // 100,
        best_today_e8=1_690 * E8 // 100,
        naked_today_us=301_000_000,
    )
    loss, drawdown, naked = (item.text for item in obstacles(shown))
    assert loss.startswith("203.10 of 200.00, until midnight UTC")
    assert drawdown.startswith("220.00 of 200.00")
    assert naked.startswith("301 of 300 s")


def test_the_kill_switch_is_told_by_its_file_alone(shown: Shown) -> None:
    """After a restart, or with the executor away, nobody has looked at it yet: it is engaged all the same."""
    shown.count("supervisor", **{"state.executor": PROCESS_STATES.index("backoff")})
    kill_file(shown.settings).touch()
    snapshot = Watcher(shown.settings, shown.directory).read()
    assert snapshot.is_killed
    assert [item.short for item in obstacles_of(snapshot)][:2] == ["kill switch", "executor away"]
    kill_file(shown.settings).unlink()
    latch = shown.memory.latch(writer=True)
    latch.set(0, 1)
    latch.close()
    assert Watcher(shown.settings, shown.directory).read().is_killed


def test_a_pause_file_is_a_pause_before_the_executor_has_seen_it(shown: Shown) -> None:
    pause_file(shown.settings).touch()
    assert Watcher(shown.settings, shown.directory).read().is_paused
    assert only(shown).block is EntryBlock.PAUSED


@pytest.mark.parametrize("state", ["backoff", "fatal", "exited", "stopped"])
@pytest.mark.parametrize("process", ["executor", "detector", "feed-vest", "persistence"])
def test_a_process_that_is_away_is_named_and_waits_for_a_person(
    shown: Shown, process: str, state: str
) -> None:
    shown.count("supervisor", **{f"state.{process}": PROCESS_STATES.index(state)})
    found = only(shown)
    assert (found.short, found.needs_person) == (f"{process} away", True)
    assert state in found.text


def test_a_process_that_starts_for_the_first_time_waits_for_nobody(shown: Shown) -> None:
    shown.count("supervisor", **{"state.executor": PROCESS_STATES.index("starting")})
    assert not only(shown).needs_person
    shown.count("supervisor", **{"restarts.executor": 1})
    assert only(shown).needs_person


def test_a_venue_that_is_down_is_named_by_what_of_it_is_down(shown: Shown) -> None:
    first, second = shown.settings.venue_names[:2]
    shown.count("executor", venues_down=0b10, ready=0)
    assert only(shown).short == f"{second} not ready"
    shown.count("executor", venues_down=0, ready=1)
    shown.count(f"feed-{first}", connected=0)
    assert only(shown).short == f"{first} away"
    shown.count(f"feed-{first}", connected=1)
    shown.quote(0, 100.0, 101.0, QuoteFlags.STALE)
    assert only(shown).short.endswith("silent")
    assert only(shown).needs_person


def test_a_position_that_is_not_confirmed_is_not_ready(shown: Shown) -> None:
    shown.count("executor", ready=0)
    assert (only(shown).short, only(shown).needs_person) == ("not ready", False)


def test_pairs_that_wait_are_named(shown: Shown) -> None:
    shown.view(0, phase=PairPhase.HALTED)
    halted = only(shown)
    assert (halted.short, halted.needs_person) == ("1 pair halted", True)
    assert halted.text.startswith("btc")
    shown.view(0)
    write_acknowledgement(shown.directory, Acknowledgement(instructions=1, forced=["eth"]))
    assert (only(shown).short, only(shown).needs_person) == ("kept closed", True)
    assert only(shown).text.startswith("eth")


def test_the_venues_own_word_is_passed_on(shown: Shown) -> None:
    shown.count("executor", entry_blocks=bits_of([EntryBlock.VENUE_CLOSED]))
    write_acknowledgement(shown.directory, Acknowledgement(entries_stopped={"btc": "vest: POST_ONLY"}))
    assert only(shown).text == "vest: POST_ONLY"


def test_a_stop_is_no_trouble_but_what_concerns_positions_is(shown: Shown) -> None:
    shown.count("supervisor", stopping=1, **{"state.detector": PROCESS_STATES.index("exited")})
    shown.count("feed-vest", connected=0)
    shown.count("executor", ready=0, venues_down=1)
    assert [item.block for item in obstacles(shown)] == [EntryBlock.STOPPING]
    shown.view(0, phase=PairPhase.HALTED)
    assert needs_person(Watcher(shown.settings, shown.directory).read())


def test_maintenance_is_named_with_what_is_left_of_it(shown: Shown) -> None:
    """The settings that are in force say when it is: a reload of them is followed."""
    raw = shown.settings.model_dump(mode="json", by_alias=True)
    assert raw["venues"]["vest"] is not None
    vest = shown.settings.venues["vest"]
    always = [{"days": "mon-sun", "utc": "00:00-00:00"}]
    changed = type(vest).model_validate({**vest.model_dump(by_alias=True), "maintenance": always})
    venues = {**shown.settings.venues, "vest": changed}
    settings = shown.settings.model_copy(update={"venues": venues})
    assert not launch_file(shown.directory).exists()
    found = obstacles_of(Watcher(settings, shown.directory).read())
    (item,) = (item for item in found if item.short == "maintenance at vest")
    assert item.text.endswith("min more")
    assert not item.needs_person


def test_the_screen_has_a_line_for_each_and_never_more_than_four(shown: Shown) -> None:
    def lines(*blocks: EntryBlock) -> list[str]:
        shown.count("executor", entry_blocks=bits_of(blocks))
        now = Watcher(shown.settings, shown.directory).read()
        console = Console(file=io.StringIO(), width=80, height=24, no_color=True, highlight=False)
        with console.capture() as captured:
            console.print(draw(now, now, [], 80, 24))
        return captured.get().split("\n")

    one = lines(EntryBlock.KILL_LATCH)
    assert "KILL SWITCH" in one[0]
    assert one[1].startswith("! kill switch: engaged until python -m tools kill --release")
    two = lines(EntryBlock.KILL_LATCH, EntryBlock.DRAWDOWN)
    assert "KILL SWITCH +1" in two[0]
    assert two[2].startswith("! drawdown: ")
    many = [line for line in lines(*TRADING_STATE) if line.startswith("!")]
    assert len(many) == 4
    assert many[3].startswith("! and entries paused, lease lost, journal full")
