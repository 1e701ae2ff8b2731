"""Genuine frames decode to the values listed beside them, by hand or by their own recorder.

Paradex's are shipped with the tests (MIT). Vest's carry no licence and stay outside the repository: in
``../shared/data/captures``, where this machine and CI keep them.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from shm.records import DEPTH_LEVELS
from tests.venues.paradex.samples import HOSTS, captured_session
from venues.contract import E8, FrameError, TopOfBook
from venues.paradex import ParadexMarketData
from venues.vest import V3_HOSTS, VestMarketData

CAPTURES: Final = Path(__file__).parents[2].parent / "shared" / "data" / "captures"
SHIPPED: Final = Path(__file__).parents[1] / "data" / "paradex"
NDX: Final = 9

needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(),
    reason=f"{CAPTURES} is not there: the frames in it have no licence and are not part of the repository",
)


def vest_frame(name: str) -> tuple[bytes, dict[str, Any]]:
    """A captured frame and its JSON. ``rx`` in it is the recorder's and must be overlooked."""
    content = (CAPTURES / "vest" / f"ws_{name}_NDX-USD-PERP_20261007.json").read_bytes()
    return content, json.loads(content)


@needs_captures
def test_the_captured_vest_depth_decodes_to_its_levels_and_time() -> None:
    """Twenty levels a side, sent 211 ms before they were received."""
    frame, listed = vest_frame("depth")
    feed = VestMarketData(V3_HOSTS, {"NDX-USD-PERP": NDX}, generation="v3")
    feed.connected(0)

    feed.receive(frame, False, 1)

    [top], [depth] = feed.take_tops(), feed.take_depths()
    sides = {
        name: [tuple(int(Decimal(text) * E8) for text in level) for level in listed["data"][name]]
        for name in ("bids", "asks")
    }
    assert [len(levels) for levels in sides.values()] == [20, 20]
    assert (list(depth.bids), list(depth.asks)) == tuple(levels[:DEPTH_LEVELS] for levels in sides.values())
    assert (depth.instrument_id, depth.venue_unix_ns // 10**6) == (NDX, listed["rx"] - 211)
    assert top == TopOfBook(
        NDX, 3_147_875_000_000, 481_350_000, 3_148_000_000_000, 481_350_000,
        1_791_415_136_507_000_000, 0, True,
    )  # fmt: skip
    assert feed.take_faults() == []


@needs_captures
@pytest.mark.parametrize(("name", "receive_minus_sent_ms"), [("ticker", -6), ("trades", -25)])
def test_captured_channels_that_were_not_asked_for_are_refused(name: str, receive_minus_sent_ms: int) -> None:
    """Whole frames of other channels; the listed clock differences prove that these are the files meant."""
    frame, listed = vest_frame(name)
    assert listed["rx"] - listed["tsMs"] == receive_minus_sent_ms
    feed = VestMarketData(V3_HOSTS, {"NDX-USD-PERP": NDX}, generation="v3")
    feed.connected(0)

    with pytest.raises(FrameError):
        feed.receive(frame, False, 1)

    assert (feed.take_tops(), feed.take_depths()) == ([], [])


@needs_captures
@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.iterdir() if path.suffix != ".md"))
def test_the_shipped_paradex_capture_is_the_genuine_one(name: str) -> None:
    """A copy that was edited would prove nothing."""
    assert (SHIPPED / name).read_bytes() == (CAPTURES / "paradex" / name).read_bytes()


def test_the_captured_paradex_session_has_the_facts_listed_for_it() -> None:
    """Figures its finder computed from the recorder's own decoding, met again in our quotes."""
    acknowledgement, captured = captured_session()
    feed = ParadexMarketData(HOSTS, {"BTC-USD-PERP": 7})
    feed.connected(0)
    feed.receive(acknowledgement, False, 0)
    for bbo in captured:
        feed.receive(bbo.frame, True, 1)

    tops = feed.take_tops()

    assert len(tops) == 103
    steps = Counter(after.venue_sequence - before.venue_sequence for before, after in pairwise(tops))
    assert steps == {1: 97, 2: 1, 3: 2, 9: 1, 18: 1}
    assert sum(after.venue_unix_ns == before.venue_unix_ns for before, after in pairwise(tops)) == 48
    spreads_bps = [20_000 * (top.ask_e8 - top.bid_e8) / (top.ask_e8 + top.bid_e8) for top in tops]
    assert round(min(spreads_bps), 1) == 1.9
    assert all(top.is_valid and top.bid_e8 < top.ask_e8 for top in tops)
