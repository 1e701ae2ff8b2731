"""A recording made before events had types is replayed to the same decisions and the same journal.

The heads were taken with the version that made the recording (338ff05). A head covers every evaluation and
every event of a pair, field by field: orders, fills, retries, trades, slippage.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.record.reader import Recording
from tools.replay.overrides import changed
from tools.replay.simulate import simulate
from tools.replay.verify import verify

RECORDING = Path(__file__).with_name("recording-before-types")
# More than the best level holds: legs fill in part and are mended.
LARGE = {
    "size_base": "1.5",
    "execution.price_band_bps": 0.03,
    "risk.max_order_notional_quote": "500000",
    "risk.max_position_notional_quote": "900000",
    "paper.venues.vest.balance_quote": "2000000",
    "paper.venues.paradex.balance_quote": "2000000",
}
SMALL_LIMITS = {"risk.max_position_notional_quote": "900", "risk.max_order_notional_quote": "900"}


@pytest.mark.parametrize(
    ("changes", "head", "links", "trades"),
    [
        # Typed events left all three as they were (d6abbb12, 90732a33). Since then a close is confirmed at
        # both venues and reported: more events in the first two (47f342dc, e0560169; the third is 51567233).
        # Since then events say more (venues, threshold, latency, why, widest gap) and count threshold and
        # edge apart: without the new fields and with both counts added up, the heads are still those three.
        ({}, "c41efacda2e3f37d2daf132781dc9879", 6_241, 6),
        (LARGE, "0b25eed0e3f2e8aa079b0ad2deb92c9d", 6_726, 6),
        (SMALL_LIMITS, "71f2b9c3ed7497b282464bf98920716d", 6_088, 0),
    ],
    ids=["as recorded", "filled in part", "refused"],
)
def test_the_decisions_and_the_events_are_those_of_before(
    changes: dict[str, object], head: str, links: int, trades: int
) -> None:
    recording = Recording(RECORDING)
    outcome = simulate(recording, changed(recording.raw_settings, changes))

    assert (outcome.head, outcome.links, len(outcome.trades)) == (head, links, trades)


def test_the_recorded_signals_are_those_of_before() -> None:
    found = verify(Recording(RECORDING))

    assert (found.head, found.recorded, found.same) == ("5071cc2c8e08c8053749a18c5bae36e6", 19, 19)
