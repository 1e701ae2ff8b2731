"""Armed orders: when one is made anew, and when one may be sent."""

from __future__ import annotations

import pytest

from executor.gateway import ReadyOrder
from executor.templates import VALIDITY_SPARE_MS, Armoury, Slot, Wanted
from venues.contract import E8, Instrument, OrderRequest, Side, TimeInForce

INSTRUMENT = Instrument(
    0, "vest", "BTC-PERP", "BTC", E8 // 100, E8 // 10_000, E8 // 10_000, 0, 0, 2, 4, 1.0, True
)
BUY = Slot(0, Side.BUY, E8, reduce_only=False)
SELL = Slot(0, Side.SELL, E8, reduce_only=False)
COID, NOW_MS, VALID_MS = 77, 1_000_000, 1_004_000
TOUCH_E8 = 50_000 * E8


def an_armoury() -> Armoury:
    """Band 8 bps (40 at this price), renewed when 1 bps (5) off: armed at 5 bps (25), reach 2 bps (10)."""
    return Armoury(band_bps=8.0, rearm_bps=1.0)


def armed(
    slot: Slot, armoury: Armoury, *, client_order_id: int = COID, touch_e8: int = TOUCH_E8
) -> ReadyOrder:
    limit_e8 = armoury.limit_price_e8(INSTRUMENT, slot.side, touch_e8)
    request = OrderRequest(
        client_order_id, INSTRUMENT, slot.side, slot.size_e8, limit_e8, slot.reduce_only, TimeInForce.FOK
    )
    order = ReadyOrder(request, b"bytes", VALID_MS)
    armoury.put(slot, order)
    return order


def taken(
    armoury: Armoury,
    slot: Slot,
    *,
    client_order_id: int = COID,
    touch_e8: int = TOUCH_E8,
    now_unix_ms: int = NOW_MS,
) -> ReadyOrder | None:
    """What the armoury hands over when the machine's limit is 8 bps beyond the touch."""
    worst_e8 = touch_e8 + slot.side * touch_e8 * 8 // 10_000
    return armoury.take(
        slot,
        client_order_id=client_order_id,
        worst_price_e8=worst_e8,
        touch_e8=touch_e8,
        now_unix_ms=now_unix_ms,
    )


@pytest.mark.parametrize("slot", [BUY, SELL])
def test_what_is_armed_is_taken_once(slot: Slot) -> None:
    """A used template can never be sent again."""
    armoury = an_armoury()
    order = armed(slot, armoury)
    assert taken(armoury, slot) is order
    assert taken(armoury, slot) is None


@pytest.mark.parametrize("slot", [BUY, SELL])
@pytest.mark.parametrize("moved_e8", [-14 * E8, 14 * E8])
def test_a_move_within_the_band_still_fits(slot: Slot, moved_e8: int) -> None:
    """Signals come when prices move, and those are the templates that count."""
    armoury = an_armoury()
    order = armed(slot, armoury)
    assert taken(armoury, slot, touch_e8=TOUCH_E8 + moved_e8) is order


@pytest.mark.parametrize("slot", [BUY, SELL])
def test_a_limit_that_hardly_reaches_the_touch_is_not_sent(slot: Slot) -> None:
    """The next tick would leave this leg unfilled and the other one naked."""
    armoury = an_armoury()
    armed(slot, armoury)
    assert taken(armoury, slot, touch_e8=TOUCH_E8 + slot.side * 16 * E8) is None


@pytest.mark.parametrize("slot", [BUY, SELL])
def test_a_limit_beyond_the_band_is_not_sent(slot: Slot) -> None:
    """It would pay more than was agreed."""
    armoury = an_armoury()
    armed(slot, armoury)
    assert taken(armoury, slot, touch_e8=TOUCH_E8 - slot.side * 16 * E8) is None


def test_another_id_another_slot_or_a_spent_validity_is_not_sent() -> None:
    """The machine's id is the key for asking; what is written must carry it."""
    armoury = an_armoury()
    armed(BUY, armoury)
    assert taken(armoury, SELL) is None
    assert taken(armoury, BUY, client_order_id=COID + 2) is None
    armed(BUY, armoury)
    late_ms = VALID_MS - VALIDITY_SPARE_MS // 2 + 1
    assert taken(armoury, BUY, now_unix_ms=late_ms) is None


def test_without_a_price_nothing_armed_is_sent() -> None:
    armoury = an_armoury()
    armed(BUY, armoury)
    assert armoury.take(
        BUY, client_order_id=COID, worst_price_e8=10**18, touch_e8=0, now_unix_ms=NOW_MS
    ) is None  # fmt: skip


def wanted(armoury: Armoury, *, client_order_id: int = COID, touch_e8: int = TOUCH_E8) -> list[Wanted]:
    return [
        Wanted(slot, client_order_id, armoury.limit_price_e8(INSTRUMENT, slot.side, touch_e8))
        for slot in (BUY, SELL)
    ]


def test_a_template_is_made_anew_for_each_reason() -> None:
    """Missing, spent, running out, off its price; one that is none of these stays."""
    armoury = an_armoury()
    armed(SELL, armoury)
    missing = armoury.first_stale(wanted(armoury), NOW_MS)
    assert missing is not None
    assert missing.slot == BUY
    armed(BUY, armoury)
    assert armoury.first_stale(wanted(armoury), NOW_MS) is None
    assert armoury.first_stale(wanted(armoury, client_order_id=COID + 2), NOW_MS) is not None
    assert armoury.first_stale(wanted(armoury), VALID_MS - VALIDITY_SPARE_MS) is None
    assert armoury.first_stale(wanted(armoury), VALID_MS - VALIDITY_SPARE_MS + 1) is not None
    assert armoury.first_stale(wanted(armoury, touch_e8=TOUCH_E8 + 4 * E8), NOW_MS) is None
    assert armoury.first_stale(wanted(armoury, touch_e8=TOUCH_E8 + 6 * E8), NOW_MS) is not None


def test_what_nobody_wants_any_more_is_dropped() -> None:
    """An exit template must not outlive its position."""
    armoury = an_armoury()
    armed(BUY, armoury)
    order = armed(SELL, armoury)
    armoury.keep_only(wanted(armoury)[1:])
    assert taken(armoury, BUY) is None
    assert taken(armoury, SELL) is order
