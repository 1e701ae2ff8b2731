"""Finds instruments that have fallen silent while their connection works, and chooses a remedy for each.

A venue may stop one subscription and go on with the others: the connection looks healthy, the prices are
old. There are two signs: no data about an instrument for the limit; or, where top of book and depth come
on two channels, one of them silent for the limit while the other shows another best price. A top that does
not move while the book confirms it is a calm market.

First the subscription is renewed, then the connection is replaced, once. An instrument silent even then is
resubscribed at growing intervals, so that one contract does not cost all others their prices again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from feeds.publisher import Published
from venues.contract import Depth, TopOfBook

# Both channels show one change within this time; a difference that lasts longer is no coincidence.
DIFFER_NS: Final = 1_000_000_000
WAIT_NS_MAX: Final = 60_000_000_000


class Remedy(Enum):
    """What a silence asks for now."""

    NONE = "it was asked for anew, the answer may still come"
    RENEW = "its subscription is renewed"
    REPLACE = "the connection is replaced"


class Silence(NamedTuple):
    """An instrument without data."""

    instrument_id: int
    silent_ns: int
    remedy: Remedy


@dataclass(slots=True)
class _Received:
    """The last data of one instrument on each channel, and when it was last resubscribed."""

    top_mono_ns: int = 0
    depth_mono_ns: int = 0
    top: TopOfBook | None = None
    depth: Depth | None = None
    differ_since_mono_ns: int = 0  # the channels disagree since; 0: they do not
    remedies: int = 0  # in a row
    remedied_mono_ns: int = 0
    wait_ns: int = 0  # after a remedy
    depth_at_remedy: Depth | None = None


class Liveness:
    """Takes what was received; ``silent`` returns what was not. Reads no clock."""

    def __init__(self, instrument_ids: Iterable[int], stale_after_ns: int) -> None:
        self._stale_after_ns = stale_after_ns
        self._received = {instrument_id: _Received() for instrument_id in instrument_ids}

    def connected(self, now_mono_ns: int) -> None:
        """A new connection: silence counts from now."""
        for received in self._received.values():
            received.top_mono_ns = received.depth_mono_ns = now_mono_ns
            received.top = received.depth = None
            received.differ_since_mono_ns = 0

    def take_top(self, top: TopOfBook, now_mono_ns: int) -> None:
        """Note a top of book and when it was received."""
        received = self._received[top.instrument_id]
        received.top, received.top_mono_ns = top, now_mono_ns

    def take_depth(self, depth: Depth, now_mono_ns: int) -> None:
        """Note a depth and when it was received."""
        received = self._received[depth.instrument_id]
        received.depth, received.depth_mono_ns = depth, now_mono_ns

    def take_published(self, instrument_id: int, latest: Published) -> None:
        """Note what the compiled listener has published since the last look: it is valid, always."""
        received, top, depth = self._received[instrument_id], latest.top, latest.depth
        if top is not None and top.is_valid and latest.top_mono_ns > received.top_mono_ns:
            received.top, received.top_mono_ns = top, latest.top_mono_ns
        if depth is not None and depth.is_valid and latest.depth_mono_ns > received.depth_mono_ns:
            received.depth, received.depth_mono_ns = depth, latest.depth_mono_ns

    def take_unreadable(self, instrument_id: int, now_mono_ns: int) -> None:
        """Count an unreadable frame as data: a new subscription would bring the same."""
        received = self._received[instrument_id]
        received.top_mono_ns = received.depth_mono_ns = now_mono_ns

    def silent(self, now_mono_ns: int) -> list[Silence]:
        """Every instrument that is silent now. Called several times a second."""
        return [
            Silence(instrument_id, silent_ns, self._remedy(received, now_mono_ns))
            for instrument_id, received in self._received.items()
            if (silent_ns := self._silent_ns(received, now_mono_ns))
        ]

    def _silent_ns(self, received: _Received, now_mono_ns: int) -> int:
        """For how long an instrument, or one channel of it, has been silent; 0 while that is in order."""
        whole_ns = now_mono_ns - max(received.top_mono_ns, received.depth_mono_ns)
        lagging_mono_ns = min(received.top_mono_ns, received.depth_mono_ns)
        if _touch(received.top) == _best(received.depth):
            received.differ_since_mono_ns = 0
        elif not received.differ_since_mono_ns or lagging_mono_ns > received.differ_since_mono_ns:
            received.differ_since_mono_ns = now_mono_ns
        if whole_ns >= self._stale_after_ns:
            return whole_ns
        lag_ns = now_mono_ns - lagging_mono_ns
        differ_ns = now_mono_ns - received.differ_since_mono_ns if received.differ_since_mono_ns else 0
        return lag_ns if lag_ns >= self._stale_after_ns and differ_ns >= DIFFER_NS else 0

    def _remedy(self, received: _Received, now_mono_ns: int) -> Remedy:
        since_remedy_ns = now_mono_ns - received.remedied_mono_ns
        if received.remedies and since_remedy_ns < received.wait_ns:
            return Remedy.NONE
        if since_remedy_ns > received.wait_ns + 2 * self._stale_after_ns or self._is_calm(received):
            received.remedies = 0
        received.remedies += 1
        received.remedied_mono_ns = now_mono_ns
        received.depth_at_remedy = received.depth
        received.wait_ns = min(self._stale_after_ns << max(received.remedies - 2, 0), WAIT_NS_MAX)
        return Remedy.REPLACE if received.remedies == 2 else Remedy.RENEW

    def _is_calm(self, received: _Received) -> bool:
        """Whether the last renewal was answered, and by the same book: nothing had been missed."""
        depth, before = received.depth, received.depth_at_remedy
        return (
            depth is not None
            and before is not None
            and depth is not before
            and depth.is_valid
            and (list(depth.bids), list(depth.asks)) == (list(before.bids), list(before.asks))
        )


def _touch(top: TopOfBook | None) -> tuple[int, int]:
    return (top.bid_e8, top.ask_e8) if top is not None and top.is_valid else (0, 0)


def _best(depth: Depth | None) -> tuple[int, int]:
    return (depth.bids[0][0], depth.asks[0][0]) if depth is not None and depth.is_valid else (0, 0)
