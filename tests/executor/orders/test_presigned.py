"""Armed orders: when one is made anew, and when one may be sent."""

from __future__ import annotations

import pytest

from executor.gateways.contract import ReadyOrder
from executor.orders.presigned import VALIDITY_SPARE_MS, PresignedOrders, Slot, WantedTemplate
from executor.pair.pricing import NO_MARKET, LegMarket
from venues.contract import E8, Instrument, OrderRequest, Side, TimeInForce

INSTRUMENT = Instrument(
    0, "vest", "BTC-PERP", "BTC", E8 // 100, E8 // 10_000, E8 // 10_000, 0, 0, 2, 4, 1.0, True
)
BUY = Slot(0, Side.BUY, E8, reduce_only=False)
SELL = Slot(0, Side.SELL, E8, reduce_only=False)
COID, NOW_MS, VALID_MS = 77, 1_000_000, 1_004_000
TOUCH_E8 = 50_000 * E8


def an_armoury() -> PresignedOrders:
    """Band 8 bps (40 at this price), renewed when 1 bps (5) off: armed at 5 bps (25), reach 2 bps (10)."""
    return PresignedOrders(band_bps=8.0, rearm_bps=1.0)


def armed(
    slot: Slot, presigned: PresignedOrders, *, client_order_id: int = COID, touch_e8: int = TOUCH_E8
) -> ReadyOrder:
    limit_e8 = presigned.limit_price_e8(INSTRUMENT, slot.side, touch_e8)
    request = OrderRequest(
        client_order_id, INSTRUMENT, slot.side, slot.size_e8, limit_e8, slot.reduce_only, TimeInForce.FOK
    )
    order = ReadyOrder(request, b"bytes", VALID_MS)
    presigned.put(slot, order)
    return order


def taken(
    presigned: PresignedOrders,
    slot: Slot,
    *,
    client_order_id: int = COID,
    touch_e8: int = TOUCH_E8,
    now_unix_ms: int = NOW_MS,
) -> ReadyOrder | None:
    """What the presigned hands over when the machine's limit is 8 bps beyond the touch."""
    worst_e8 = touch_e8 + slot.side * touch_e8 * 8 // 10_000
    return presigned.take(
        slot,
        client_order_id=client_order_id,
        worst_price_e8=worst_e8,
        market=LegMarket(True, bid_e8=touch_e8, ask_e8=touch_e8),
        now_unix_ms=now_unix_ms,
    )


@pytest.mark.parametrize("slot", [BUY, SELL])
def test_what_is_armed_is_taken_once(slot: Slot) -> None:
    """A used template can never be sent again."""
    presigned = an_armoury()
    order = armed(slot, presigned)
    assert taken(presigned, slot) is order
    assert taken(presigned, slot) is None


@pytest.mark.parametrize("slot", [BUY, SELL])
@pytest.mark.parametrize("moved_e8", [-14 * E8, 14 * E8])
def test_a_move_within_the_band_still_fits(slot: Slot, moved_e8: int) -> None:
    """Signals come when prices move, and those are the templates that count."""
    presigned = an_armoury()
    order = armed(slot, presigned)
    assert taken(presigned, slot, touch_e8=TOUCH_E8 + moved_e8) is order


@pytest.mark.parametrize("slot", [BUY, SELL])
def test_a_limit_that_hardly_reaches_the_touch_is_not_sent(slot: Slot) -> None:
    """The next tick would leave this leg unfilled and the other one naked."""
    presigned = an_armoury()
    armed(slot, presigned)
    assert taken(presigned, slot, touch_e8=TOUCH_E8 + slot.side * 16 * E8) is None


@pytest.mark.parametrize("slot", [BUY, SELL])
def test_a_limit_beyond_the_band_is_not_sent(slot: Slot) -> None:
    """It would pay more than was agreed."""
    presigned = an_armoury()
    armed(slot, presigned)
    assert taken(presigned, slot, touch_e8=TOUCH_E8 - slot.side * 16 * E8) is None


def test_another_id_another_slot_or_a_spent_validity_is_not_sent() -> None:
    """The machine's id is the key for asking; what is written must carry it."""
    presigned = an_armoury()
    armed(BUY, presigned)
    assert taken(presigned, SELL) is None
    assert taken(presigned, BUY, client_order_id=COID + 2) is None
    armed(BUY, presigned)
    late_ms = VALID_MS - VALIDITY_SPARE_MS // 2 + 1
    assert taken(presigned, BUY, now_unix_ms=late_ms) is None


def test_without_a_price_nothing_armed_is_sent() -> None:
    presigned = an_armoury()
    armed(BUY, presigned)
    assert presigned.take(
        BUY, client_order_id=COID, worst_price_e8=10**18, market=NO_MARKET, now_unix_ms=NOW_MS
    ) is None  # fmt: skip


def wanted(
    presigned: PresignedOrders, *, client_order_id: int = COID, touch_e8: int = TOUCH_E8
) -> list[WantedTemplate]:
    return [
        WantedTemplate(slot, client_order_id, presigned.limit_price_e8(INSTRUMENT, slot.side, touch_e8))
        for slot in (BUY, SELL)
    ]


def test_a_template_is_made_anew_for_each_reason() -> None:
    """Missing, spent, running out, off its price; one that is none of these stays."""
    presigned = an_armoury()
    armed(SELL, presigned)
    missing = presigned.first_stale(wanted(presigned), NOW_MS)
    assert missing is not None
    assert missing.slot == BUY
    armed(BUY, presigned)
    assert presigned.first_stale(wanted(presigned), NOW_MS) is None
    assert presigned.first_stale(wanted(presigned, client_order_id=COID + 2), NOW_MS) is not None
    assert presigned.first_stale(wanted(presigned), VALID_MS - VALIDITY_SPARE_MS) is None
    assert presigned.first_stale(wanted(presigned), VALID_MS - VALIDITY_SPARE_MS + 1) is not None
    assert presigned.first_stale(wanted(presigned, touch_e8=TOUCH_E8 + 4 * E8), NOW_MS) is None
    assert presigned.first_stale(wanted(presigned, touch_e8=TOUCH_E8 + 6 * E8), NOW_MS) is not None


def test_what_nobody_wants_any_more_is_dropped() -> None:
    """An exit template must not outlive its position."""
    presigned = an_armoury()
    armed(BUY, presigned)
    order = armed(SELL, presigned)
    presigned.keep_only(wanted(presigned)[1:])
    assert taken(presigned, BUY) is None
    assert taken(presigned, SELL) is order
