"""What the gates are told of a margin account: distance to liquidation, and nothing that was not read."""

from __future__ import annotations

from typing import cast

import pytest

from events.event import Event
from events.positions import VenueLost
from executor.gateways.contract import OrderGateway
from executor.risk.margin import Margins, margin_of
from executor.risk.pre_trade import NO_MARGIN
from runtime.clock import SystemClock
from venues.contract import E8, Account, Position, TransportError

PPB = 1_000_000_000
ACCOUNT = Account(value_e8=1_000 * E8, free_e8=400 * E8, maintenance_margin_e8=100 * E8)


def a_position(size: float, *, liquidation: float = 0, mark: float = 100, entry: float = 100) -> Position:
    return Position(0, round(size * E8), round(entry * E8), round(mark * E8), round(liquidation * E8))


@pytest.mark.parametrize(
    ("positions", "ratio"),
    [
        ([], 1.0),
        ([a_position(0, liquidation=99)], 1.0),  # closed ones may still be listed
        ([a_position(1, liquidation=80)], 0.2),
        ([a_position(-1, liquidation=130)], 0.3),
        ([a_position(1, liquidation=80), a_position(-1, liquidation=105)], 0.05),
        ([a_position(1, liquidation=101)], 0.0),  # past it already
        # No price of liquidation: 900 of spare value against 3,000 of positions.
        ([a_position(20), a_position(-10)], 0.3),
        ([a_position(1)], 1.0),  # more than the whole price
        ([a_position(30, mark=0)], 0.3),  # no mark: the entry price serves
        ([a_position(1, mark=0, entry=0)], 0.0),  # nothing is known: nothing is fine
    ],
)
def test_the_distance_is_that_of_the_nearest_position(positions: list[Position], ratio: float) -> None:
    """One position near its liquidation is enough to open nothing more."""
    assert margin_of(ACCOUNT, positions, 7).liquidation_distance_ppb == pytest.approx(ratio * PPB, abs=1)


class _Venue:
    """A gateway that answers, or does not."""

    venue = "vest"

    def __init__(self) -> None:
        self.error: TransportError | None = None

    async def query_margin(self) -> tuple[Account, list[Position]]:
        if self.error is not None:
            raise self.error
        return ACCOUNT, []


async def test_a_question_that_fails_leaves_the_margin_to_grow_old() -> None:
    """The old figures stand with their old age; they are not made young, nor forgotten."""
    venue = _Venue()
    reported: list[Event] = []
    margins = Margins(["vest"], reported.append, SystemClock())
    assert margins.by_venue["vest"] is NO_MARGIN
    assert margins.oldest_s(1) == -1

    await margins.read(cast(OrderGateway, venue))
    known = margins.by_venue["vest"]
    venue.error = TransportError("no answer")
    await margins.read(cast(OrderGateway, venue))

    assert (known.value_e8, known.free_e8) == (1_000 * E8, 400 * E8)
    assert margins.by_venue["vest"] is known
    assert margins.oldest_s(known.asked_mono_ns + 6 * 10**9) == 6.0
    assert reported == [VenueLost(venue="vest", what="margin", detail="no answer")]
