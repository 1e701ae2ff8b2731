"""How long a leg stands alone when one request is lost: what is promised, and what the pair machine does."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import yaml

from executor.pair.config import naked_bound_ms, rules_of
from executor.pair.machine import due_mono_ns
from executor.pair.messages import (
    Acked,
    CancelConfirmed,
    Event,
    FlattenRequested,
    OrderReport,
    PositionRead,
    Query,
    QueryAnswered,
    ReadPositions,
    Send,
    StreamBack,
    StreamLost,
    Tick,
)
from executor.pair.order import OrderState
from executor.pair.rules import PairRules
from executor.recovery.restore import state_of
from runtime.carried_positions import CarriedOrder, CarriedPair
from settings import PROJECT, Settings, load_raw, parse_settings
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import MS, an_instrument, some_rules
from tools.doctor.finding import Grade
from tools.doctor.naked import look_at_naked_bound
from venues.contract import OrderStatus, Outcome

ANSWER_MS = 200  # every venue takes this long for every answer


def some_settings(**execution: Any) -> Settings:
    raw = load_raw(PROJECT / "config.yaml")
    raw["execution"] |= execution
    return parse_settings(raw, "config.yaml")


def rules_under(settings: Settings) -> PairRules:
    instruments = tuple(an_instrument(number % 2, instrument_id=number) for number in range(4))
    return rules_of(settings, instruments, 0)


class SlowVenues:
    """Both venues answer everything ``ANSWER_MS`` later, but for one order, which is lost."""

    def __init__(self, pair: Pair, lost_leg: int) -> None:
        self.pair = pair
        self.lost_leg = lost_leg
        self.lost_id = 0
        self.held_e8 = list(pair.positions_e8)
        self.filled: dict[int, Send] = {}
        self.mail: list[tuple[int, Event]] = []  # (when, what)

    def carry_out(self, *, ack_in_doubt: bool = False) -> None:
        """Let the venues hear what the machine has just commanded."""
        at = self.pair.now_mono_ns + ANSWER_MS * MS
        for command in self.pair.commands:
            match command:
                case Send() if command.leg == self.lost_leg and not self.lost_id:
                    self.lost_id = command.client_order_id
                    if ack_in_doubt:
                        self._post(self.pair.now_mono_ns, Acked(self.pair.at, self.lost_id, Outcome.IN_DOUBT))
                case Send():
                    self.filled[command.client_order_id] = command
                    self.held_e8[command.leg] += command.side * command.size_e8
                    # The first orders fill at once, which is when a leg begins to stand alone.
                    self._post(self.pair.now_mono_ns if len(self.filled) == 1 else at, self._told(command))
                case Query():
                    send = self.filled.get(command.client_order_id)
                    reported = None if send is None else self._told(send)
                    asked = self.pair.now_mono_ns
                    self._post(at, QueryAnswered(self.pair.at, command.client_order_id, asked, reported))
                case ReadPositions():
                    for leg in (0, 1):
                        read = PositionRead(self.pair.at, leg, self.held_e8[leg], self.pair.now_mono_ns)
                        self._post(at, read)

    def run(self, ms: float) -> None:
        """Time passes, and with it what the venues have to say."""
        pair, end_mono_ns = self.pair, self.pair.now_mono_ns + int(ms * MS)
        while True:
            due = max(due_mono_ns(pair.rules, pair.state), pair.now_mono_ns + MS)
            first = min(self.mail, key=lambda item: item[0], default=(due + 1, None))
            if min(due, first[0]) > end_mono_ns:
                return
            if first[1] is not None and first[0] <= due:
                self.mail.remove(first)
                pair.now_mono_ns = max(pair.now_mono_ns, first[0])
                pair.feed(first[1]._replace(at=pair.at))
            else:
                pair.now_mono_ns = due
                pair.feed(Tick(pair.at))
            self.carry_out()

    def _post(self, mono_ns: int, event: Event) -> None:
        self.mail.append((mono_ns, event))

    def _told(self, send: Send) -> OrderReport:
        price_e8 = send.limit_price_e8
        return OrderReport(self.pair.at, send.client_order_id, OrderStatus.FILLED, send.size_e8, price_e8, 0)


@pytest.mark.parametrize(
    "execution",
    [
        {},
        {"order_validity_ms": 5_000},
        {"order_validity_ms": 500, "reply_timeout_ms": 3_000.0},
        {"query_interval_ms": 1_000.0, "retry_delay_ms": 700.0},
        {"on_single_leg": "unwind"},
        {"on_single_leg": "complete"},
    ],
    ids=str,
)
def test_no_lost_request_leaves_a_leg_alone_for_longer_than_is_promised(execution: dict[str, Any]) -> None:
    """Entry and exit, either leg, an order nobody hears of again or one whose connection was reset."""
    settings = some_settings(**execution)
    bound_ms = naked_bound_ms(settings)
    for moment, leg, is_reset in product(("entry", "exit"), (0, 1), (False, True)):
        pair = Pair(rules_under(settings))
        if moment == "exit":
            pair.hedged()
        venues = SlowVenues(pair, leg)
        _ = pair.enter() if moment == "entry" else pair.exit()
        venues.carry_out(ack_in_doubt=is_reset)
        if is_reset:  # the private stream breaks with it, and is back
            pair.feed(StreamLost(pair.at, leg))
            venues.carry_out()
            venues.run(300)
            pair.feed(StreamBack(pair.at, leg))
            venues.carry_out()

        venues.run(3 * bound_ms)

        case = f"{execution} {moment} leg {leg} reset {is_reset}"
        (naked,) = pair.logged("naked_end")
        assert naked["naked_ms"] <= bound_ms, case
        assert sum(venues.held_e8) == 0 == sum(pair.positions_e8), case
        written_off = pair.logged("leg_resolved")[0]
        assert (written_off["client_order_id"], written_off["order_state"]) == (venues.lost_id, "absent"), (
            case
        )


def test_the_shipped_settings_keep_what_they_promise() -> None:
    """Three seconds for every single loss is what is aimed at."""
    settings = some_settings()

    assert naked_bound_ms(settings) <= settings.execution.max_naked_ms <= 3_000
    assert look_at_naked_bound(settings).grade is Grade.OK


def test_a_limit_that_cannot_be_kept_is_warned_of_with_the_figure_that_holds() -> None:
    finding = look_at_naked_bound(some_settings(max_naked_ms=1_500.0))

    assert finding.grade is Grade.WARNING
    assert "2850 ms" in finding.found
    assert "1500" in finding.found
    assert "execution.max_naked_ms" in finding.remedy


def test_the_comment_in_config_yaml_is_the_figure_that_holds() -> None:
    text = (PROJECT / "config.yaml").read_text()

    assert f"settings {naked_bound_ms(some_settings()):g} at most" in text


def test_the_validity_stays_within_what_a_restart_reckons_with() -> None:
    raw = yaml.safe_load((PROJECT / "config.yaml").read_text())
    raw["execution"]["order_validity_ms"] = 5_001
    with pytest.raises(Exception, match="order_validity_ms"):
        parse_settings(raw, "config.yaml")


# ------------------------------------------------------------------------------- what ends doubt


def test_what_is_in_doubt_is_cancelled_at_once_and_once() -> None:
    pair = Pair()
    _, second = pair.enter()

    pair.feed(Acked(pair.at, second.client_order_id, Outcome.IN_DOUBT))

    assert [cancel.client_order_id for cancel in pair.cancels()] == [second.client_order_id]
    pair.wait(500)
    assert pair.queries()
    assert second.client_order_id not in [cancel.client_order_id for cancel in pair.cancels()]


def test_a_confirmed_cancel_has_the_order_asked_for_soon() -> None:
    """An open order that fell silent would be left to itself for a whole reply timeout."""
    pair = Pair(some_rules(reply_timeout_ns=5_000 * MS))
    _, second = pair.enter()
    pair.reported(second, OrderStatus.OPEN, 0)
    pair.wait(1_000)
    assert not pair.queries()

    pair.feed(CancelConfirmed(pair.at, second.client_order_id))
    pair.wait(250)

    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]


def test_a_cancel_confirmed_for_an_order_that_has_ended_changes_nothing() -> None:
    pair = Pair().hedged()
    before = pair.state

    pair.feed(CancelConfirmed(pair.at, before.legs[0].past[0].client_order_id))
    pair.feed(CancelConfirmed(pair.at, 12345))

    assert pair.state == before


def test_a_doubtful_order_is_asked_for_at_the_very_end_of_its_validity() -> None:
    pair = Pair(some_rules(appear_ns=3_210 * MS, unknown_answers_min=2))
    _, second = pair.enter()
    sent_mono_ns = pair.now_mono_ns
    asked_ms = []
    for _ in range(40):
        pair.now_mono_ns = due_mono_ns(pair.rules, pair.state)
        pair.feed(Tick(pair.at))
        if second.client_order_id in [query.client_order_id for query in pair.queries()]:
            asked_ms.append((pair.now_mono_ns - sent_mono_ns) // MS)

    assert 3_210 in asked_ms


def test_one_denial_past_the_validity_does_not_end_doubt_two_spaced_ones_do() -> None:
    pair = Pair(some_rules(appear_ns=3_000 * MS))
    _, second = pair.enter()
    pair.wait(800)
    for _ in range(3):
        pair.unknown(second)
        pair.wait(500)
    pair.now_mono_ns = pair.state.legs[1].live[0].gone_mono_ns
    pair.read_twice(1, 0)
    pair.unknown(second)
    pair.unknown(second)
    assert pair.state.legs[1].live[0].state is OrderState.IN_DOUBT

    pair.wait(250)
    pair.unknown(second)
    pair.read(1, 0)

    assert pair.state.legs[1].past[-1].state is OrderState.ABSENT


def test_an_order_of_an_earlier_run_is_waited_for_as_long_as_any_order_is_valid() -> None:
    """That run may have had another validity, and flattened or not: nothing tells which."""
    rules = rules_under(some_settings(order_validity_ms=500))
    order = CarriedOrder(
        client_order_id=(5 << 24) + 1, leg=1, side="SELL", purpose="entry", attempt=0, size_e8=10**6,
        limit_price_e8=10**10, reduce_only=False, trade_id=5 << 24, sent_unix_ms=1_000, state="sent",
        venue_order_id="", filled_e8=0, average_price_e8=0, fee_e8=0,
    )  # fmt: skip
    held = CarriedPair(pair=rules.pair, legs=("", ""), orders=(order,))

    state = state_of(rules, 9, held, now_mono_ns=10_000 * MS, now_unix_ms=1_500)

    (live,) = state.legs[1].live
    assert live.sent_mono_ns == 9_500 * MS
    assert live.gone_mono_ns == (9_500 + 6_100) * MS


def test_a_flatten_asked_for_meanwhile_waits_for_the_doubt_too() -> None:
    pair = Pair()
    first, _ = pair.enter()
    pair.fill(first)
    pair.feed(FlattenRequested(pair.at, "shutdown"))

    assert not pair.wait(1_000)
