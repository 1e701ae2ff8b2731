"""Cancel everything and close everything on one venue's configured instruments, until it is proven.

Every order here is reduce-only and ends at once, so one whose answer is lost may be followed by
another: together they cannot do more than close the position. Prices are bounded and the bound widens
with every try. Flat is what two reads in a row say that find no order and no position, the last of them
taken when nothing that was signed before the beginning can come into being any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from executor.pair.config import CLOCK_SPARE_MS
from executor.pair.pricing import limit_price_e8
from settings import ORDER_VALIDITY_MS_MAX
from tools.access import VenueAccess
from venues.contract import Instrument, OffGrid, OrderRequest, Outcome, Side, TransportError, VenueError

BANDS_BPS: Final = (10.0, 25.0, 50.0, 100.0, 200.0, 400.0)  # from the touch; the last is kept to
READS_AGREEING: Final = 2
_READ_PAUSE_S: Final = 1.0  # between reads that are to agree: a venue's answers may lag behind its fills
_TRY_PAUSE_S: Final = 0.3
_SAFE_AFTER_S: Final = (ORDER_VALIDITY_MS_MAX + CLOCK_SPARE_MS) / 1e3


@dataclass(slots=True)
class Flattening:
    """What was done at one venue and what it answered; part of the receipt."""

    venue: str
    cancelled: list[dict[str, Any]] = field(default_factory=list)
    closes: list[dict[str, Any]] = field(default_factory=list)
    reads: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    is_flat: bool = False

    def note(self, error: object) -> None:
        """Remember a problem, the same one in a row only once."""
        if not self.problems or self.problems[-1] != str(error):
            self.problems.append(str(error))

    @property
    def exposure(self) -> dict[str, Any] | None:
        """What the last read showed; None when the venue has never answered one."""
        return self.reads[-1] if self.reads else None


async def flatten(
    access: VenueAccess,
    progress: Flattening,
    *,
    began_mono_s: float,
    deadline_mono_s: float,
    next_client_order_id: Callable[[Instrument], int],
) -> None:
    """Work on one venue until it is proven flat or the deadline. ``progress`` is updated as it goes."""
    tries, agreeing, is_logged_in = 0, 0, False
    while time.monotonic() < deadline_mono_s:
        try:
            if not is_logged_in:
                await access.login()
                is_logged_in = True
            if await _read(access, progress) and time.monotonic() >= began_mono_s + _SAFE_AFTER_S * agreeing:
                agreeing += 1
                if agreeing >= READS_AGREEING:
                    progress.is_flat = True
                    return
                await asyncio.sleep(_READ_PAUSE_S)
                continue
            if progress.reads[-1]["positions_e8"] or progress.reads[-1]["open_orders"]:
                agreeing = 0
                await _cancel_all(access, progress)
                await _close_all(
                    access, progress, BANDS_BPS[min(tries, len(BANDS_BPS) - 1)], next_client_order_id
                )
                tries += 1
        except (TransportError, VenueError) as error:
            agreeing = 0
            progress.note(error)
        await asyncio.sleep(_TRY_PAUSE_S)


async def _read(access: VenueAccess, progress: Flattening) -> bool:
    """One look at orders and positions; whether there is none of either."""
    orders, positions_e8 = await access.open_orders(), await access.positions_e8()
    progress.reads.append(
        {
            "unix_ms": time.time_ns() // 1_000_000,
            "positions_e8": {
                access.instruments[number].symbol: size_e8 for number, size_e8 in positions_e8.items()
            },
            "open_orders": [order.venue_order_id for order in orders],
        }
    )
    return not orders and not positions_e8


async def _cancel_all(access: VenueAccess, progress: Flattening) -> None:
    for order in await access.open_orders():
        line: dict[str, Any] = {
            "venue_order_id": order.venue_order_id,
            "client_order_id": order.client_order_id,
        }
        progress.cancelled.append(line)
        try:
            ack = await access.cancel(order)
            line |= {"outcome": ack.outcome.name, "code": ack.code, "text": ack.text}
        except (TransportError, VenueError) as error:
            line |= {"outcome": Outcome.IN_DOUBT.name, "text": str(error)}


async def _close_all(
    access: VenueAccess,
    progress: Flattening,
    band_bps: float,
    next_client_order_id: Callable[[Instrument], int],
) -> None:
    for number, size_e8 in (await access.positions_e8()).items():
        instrument = access.instruments[number]
        touch = await access.touch(instrument)
        side = Side.SELL if size_e8 > 0 else Side.BUY
        touch_e8 = touch.bid_e8 if side is Side.SELL else touch.ask_e8
        if not touch_e8:
            progress.note(f"{instrument.symbol}: nobody is there to {side.opposite.name} at any price")
            continue
        whole_e8 = abs(size_e8) // instrument.lot_e8 * instrument.lot_e8
        request = OrderRequest(
            client_order_id=next_client_order_id(instrument),
            instrument=instrument,
            side=side,
            size_e8=min(whole_e8, instrument.max_size_e8 or whole_e8),
            limit_price_e8=limit_price_e8(instrument, side, touch_e8, band_bps),
            reduce_only=True,
            time_in_force=access.time_in_force,
        )
        line: dict[str, Any] = {
            "symbol": instrument.symbol,
            "client_order_id": request.client_order_id,
            "side": side.name,
            "size_e8": request.size_e8,
            "limit_price_e8": request.limit_price_e8,
            "touch_e8": touch_e8,
            "band_bps": band_bps,
        }
        progress.closes.append(line)
        try:
            ack = await access.send(request)
            line |= {"outcome": ack.outcome.name, "code": ack.code, "text": ack.text}
        except OffGrid as error:
            line |= {"outcome": Outcome.REFUSED.name, "text": str(error)}
        except (TransportError, VenueError) as error:
            line |= {"outcome": Outcome.IN_DOUBT.name, "text": str(error)}
