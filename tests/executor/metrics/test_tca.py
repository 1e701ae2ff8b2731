"""What an entry or exit got against what was seen: per leg, at every stage, each side's sign right."""

from __future__ import annotations

import pytest

from events.event import PurposeName
from events.orders import LegFilled
from executor.metrics.latency import SignalTimestamps
from executor.metrics.tca import ExecutionReport
from executor.pair.pricing import LegMarket
from shm.records import PairPhase, Signal, SignalKind
from tests.executor.harness import a_harness
from venues.contract import E8, PAR_E8

FIRST, SECOND = 100, 101  # client order ids of the batch


def a_batch(
    kind: SignalKind,
    direction: int,
    seen: tuple[float, float],
    sent: tuple[float, float],
    rate_e8: int = PAR_E8,
) -> ExecutionReport:
    """A batch whose touches when the bytes left were ``sent`` on the sides it takes."""
    prices = round(seen[0] * E8), round(seen[1] * E8)
    signal = Signal(7, 1, 0, kind, direction, 2, E8, *prices, 12.5, 3.0, 1_000, 2_000, 3_000, 4_000, 9_000)
    stages = SignalTimestamps(signal, 5_000, 6_000, client_order_ids=[FIRST, SECOND], sent=[7_000, 8_000])
    markets = tuple(LegMarket(True, round(price * E8), round(price * E8)) for price in sent)
    return ExecutionReport(stages, (markets[0], markets[1]), rate_e8)


def reported(client_order_id: int, size: float, price: float, purpose: PurposeName = "entry") -> LegFilled:
    return LegFilled(
        pair="btc",
        trade_id=FIRST,
        leg=client_order_id % 2,
        venue="vest",
        symbol="BTC-PERP",
        client_order_id=client_order_id,
        side="BUY",
        purpose=purpose,
        attempt=0,
        order_state="filled",
        venue_order_id="v",
        size_e8=E8,
        filled_e8=round(size * E8),
        average_price_e8=round(price * E8),
        fee_e8=0,
    )


def test_an_entry_is_compared_at_three_moments() -> None:
    """Bought at 100.2 what was seen at 100, sold at 100.9 what was seen at 101: 20 and 9.9 bps worse."""
    batch = a_batch(SignalKind.ENTER, 1, (100, 101), (100.1, 101))
    batch.follow(reported(FIRST, 1, 100.2))
    batch.follow(reported(SECOND, 1, 100.9))

    fields = batch.fields()

    assert (fields["kind"], fields["layer"], fields["sides"]) == ("entry", 2, ("BUY", "SELL"))
    assert fields["detected_bps"] == pytest.approx(100.0)
    assert fields["sent_bps"] == pytest.approx(10_000 * 0.9 / 100.1)
    assert fields["filled_bps"] == pytest.approx(10_000 * 0.7 / 100.2)
    assert (fields["first_leg_sent_bps"], fields["second_leg_sent_bps"]) == (pytest.approx(10.0), 0.0)
    assert fields["first_leg_bps"] == pytest.approx(20.0)
    assert fields["second_leg_bps"] == pytest.approx(10_000 * 0.1 / 101)
    assert fields["recv_to_publish_us"] == 1.0
    assert fields["executor_to_both_us"] == 3.0


def test_an_exit_trades_the_other_way_and_gives_back() -> None:
    """Long first, short second: the first is sold, the second bought; cheaper selling is worse."""
    batch = a_batch(SignalKind.EXIT, 1, (100, 100.1), (100, 100.2))
    batch.follow(reported(FIRST, 1, 99.9, purpose="exit"))
    batch.follow(reported(SECOND, 1, 100.1, purpose="exit"))

    fields = batch.fields()

    assert (fields["kind"], fields["layer"], fields["sides"]) == ("exit", 0, ("SELL", "BUY"))
    assert fields["detected_bps"] == pytest.approx(10.0)
    assert fields["sent_bps"] == pytest.approx(20.0)
    assert fields["filled_bps"] == pytest.approx(10_000 * 0.2 / 99.9)
    assert (fields["first_leg_bps"], fields["second_leg_bps"]) == (pytest.approx(10.0), 0.0)


def test_what_mended_a_leg_counts_and_what_came_before_does_not() -> None:
    """Half filled at 100, the rest by a retry at 100.4; an order of the layer before is another's."""
    batch = a_batch(SignalKind.ENTER, 1, (100, 101), (100, 101))
    batch.follow(reported(FIRST - 2, 5, 90))
    batch.follow(reported(FIRST, 0.25, 100))
    batch.follow(reported(FIRST, 0.5, 100))  # the same order, further on
    batch.follow(reported(FIRST + 2, 0.5, 100.4, purpose="complete"))
    batch.follow(reported(FIRST + 4, 0.1, 80, purpose="unwind"))
    assert batch.filled_e8 == (round(100.2 * E8), 0)
    first_bps, second_bps = batch.worse_bps(batch.filled_e8)
    assert first_bps == pytest.approx(20.0)
    assert second_bps is None
    assert batch.fields()["filled_bps"] is None


def test_a_leg_without_a_price_when_it_left_is_not_invented() -> None:
    batch = a_batch(SignalKind.ENTER, 1, (100, 101), (100, 101))
    signal_alone = ExecutionReport(batch.stages, (LegMarket(False), LegMarket(False)))
    fields = signal_alone.fields()
    assert (fields["sent_bps"], fields["first_leg_sent_bps"]) == (None, None)


async def test_entry_and_exit_are_told_with_every_stage_and_learned_from_for_good() -> None:
    """Buying Vest finds 2 bps less than was seen, closing finds what was seen; a later life knows it."""
    async with a_harness() as harness:
        await harness.start()
        harness.enter(seen=(49_991, 50_050))
        await harness.until_phase(PairPhase.HEDGED)
        entry = await harness.until_logged("slippage", kind="entry")
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        exit_ = await harness.until_logged("slippage", kind="exit")

        assert entry["first_leg_bps"] == entry["first_leg_sent_bps"] == pytest.approx(10_000 * 10 / 49_991)
        assert entry["second_leg_bps"] == entry["second_leg_sent_bps"] == 0.0
        assert (exit_["first_leg_bps"], exit_["second_leg_bps"]) == (0.0, 0.0)
        assert exit_["detected_bps"] == exit_["sent_bps"] == exit_["filled_bps"] == pytest.approx(0.2)
        for line in (entry, exit_):
            assert all(us > 0 for us in line["sent_to_filled_us"])
            # An answer and the fill it is about come over two connections: the fill may be first.
            assert all(us is None or us > 0 for us in line["sent_to_acked_us"])
            assert line["executor_to_first_us"] > 0
            assert line["trade_id"] == entry["trade_id"]
            assert line["learned_samples"] == [1, 1]
        assert entry["learned_bps"] == [pytest.approx(2.0, abs=0.001), 0.0]

        known = [harness.learned(number) for number in range(4)]
        await harness.kill()
        harness.forget_learned()
        await harness.start()
        assert [harness.learned(number) for number in range(4)] == known
        assert [view.samples for view in known if view] == [1, 1, 1, 1]


def test_legs_in_two_currencies_are_compared_by_their_rate() -> None:
    """Bought at 100, sold at 101 of a currency worth 0.98: 98.98 of the first one's."""
    batch = a_batch(SignalKind.ENTER, 1, (100, 101), (100, 101), rate_e8=98 * E8 // 100)
    batch.follow(reported(FIRST, 1, 100))
    batch.follow(reported(SECOND, 1, 102))
    fields = batch.fields()
    assert fields["detected_bps"] == pytest.approx(-102.0)
    assert fields["filled_bps"] == pytest.approx(-4.0)
    assert fields["second_leg_bps"] == pytest.approx(-99.0, abs=0.1), "in its own currency"
