"""What stops entries everywhere: each reason by itself, with its two numbers, and all that hold together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from executor.risk.circuit_breaker import Breaker
from executor.risk.daily_pnl import PairResult, Results
from executor.risk.pre_trade import Refused
from executor.risk.trading_state import Conditions, TradingState
from runtime import kill_switch
from runtime.bootstrap import Stop
from runtime.clock import SystemClock
from runtime.kill_switch import KillSwitch, kill_file
from runtime.operator_orders import StandingOrders, pause_file
from settings import E8, RiskSettings, Settings
from shm.entry_block import TRADING_STATE, EntryBlock, bits_of, blocks_in, number_of
from tests.tools.shown import Shown, shown_instance

RISK = RiskSettings.model_validate(
    {
        "max_order_notional_quote": "5000",
        "max_position_notional_quote": "10000",
        "max_daily_loss_quote": "200",
        "max_drawdown_quote": "150",
        "max_consecutive_failures": 3,
        "naked_budget_s_per_day": 60.0,
    }
)


class Case(NamedTuple):
    shown: Shown
    settings: Settings
    state: TradingState
    breaker: Breaker
    results: Results
    day: PairResult
    stop: Stop

    def found(self, **conditions: Any) -> list[Refused]:
        return self.state.look(Conditions(**{"margin_age_s": 1.0, **conditions}), time.monotonic_ns())


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with shown_instance() as shown:
        kept = shown.settings.persistence.model_copy(update={"var_dir": str(tmp_path)})
        settings = shown.settings.model_copy(update={"persistence": kept})
        day, stop, breaker = PairResult(), Stop(), Breaker(RISK)
        results = Results([day], SystemClock())
        state = TradingState(
            supervisor=shown.memory.counters("supervisor"),
            persistence=shown.memory.counters("persistence"),
            latch=KillSwitch(kill_file(settings), shown.memory.latch()),
            orders=StandingOrders(settings),
            stop=stop,
            breaker=breaker,
            results=results,
            risk=RISK,
        )
        state.look(Conditions(margin_age_s=1.0), time.monotonic_ns())
        yield Case(shown, settings, state, breaker, results, day, stop)
        state.close()


def test_nothing_stops_entries_of_a_calm_instance(case: Case) -> None:
    assert case.found() == []


@pytest.mark.parametrize(
    ("process", "word", "block"),
    [
        ("supervisor", "stopping", EntryBlock.STOPPING),
        ("supervisor", "entries_held", EntryBlock.SETTINGS_CHANGE),
        ("supervisor", "entries_paused", EntryBlock.PAUSED),
        ("persistence", "lease_lost", EntryBlock.LEASE_LOST),
        ("persistence", "journal_full", EntryBlock.JOURNAL_FULL),
    ],
)
def test_a_word_in_memory_stops_the_very_next_entry(
    case: Case, process: str, word: str, block: EntryBlock
) -> None:
    """Without a look in between: the words are read whenever somebody asks."""
    case.shown.count(process, **{word: 1})
    assert case.state.refusals(time.monotonic_ns()) == [Refused(block, 1, 0)]


@pytest.mark.parametrize(
    ("conditions", "refused"),
    [
        ({"is_queue_crowded": True}, Refused(EntryBlock.JOURNAL_FULL, 1, 0)),
        ({"has_foreign_orders": True}, Refused(EntryBlock.FOREIGN_ORDERS, 1, 0)),
        ({"has_unexplained_position": True}, Refused(EntryBlock.UNEXPLAINED, 1, 0)),
        ({"venue_closed": "vest: POST_ONLY"}, Refused(EntryBlock.VENUE_CLOSED, 1, 0, "vest: POST_ONLY")),
        ({"is_clock_off": True}, Refused(EntryBlock.CLOCK_OFF, 1, 0)),
        ({"naked_s_today": 60.0}, Refused(EntryBlock.NAKED_BUDGET, 60.0, 60.0)),
        ({"margin_age_s": -1.0}, Refused(EntryBlock.MARGIN_UNKNOWN, -1.0, 60.0)),
        ({"margin_age_s": 61.0}, Refused(EntryBlock.MARGIN_UNKNOWN, 61.0, 60.0)),
        ({"is_exposure_known": False}, Refused(EntryBlock.EXPOSURE_UNKNOWN, 0, 1)),
    ],
)
def test_what_a_look_finds_stops_entries_until_the_next_look(
    case: Case, conditions: dict[str, Any], refused: Refused
) -> None:
    assert case.found(**conditions) == [refused]
    assert case.state.refusals(time.monotonic_ns()) == [refused]
    assert case.found() == []


def test_before_the_first_look_nothing_is_opened(case: Case) -> None:
    """What was not looked at is not assumed to be fine."""
    assert case.state.look(Conditions(), time.monotonic_ns()) == [
        Refused(EntryBlock.MARGIN_UNKNOWN, -1.0, 60.0)
    ]
    assert not case.state.are_margins_known


def test_the_limits_of_the_day_stop_at_the_amount_named(case: Case) -> None:
    case.results.add(case.day, -150 * E8 + 1)
    assert case.found() == []
    case.results.add(case.day, -1)
    assert case.found() == [Refused(EntryBlock.DRAWDOWN, 150.0, 150.0)]
    case.results.add(case.day, -50 * E8)
    assert case.found() == [
        Refused(EntryBlock.DAILY_LOSS, 200.0, 200.0),
        Refused(EntryBlock.DRAWDOWN, 200.0, 150.0),
    ]


def test_without_a_drawdown_limit_the_daily_loss_is_it(case: Case) -> None:
    """A limit nobody wrote down is not unlimited; and a reload is acknowledged at once."""
    case.results.add(case.day, 100 * E8)
    case.results.add(case.day, -200 * E8 + 1)
    assert [refused.block for refused in case.found()] == [EntryBlock.DRAWDOWN]
    case.state.limit(RISK.model_copy(update={"max_drawdown_quote_e8": None}))
    assert case.found() == []
    case.results.add(case.day, -1)
    assert case.found() == [Refused(EntryBlock.DRAWDOWN, 200.0, 200.0)]


def test_failures_in_a_row_stop_entries_for_a_while(case: Case) -> None:
    now = time.monotonic_ns()
    for _ in range(3):
        case.breaker.failed(now)
    assert case.state.refusals(now) == [Refused(EntryBlock.BREAKER, 3, 3)]
    assert case.state.refusals(now + int(RISK.breaker_pause_s * 1e9)) == []


def test_the_operators_files_stop_entries_from_the_next_look_on(case: Case) -> None:
    kill_switch.engage(kill_file(case.settings), None, "test")
    pause_file(case.settings).touch()
    case.state.orders.look()
    assert [refused.block for refused in case.found()] == [EntryBlock.KILL_LATCH, EntryBlock.PAUSED]


def test_all_that_holds_is_named_in_the_order_that_is_written_down(case: Case) -> None:
    """So that status, metrics and alerts see what the first reason hides."""
    for process, words in (
        ("supervisor", ("stopping", "entries_held", "entries_paused")),
        ("persistence", ("lease_lost", "journal_full")),
    ):
        case.shown.count(process, **dict.fromkeys(words, 1))
    kill_switch.engage(kill_file(case.settings), case.shown.memory, "test")
    for _ in range(3):
        case.breaker.failed(time.monotonic_ns())
    case.results.add(case.day, -200 * E8)
    found = case.found(
        has_foreign_orders=True,
        has_unexplained_position=True,
        venue_closed="vest: closed",
        is_clock_off=True,
        naked_s_today=61.0,
        margin_age_s=-1.0,
        is_exposure_known=False,
    )
    assert tuple(refused.block for refused in found) == TRADING_STATE


def test_the_counters_say_which_reasons_those_are() -> None:
    assert number_of(None) == 0
    assert [number_of(block) for block in TRADING_STATE] == list(range(1, len(TRADING_STATE) + 1))
    assert blocks_in(0) == ()
    for block in TRADING_STATE:
        assert blocks_in(bits_of([block])) == (block,)
    assert blocks_in(bits_of(TRADING_STATE)) == TRADING_STATE


def test_a_venues_own_word_is_what_people_read() -> None:
    assert Refused(EntryBlock.VENUE_CLOSED, 1, 0, "vest: POST_ONLY").text == "vest: POST_ONLY"
    assert Refused(EntryBlock.FOREIGN_ORDERS, 1, 0).text == "open orders of others"
    assert Refused(EntryBlock.MARGIN_UNKNOWN, 0, 1).text == "margin unknown"
