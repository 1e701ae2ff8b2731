"""Routes messages: topics, the sockets subscribed to them, and one rendering per encoding.

A topic is a channel's name, with the account appended where the channel is private. An encoding is
0 for JSON text or the SBE version. What is published is rendered once per encoding in use and the
same bytes go to every subscriber.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from simulator.faults import FaultPlan

JSON: Final = 0
Render = Callable[[int], bytes]  # encoding -> frame


class Subscriber(Protocol):
    def send(self, data: bytes, *, is_binary: bool) -> None:
        """Queue one frame. Never blocks and never raises."""


def private_topic(channel: str, account: int) -> str:
    return f"{channel} {account:x}"


class Hub:
    """Belongs to the event loop's thread."""

    def __init__(self, faults: FaultPlan) -> None:
        self._faults = faults
        self._topics: dict[str, dict[int, dict[Subscriber, None]]] = {}

    def add(self, topic: str, encoding: int, subscriber: Subscriber) -> None:
        self._topics.setdefault(topic, {}).setdefault(encoding, {})[subscriber] = None

    def remove(self, topic: str, encoding: int, subscriber: Subscriber) -> None:
        encodings = self._topics[topic]
        del encodings[encoding][subscriber]
        if not encodings[encoding]:
            del encodings[encoding]
        if not encodings:
            del self._topics[topic]

    def is_wanted(self, topic: str) -> bool:
        return topic in self._topics

    def publish(self, topic: str, channel: str, render: Render, *, symbol: str = "") -> None:
        """Send a frame to a topic's subscribers, as the fault plan lets it.

        ``symbol`` is the market it is about, "" when it is about none.
        """
        encodings = self._topics.get(topic)
        if encodings is None:
            return
        fault = self._faults.take(f"push.{channel}", symbol)
        if fault is not None and fault.drop:
            return
        for encoding, subscribers in encodings.items():
            data = render(encoding) if fault is None else fault.spoil(render(encoding))
            frames = (data, data) if fault is not None and fault.duplicate else (data,)
            for subscriber in list(subscribers):
                for frame in frames:
                    if fault is not None and fault.delay_ms:
                        _send_later(fault.delay_ms, subscriber, frame, encoding)
                    else:
                        subscriber.send(frame, is_binary=encoding != JSON)


def _send_later(delay_ms: float, subscriber: Subscriber, frame: bytes, encoding: int) -> None:
    def send() -> None:
        subscriber.send(frame, is_binary=encoding != JSON)

    asyncio.get_running_loop().call_later(delay_ms / 1000, send)
