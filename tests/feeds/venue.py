"""A scripted venue on loopback: one thread, the test decides what is sent.

It acknowledges subscriptions as Vest does, or as Paradex does where the request is JSON-RPC.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from tests.waiting import wait_until

T = TypeVar("T")


class _Peer(WSListener):
    """The venue's end of one connection."""

    def __init__(self, venue: ScriptedVenue) -> None:
        self._venue = venue

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._venue.open.append(transport)
        self._venue.connections += 1

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PONG:
            self._venue.pongs += 1
        elif frame.msg_type == WSMsgType.CLOSE:
            self._venue.close_codes.append(int.from_bytes(frame.get_payload_as_bytes()[:2], "big"))
            transport.send_close()
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self._receive(transport, json.loads(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._venue.open.remove(transport)

    def _receive(self, transport: WSTransport, request: dict[str, Any]) -> None:
        self._venue.requests.append(request)
        if "jsonrpc" in request:
            answer = {"jsonrpc": "2.0", "id": request["id"], "result": request["params"]}
            transport.send(WSMsgType.TEXT, json.dumps(answer).encode())
        elif request["method"] == "SUBSCRIBE":
            transport.send(WSMsgType.BINARY, json.dumps({"result": None, "id": request["id"]}).encode())


class ScriptedVenue:
    """What happened, as plain attributes, and what to do next, as methods. All may be called from
    the test's thread; sending happens on the venue's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._server: asyncio.Server | None = None
        self.port = 0
        self.open: list[WSTransport] = []
        self.connections = 0
        self.requests: list[dict[str, Any]] = []
        self.pongs = 0
        self.close_codes: list[int] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws-api"

    def listen(self) -> None:
        """Accept connections, always on the same port."""

        async def start() -> None:
            self._server = await ws_create_server(lambda _: _Peer(self), "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

        asyncio.run_coroutine_threadsafe(start(), self._loop).result(10)

    def go_away(self) -> None:
        """Close every connection without a word and refuse new ones."""

        def stop() -> None:
            assert self._server is not None
            self._server.close()
            for transport in tuple(self.open):
                transport.disconnect(graceful=False)

        self._do(stop)

    def subscriptions(self) -> list[str]:
        """Channels asked for, in order, each as often as it was asked for."""
        channels: list[str] = []
        for request in self.requests:
            if request["method"] == "SUBSCRIBE":
                channels += request["params"]
            elif request["method"] == "subscribe":
                channels.append(request["params"]["channel"])
        return channels

    def wait_for_subscriptions(self, count: int) -> None:
        wait_until(lambda: len(self.subscriptions()) >= count)

    def send(self, content: bytes, kind: WSMsgType = WSMsgType.BINARY, *, fin: bool = True) -> None:
        """Send one frame on the newest connection."""
        self._do(lambda: self.open[-1].send(kind, content, fin=fin))

    def send_to_all(self, content: bytes) -> None:
        """Send one frame on every connection there is, none included."""

        def send() -> None:
            for transport in self.open:
                transport.send(WSMsgType.BINARY, content)

        self._do(send)

    def book(
        self, symbol: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]], times: int = 1
    ) -> None:
        """Send a whole book ``times`` over."""
        frame = a_book_frame(symbol, bids, asks)

        def send() -> None:
            for _ in range(times):
                self.open[-1].send(WSMsgType.BINARY, frame)

        self._do(send)

    def send_and_quote(self, contents: list[bytes], symbol: str, bid: float, ask: float) -> None:
        """Send frames and, right behind them, a quote: all in one write as the reader sees it."""
        frame = a_book_frame(symbol, [(str(bid), "1")], [(str(ask), "2")])

        def send() -> None:
            for content in (*contents, frame):
                self.open[-1].send(WSMsgType.BINARY, content)

        self._do(send)

    def quote(self, symbol: str, bid: float, ask: float) -> None:
        self.book(symbol, [(str(bid), "1")], [(str(ask), "2")])

    def close_connection(self, code: int, reason: bytes) -> None:
        """Close the newest connection with a close frame."""
        self._do(lambda: self.open[-1].send(WSMsgType.CLOSE, code.to_bytes(2, "big") + reason))

    def _do(self, act: Callable[[], T]) -> T:
        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)


def a_book_frame(symbol: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
    """As the venue writes it, without a blank."""
    content = {"channel": f"{symbol}@depth", "data": {"bids": bids, "asks": asks}}
    return json.dumps(content, separators=(",", ":")).encode()


@contextmanager
def scripted_venue() -> Iterator[ScriptedVenue]:
    """A venue that listens, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    venue = ScriptedVenue(loop)
    try:
        venue.listen()
        yield venue
        venue.go_away()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
