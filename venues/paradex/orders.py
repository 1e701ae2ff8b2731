"""One new order as the venue takes it, signed. The same fields go over WebSocket and over HTTP.

Source: Paradex OpenAPI file, ``POST /orders``, and OpenRPC file, ``order.create``.
"""

from __future__ import annotations

import threading
from typing import Any

from venues.contract import OrderRequest, Side, format_e8
from venues.paradex.signing import Signer


def create_params(
    request: OrderRequest, *, signer: Signer, client_id: str, timestamp_ms: int, recv_window_ms: int
) -> dict[str, Any]:
    """Return the fields of a limit order. The request must fit its instrument's grid."""
    instrument, side = request.instrument, request.side
    message_hash = signer.order_hash(
        timestamp_ms=timestamp_ms,
        market=instrument.symbol,
        side=side,
        size_e8=request.size_e8,
        price_e8=request.limit_price_e8,
    )
    return {
        "market": instrument.symbol,
        "side": "BUY" if side is Side.BUY else "SELL",
        "type": "LIMIT",
        "size": format_e8(request.size_e8, instrument.size_decimals),
        "price": format_e8(request.limit_price_e8, instrument.price_decimals),
        "instruction": request.time_in_force.value,
        "client_id": client_id,
        "flags": ["REDUCE_ONLY"] if request.reduce_only else [],
        "recv_window": recv_window_ms,
        "signature_timestamp": timestamp_ms,
        "signature": signer.sign(message_hash),
    }


class DistinctTimestamps:
    """Signature timestamps: never later than now, never the same twice while they are valid.

    The timestamp is all that keeps two orders of one size and price from having one hash. Whether
    the venue takes one from the future is not documented, so a second order in the same millisecond
    is dated *back* to the newest one not yet used; that costs it a millisecond of its validity.
    """

    def __init__(self, valid_ms: int) -> None:
        self._valid_ms = valid_ms
        self._used: set[int] = set()
        self._lock = threading.Lock()  # orders are signed in two threads

    def take(self, now_unix_ms: int) -> int:
        """The newest millisecond up to now that no order has used."""
        with self._lock:
            if len(self._used) >= 4_096:
                self._used = {used for used in self._used if used > now_unix_ms - self._valid_ms}
            timestamp_ms = now_unix_ms
            while timestamp_ms in self._used:
                timestamp_ms -= 1
            self._used.add(timestamp_ms)
            return timestamp_ms
