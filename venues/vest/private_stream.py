"""Vest's private stream: one channel, ORDER events, no sequence numbers.

Positions and balances are not reported here: they are read by ``GET /account``. CANCELLED and REJECTED
events name neither symbol nor filled size. An event may overtake the answer to the create it is
about, and is then known by its nonce, which is our client order id.

Source: Vest API v2 documentation, "User data streams".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import msgspec

from venues.contract import FrameError, OrderAck, Outcome, PrivateEvent, StreamReady
from venues.vest.assumptions import PING_INTERVAL_NS
from venues.vest.errors import DUPLICATE, describe
from venues.vest.hosts import NAME
from venues.vest.market_data import PING_FRAME, subscribe_frame
from venues.vest.messages import Executed, OrderRow, client_order_id, decode, new_fill, order_update

_CHANNEL: Final = "account_private"
_UNKNOWN_INSTRUMENT: Final = -1
_ORDERS_KEPT: Final = 512

# Documented events about things we never do: liquidity pool shares and transfers.
_FOREIGN_EVENTS: Final = frozenset({"LP", "TRANSFER"})


class _Push(msgspec.Struct):
    event: str
    args: msgspec.Raw


class _Frame(msgspec.Struct):
    channel: str = ""
    data: _Push | str | None = None
    id: int | None = None
    code: int | None = None
    msg: str = ""


_frame_decoder = msgspec.json.Decoder(_Frame)
_order_decoder = msgspec.json.Decoder(OrderRow)


class PrivateStream:
    """The sans-I/O half of ``Trading`` that owns the private WebSocket's frames.

    ``instrument_ids`` (symbol -> instrument_id) is shared with its owner and may grow.
    """

    def __init__(self, instrument_ids: Mapping[str, int]) -> None:
        self._instrument_ids = instrument_ids
        self._last_request_id = 0
        self._ping_due_mono_ns = 0
        # By venue order id. Kept past the order's end: its last event may come twice.
        self._executed: OrderedDict[str, Executed] = OrderedDict()
        self._frames: list[bytes] = []
        self._events: list[PrivateEvent] = []

    def connected(self, now_mono_ns: int) -> None:
        """Drop frames of the last connection and queue the subscription."""
        self._frames.clear()
        self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
        self._last_request_id += 1
        self._frames.append(subscribe_frame(_CHANNEL, self._last_request_id))

    def receive(self, frame: bytes, recv_mono_ns: int) -> None:
        """Take one frame. Raises FrameError if it is not as documented."""
        try:
            content = decode(_frame_decoder, frame)
            if isinstance(content.data, _Push):
                self._take_push(content.channel, content.data)
            elif content.data != "PONG":
                self._take_acknowledgement(content, recv_mono_ns)
        except ValueError as error:
            raise FrameError(NAME, str(error), frame) from None

    def _take_acknowledgement(self, content: _Frame, recv_mono_ns: int) -> None:
        if content.code is not None:
            raise ValueError(f"{_CHANNEL} was refused: {describe(content.code)} {content.msg}")
        if content.id is None:
            raise ValueError("the frame is neither an event, an acknowledgement nor a pong")
        if not 0 < content.id <= self._last_request_id:
            raise ValueError(f"a reply to request {content.id}, never made")
        if content.id == self._last_request_id:
            self._events.append(StreamReady(recv_mono_ns))

    def _take_push(self, channel: str, push: _Push) -> None:
        if channel != _CHANNEL:
            raise ValueError(f"channel {channel[:40]!r} was not subscribed")
        if push.event in _FOREIGN_EVENTS:
            return
        if push.event != "ORDER":
            raise ValueError(f"event {push.event[:40]!r} is not documented")
        self._take_order(decode(_order_decoder, bytes(push.args)))

    def _take_order(self, row: OrderRow) -> None:
        if row.status == "REJECTED" and row.code == DUPLICATE:
            # Said of a request that met its own double. The order of that nonce lives on: to pass
            # this on as its rejection would forget a position.
            self._events.append(
                OrderAck(client_order_id(row), Outcome.IN_DOUBT, row.id, str(row.code), describe(row.code))
            )
            return
        instrument_id = self._instrument_ids.get(row.symbol or "", _UNKNOWN_INSTRUMENT)
        update = order_update(row, instrument_id)
        fill, executed = new_fill(row, instrument_id, self._executed.get(row.id, Executed()))
        if fill is not None:
            self._events.append(fill)
            self._executed[row.id] = executed
            if len(self._executed) > _ORDERS_KEPT:
                self._executed.popitem(last=False)
        self._events.append(update)

    def tick(self, now_mono_ns: int) -> None:
        """Queue a ping when one is due."""
        if now_mono_ns >= self._ping_due_mono_ns:
            self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
            self._frames.append(PING_FRAME)

    def take_frames(self) -> list[bytes]:
        """Text frames to send, oldest first."""
        taken, self._frames = self._frames, []
        return taken

    def take_events(self) -> list[PrivateEvent]:
        """Events read from frames since the last call, oldest first."""
        taken, self._events = self._events, []
        return taken
