"""Margin of the accounts: read now and then, and old or missing until it was.

An entry may be let through only where the account's value, what is free of it and how far the
nearest position is from its liquidation are known and recent. Pushed balances do not say how old
they are, so they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from events.event import Event
from events.positions import VenueLost
from executor.gateways.contract import OrderGateway
from executor.risk.pre_trade import NO_MARGIN, Margin
from runtime.clock import Clock
from venues.contract import E8, Account, Position, TransportError, VenueError

_PPB = 1_000_000_000


class Margins:
    """The newest margin of each venue."""

    def __init__(self, venues: Iterable[str], report: Callable[[Event], object], clock: Clock) -> None:
        self.by_venue = dict.fromkeys(venues, NO_MARGIN)
        self._report = report
        self._clock = clock

    async def read(self, gateway: OrderGateway) -> None:
        """Ask a venue. A question that fails leaves what was known to grow old."""
        asked_mono_ns = self._clock.mono_ns()
        try:
            account, positions = await gateway.query_margin()
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=gateway.venue, what="margin", detail=str(error)))
            return
        self.by_venue[gateway.venue] = margin_of(account, positions, asked_mono_ns)

    def oldest_s(self, now_mono_ns: int) -> float:
        """How old the oldest of them is; -1 until every venue has reported one."""
        asked = [margin.asked_mono_ns for margin in self.by_venue.values()]
        return (now_mono_ns - min(asked)) / 1e9 if all(asked) else -1.0


def margin_of(account: Account, positions: Iterable[Position], asked_mono_ns: int) -> Margin:
    """What the gates need of an account and its positions."""
    held = [position for position in positions if position.size_e8]
    distances = [_distance_ppb(account, held, position) for position in held]
    return Margin(account.value_e8, account.free_e8, min(distances, default=_PPB), asked_mono_ns)


def _distance_ppb(account: Account, held: list[Position], position: Position) -> int:
    """How far the price may move against a position before it is liquidated, part of the price.

    Where the venue names no liquidation price there may be none, or it is not reported: then it is how
    far all positions together may move against the account before it falls to its maintenance margin.
    """
    mark_e8 = _mark_e8(position)
    if position.liquidation_price_e8 and mark_e8:
        away_e8 = mark_e8 - position.liquidation_price_e8
        return max(0, (away_e8 if position.size_e8 > 0 else -away_e8) * _PPB // mark_e8)
    notional_e8 = sum(abs(item.size_e8) * _mark_e8(item) // E8 for item in held)
    spare_e8 = account.value_e8 - account.maintenance_margin_e8
    return min(max(0, spare_e8 * _PPB // notional_e8), _PPB) if notional_e8 else 0


def _mark_e8(position: Position) -> int:
    return position.mark_price_e8 or position.entry_price_e8
