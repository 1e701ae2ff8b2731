"""Frames of market data of every shape, mostly as a venue sends them, and the same with a few bytes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from random import Random
from typing import Any, Final

import orjson

from tests.venues.venue_case import Frame
from venues.paradex import sbe

SYMBOLS: Final[Mapping[str, tuple[str, str]]] = {
    "vest": ("BTC-PERP", "ETH-PERP"),
    "paradex": ("BTC-USD-PERP", "ETH-USD-PERP"),
    "hyperliquid": ("BTC", "ETH"),
}
_TIMES: Final = (0, 1_791_415_136_718, 9 * 10**12 - 1, 9 * 10**12, -1, "1")
_INT64: Final = 2**63 - 1
_sequences = count(1)


def _text(rng: Random, price: int) -> str:
    return f"{price / 100:.{rng.choice((0, 1, *[2] * 60, 4, 8))}f}"


def _size(rng: Random) -> str:
    return f"{rng.choice((0, 1, *[3.25] * 30, 1e9)):.{rng.choice((0, 4, 8))}f}"


def _side(rng: Random, best: int, step: int) -> list[tuple[str, str]]:
    levels = range(rng.choice((0, 1, 1, 2, 20, 25)))
    return [(_text(rng, best + step * level), _size(rng)) for level in levels]


def _sides(rng: Random) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    best = rng.randrange(100, 10**8)
    steps = [rng.choice((0, 1, 1, 2, 5)) for _ in range(2)]
    return _side(rng, best, -steps[0]), _side(rng, best + rng.randrange(-1, 9), steps[1])


def _symbol(rng: Random, venue: str) -> str:
    """One that is subscribed to, mostly."""
    return rng.choice((*SYMBOLS[venue] * 6, "X"))


def vest(rng: Random) -> Frame:
    bids, asks = _sides(rng)
    channel = f"{_symbol(rng, 'vest')}@depth"
    message: dict[str, Any] = {"channel": channel, "data": {"bids": bids, "asks": asks}}
    if rng.random() < 0.5:
        message["tsMs"] = rng.choice((*_TIMES, *_TIMES[1:2] * 8))
    return Frame(orjson.dumps(message), is_binary=rng.random() < 0.5)


def paradex(rng: Random) -> Frame:
    """A bbo; sequences rise, mostly."""
    bid_e8 = rng.choice((0, 1, 10**8, *[10**12] * 12, -1, sbe.NULL, _INT64))
    ask_e8 = rng.choice((bid_e8, *[10**12 + 1] * 12, 0, _INT64))
    sizes_e8 = [rng.choice((*[10**8] * 18, 0, 1, -1, sbe.NULL)) for _ in range(2)]
    unix_us = rng.choice((0, *[1_791_415_136_718_000] * 12, 9 * 10**15 - 1, 9 * 10**15, -1))
    symbol = _symbol(rng, "paradex").encode()
    head = rng.choice((sbe.HEADER.pack(48, 2, 1, 2),) * 8 + (sbe.HEADER.pack(48, 2, 2, 2),))
    sequence = rng.choice((_INT64, 7)) if rng.random() < 0.02 else next(_sequences)
    block = sbe.BBO_BLOCK.pack(unix_us, sequence, bid_e8, sizes_e8[0], ask_e8, sizes_e8[1])
    return Frame(head + block + bytes([len(symbol)]) + symbol, is_binary=rng.random() < 0.98)


def hyperliquid(rng: Random) -> Frame:
    bids, asks = (
        [
            {"px": price, "sz": size, "n": rng.choice((1, 1, 48, 48, *[3] * 60, 0, 10**9))}
            for price, size in side
        ]
        for side in _sides(rng)
    )
    coin = _symbol(rng, "hyperliquid")
    unix_ms = rng.choice((*_TIMES, *(1_791_480_444_656 + rng.randrange(6_000) for _ in range(24))))
    if rng.random() < 0.5:
        data = {"coin": coin, "time": unix_ms, "bbo": [side[0] if side else None for side in (bids, asks)]}
        return Frame(orjson.dumps({"channel": "bbo", "data": data}))
    data = {"coin": coin, "time": unix_ms, "levels": [bids, asks]}
    return Frame(orjson.dumps({"channel": "l2Book", "data": data}), is_binary=rng.random() < 0.02)


def broken(frame: Frame, rng: Random) -> Frame:
    """The frame with a byte or a stretch of it changed."""
    data, place = bytearray(frame.content), rng.randrange(len(frame.content) or 1)
    match rng.randrange(5):
        case 0:
            data[place : place + 1] = (rng.choice(b'0123456789.-+eE"[]{},: \\\xff\0'),)
        case 1:
            del data[place : place + rng.randrange(1, 12)]
        case 2:
            data[place:place] = rng.choice((b" ", b"0", b"00", b".", b"9" * 20, b"[]", b'"', b"\\u0031"))
        case 3:
            del data[place:]
        case _:
            data += rng.choice((b"}", b" ", b"\n", b"{}"))
    return frame._replace(content=bytes(data))


RANDOM_FRAMES: Final[Mapping[str, Callable[[Random], Frame]]] = {
    "vest": vest,
    "paradex": paradex,
    "hyperliquid": hyperliquid,
}
