"""What is seen in an instance's memory, and what its events add."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from monitoring.alerts.book import Condition
from monitoring.alerts.conditions import Observer
from monitoring.snapshot import Watcher
from runtime.kill_switch import kill_file
from settings import E8
from shm import counter_names
from shm.entry_block import EntryBlock, bits_of
from shm.records import PairPhase, QuoteFlags
from tests.reported import an_event
from tests.tools.shown import Shown, shown_instance


class Looks:
    """An observer of a memory that the test fills."""

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self._watcher = Watcher(shown.settings, shown.directory)
        self.observer = Observer(shown.settings)
        for venue in shown.settings.venue_names:
            shown.count(f"feed-{venue}", connected=1, last_data_mono_ns=time.monotonic_ns() + 3_600 * 10**9)
        for number in range(len(shown.settings.pairs)):
            shown.view(number)

    def keys(self, now_s: float = 0.0) -> list[str]:
        return [condition.key for condition in self.look(now_s)]

    def look(self, now_s: float = 0.0) -> list[Condition]:
        return self.observer.look(self._watcher.read(), now_s)

    def hear(self, event: str, now_s: float = 0.0, **fields: Any) -> None:
        self.observer.take_event(an_event(event, **fields), now_s)

    def notices(self) -> list[str]:
        return [notice.key for notice in self.observer.take_notices()]


@pytest.fixture
def looks() -> Iterator[Looks]:
    with shown_instance() as shown:
        yield Looks(shown)


def test_a_calm_instance_has_nothing_to_tell(looks: Looks) -> None:
    assert looks.keys() == []
    looks.shown.view(
        0, phase=PairPhase.HEDGED, direction=1, size_e8=E8, naked_e8=1
    )  # a drift that is allowed
    assert looks.keys(1_000.0) == []


@pytest.mark.parametrize(
    ("process", "counters", "key"),
    [
        ("executor", {"orders_in_doubt": 1}, "doubt"),
        ("executor", {"result_today_e8": -200 * E8, "best_today_e8": -1 * E8}, "loss.daily"),
        ("executor", {"result_today_e8": 50 * E8, "best_today_e8": 250 * E8}, "loss.drawdown"),
        ("executor", {"naked_today_us": 300_000_000}, "naked.budget"),
        ("executor", {"breaker": counter_names.BREAKER_OPEN}, "breaker"),
        ("executor", {"entry_blocks": bits_of([EntryBlock.UNEXPLAINED])}, "stop.unexplained position"),
        ("executor", {"entry_blocks": bits_of([EntryBlock.VENUE_CLOSED])}, "stop.venue closed"),
        ("executor", {"ready": 0}, "venue.not_ready"),
        ("persistence", {"database_state": counter_names.DATABASE_AWAY}, "database"),
        ("persistence", {"spool_bytes": 820 << 20}, "journal.filling"),
        ("persistence", {"journal_full": 1}, "journal.full"),
        ("persistence", {"lease_lost": 1}, "lease"),
        ("persistence", {"disagreements": 2}, "disagreement"),
        ("supervisor", {"entries_paused": 1}, "paused"),
        ("supervisor", {"heartbeat_mono_ns": 1}, "supervisor"),
        ("feed-vest", {"connected": 0}, "stall.vest"),
        ("feed-paradex", {"last_data_mono_ns": 1}, "stall.paradex"),
    ],
)
def test_what_stands_is_found_by_one_look(
    looks: Looks, process: str, counters: dict[str, int], key: str
) -> None:
    """So that a start in the middle of trouble finds it without any event."""
    looks.shown.count(process, **counters)
    assert looks.keys() == [key]


def test_limits_are_told_where_entries_stop_and_not_before(looks: Looks) -> None:
    """The same comparison as the executor's: at the limit, nothing is opened any more."""
    looks.shown.count("executor", result_today_e8=1 - 200 * E8, naked_today_us=299_999_999)
    assert looks.keys() == []


def test_the_kill_latch_is_seen_in_memory_and_on_disk(looks: Looks) -> None:
    path = kill_file(looks.shown.settings)
    path.touch()
    assert looks.keys() == ["kill"]
    path.unlink()
    assert looks.keys() == []
    latch = looks.shown.memory.latch(writer=True)
    latch.set(0, 1)
    assert looks.keys() == ["kill"]
    latch.close()


def test_a_halted_pair_says_why_where_its_event_was_heard(looks: Looks) -> None:
    looks.shown.view(0, phase=PairPhase.HALTED, naked_e8=E8 // 2)
    assert "net +0.5 BTC" in looks.look()[0].text
    looks.hear("halted", pair="btc", reason="doubt", net_notional_e8=1_234 * E8)
    halted, naked = looks.look()
    assert (halted.key, naked.key) == ("halted.btc", "naked.btc")
    assert "doubt; net notional 1234.00" in halted.text
    assert looks.notices() == []  # told once, not by snapshot and event


def test_legs_that_differed_between_two_looks_are_told_when_it_took_long(looks: Looks) -> None:
    limit_ms = looks.shown.settings.alerts.naked_ms
    looks.hear("naked_end", pair="btc", naked_ms=limit_ms - 1)
    assert looks.notices() == []
    looks.hear("naked_end", pair="btc", naked_ms=limit_ms)
    assert looks.notices() == ["naked.btc.ended"]
    looks.shown.view(0, phase=PairPhase.REPAIRING, naked_e8=E8)
    looks.look(0.0), looks.look(limit_ms / 1e3)
    looks.hear("naked_end", pair="btc", naked_ms=limit_ms + 500)
    assert looks.notices() == []  # its standing was told, and its end is


def test_a_death_is_told_with_its_reason_and_ends_when_the_process_runs(looks: Looks) -> None:
    assert looks.keys(0.0) == []
    looks.shown.count("supervisor", **{"restarts.executor": 1})  # it has died and runs again already
    assert looks.keys(0.5) == []  # the event that says why is on its way
    looks.hear("process_state", process="executor", state="backoff", exit_code=-9, detail="", now_s=0.6)
    (crash,) = looks.look(0.75)
    assert crash.key == "crash.executor"
    assert "exit code -9" in crash.text
    assert looks.keys(1.0) == []


def test_a_death_is_told_without_a_reason_where_no_journal_says_one(looks: Looks) -> None:
    """Persistence itself may be what died."""
    backoff = counter_names.PROCESS_STATES.index("backoff")
    looks.shown.count("supervisor", **{"state.persistence": backoff})
    assert looks.keys(0.0) == []
    assert looks.keys(2.0) == ["crash.persistence"]


def test_deaths_in_a_row_are_a_storm_and_old_ones_are_not(looks: Looks) -> None:
    looks.keys(0.0)
    for restart in range(1, 4):
        looks.shown.count("supervisor", **{"restarts.detector": restart})
        keys = looks.keys(restart * 30.0)
        assert ("restarts.detector" in keys) is (restart == 3)
    assert "restarts.detector" not in looks.keys(200.0)


def test_a_process_that_cannot_be_kept_alive_is_told_though_the_instance_stops_at_once(looks: Looks) -> None:
    """Between its end and the stop of all there may be no look."""
    looks.shown.count("supervisor", stopping=1)
    looks.hear("process_state", process="executor", state="fatal", exit_code=2, detail="a bad key")
    looks.hear("processes_stopped", exit_code=2)
    facts = looks.observer.take_notices()
    assert [notice.key for notice in facts] == ["restarts.executor.fatal", "life.failed"]
    assert "a bad key" in facts[0].text


def test_restarts_from_before_our_start_are_no_news(looks: Looks) -> None:
    looks.shown.count("supervisor", **{"restarts.executor": 7})
    assert looks.keys(0.0) == []
    assert looks.keys(10.0) == []


def test_a_lost_venue_is_over_when_it_is_ready_or_answers_again(looks: Looks) -> None:
    looks.hear("venue_lost", venue="vest", what="private stream", detail="closed")
    looks.hear("venue_lost", venue="paradex", what="status", detail="timeout")
    assert looks.keys(1.0) == ["venue.vest.stream", "venue.paradex.status"]
    looks.hear("venue_ready", venue="vest")
    assert looks.keys(2.0) == ["venue.paradex.status"]
    looks.hear("venue_lost", venue="paradex", what="status", detail="timeout", now_s=50.0)
    assert looks.keys(100.0) == ["venue.paradex.status"]
    assert looks.keys(111.0) == []


def test_every_reason_is_told_whatever_else_stops_entries(looks: Looks) -> None:
    """A pause must not look like the end of a position that nothing explains."""
    looks.shown.count("executor", entry_blocks=bits_of([EntryBlock.UNEXPLAINED]))
    assert looks.keys() == ["stop.unexplained position"]
    looks.shown.count("executor", entry_blocks=bits_of([EntryBlock.UNEXPLAINED, EntryBlock.PAUSED]))
    assert looks.keys() == ["paused", "stop.unexplained position"]
    looks.shown.count("executor", entry_blocks=bits_of([EntryBlock.PAUSED]))
    assert looks.keys() == ["paused"]


def test_what_cannot_be_explained_is_told_as_it_happens(looks: Looks) -> None:
    looks.hear("reconcile_diff", venue="vest", explained_by=None, difference_e8=5)
    looks.hear("reconcile_diff", venue="vest", explained_by="closed outside")
    looks.hear("reconcile_diff", venue="vest", explained_by="ours")
    looks.hear("reconcile_diff", venue="vest", explained_by=1234)
    assert looks.notices() == ["unexplained.vest.diff"] * 2


def test_an_error_that_nobody_thought_of_is_told_too(looks: Looks) -> None:
    looks.hear("event_unstorable", number=3)
    looks.hear("leg_rejected", venue="vest")
    assert looks.notices() == ["error.event_unstorable"]


def test_what_ends_because_a_stop_was_asked_for_is_no_alert(looks: Looks) -> None:
    exited = counter_names.PROCESS_STATES.index("exited")
    looks.shown.count("supervisor", stopping=1, **{"state.feed-vest": exited})
    looks.shown.count("feed-vest", connected=0)
    looks.shown.count("executor", ready=0)
    looks.shown.view(0, phase=PairPhase.HALTED)
    assert looks.keys(100.0) == ["halted.btc"]  # what concerns a position always counts


def test_a_symbol_without_prices_is_told_by_its_name(looks: Looks) -> None:
    """Found by a look while it lasts; one that was found silent is told at once, and for a while."""
    for venue in looks.shown.settings.venue_names:
        looks.shown.count(f"feed-{venue}", connected=1, last_data_mono_ns=2**62)
    looks.shown.quote(2, 100.0, 101.0, QuoteFlags.STALE)
    assert looks.keys() == ["stall.vest.ETH-PERP"]
    looks.shown.quote(2, 100.0, 101.0)
    assert looks.keys() == []
    looks.hear("quote_stale", venue="paradex", symbol="BTC-USD-PERP", now_s=5.0)
    assert looks.keys(6.0) == ["stall.paradex.BTC-USD-PERP"]
    assert looks.keys(70.0) == []
