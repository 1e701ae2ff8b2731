"""Which instruments have fallen silent while their connection lives, and what to do about each.

A venue may stop one subscription and go on with the others: the connection looks well, the prices are
old. Two things tell of it. Nothing at all about an instrument for the limit; or one of its channels alone
quiet for the limit while the other shows another best price, for a venue that sends both apart (top of
book and depth). A top that does not move while the book confirms it is a calm market.

First the subscription is renewed, then the connection replaced, once; an instrument silent even then is
asked for at growing intervals, so that one contract does not cost all others their prices again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from venues.contract import Depth, TopOfBook

# Both channels tell of one change within this; a difference that stays longer is no coincidence.
DIFFER_NS: Final = 1_000_000_000
WAIT_NS_MAX: Final = 60_000_000_000


class Remedy(Enum):
    """What a silence asks for now."""

    NONE = "it was asked for anew, the answer may still come"
    RENEW = "its subscription is renewed"
    REPLACE = "the connection is replaced"


class Silence(NamedTuple):
    """An instrument that is not heard."""

    instrument_id: int
    silent_ns: int
    remedy: Remedy


@dataclass(slots=True)
class _Heard:
    """What one instrument last said on each channel, and when it was last asked for anew."""

    top_mono_ns: int = 0
    depth_mono_ns: int = 0
    top: TopOfBook | None = None
    depth: Depth | None = None
    differ_since_mono_ns: int = 0  # the channels disagree since; 0: they do not
    remedies: int = 0  # in a row
    asked_mono_ns: int = 0
    wait_ns: int = 0  # after asking
    depth_when_asked: Depth | None = None


class Liveness:
    """Takes what is heard; ``silent`` says what is not. Reads no clock."""

    def __init__(self, instrument_ids: Iterable[int], stale_after_ns: int) -> None:
        self._stale_after_ns = stale_after_ns
        self._heard = {instrument_id: _Heard() for instrument_id in instrument_ids}

    def connected(self, now_mono_ns: int) -> None:
        """A new connection: silence counts from now."""
        for heard in self._heard.values():
            heard.top_mono_ns = heard.depth_mono_ns = now_mono_ns
            heard.top = heard.depth = None
            heard.differ_since_mono_ns = 0

    def hear_top(self, top: TopOfBook, now_mono_ns: int) -> None:
        heard = self._heard[top.instrument_id]
        heard.top, heard.top_mono_ns = top, now_mono_ns

    def hear_depth(self, depth: Depth, now_mono_ns: int) -> None:
        heard = self._heard[depth.instrument_id]
        heard.depth, heard.depth_mono_ns = depth, now_mono_ns

    def hear_unreadable(self, instrument_id: int, now_mono_ns: int) -> None:
        """It is sent, though nobody can read it: asking for it anew would bring the same."""
        heard = self._heard[instrument_id]
        heard.top_mono_ns = heard.depth_mono_ns = now_mono_ns

    def silent(self, now_mono_ns: int) -> list[Silence]:
        """Every instrument that is silent now. Called several times a second."""
        return [
            Silence(instrument_id, silent_ns, self._remedy(heard, now_mono_ns))
            for instrument_id, heard in self._heard.items()
            if (silent_ns := self._silent_ns(heard, now_mono_ns))
        ]

    def _silent_ns(self, heard: _Heard, now_mono_ns: int) -> int:
        """For how long an instrument, or one channel of it, has been silent; 0 while that is in order."""
        whole_ns = now_mono_ns - max(heard.top_mono_ns, heard.depth_mono_ns)
        lagging_mono_ns = min(heard.top_mono_ns, heard.depth_mono_ns)
        if _touch(heard.top) == _best(heard.depth):
            heard.differ_since_mono_ns = 0
        elif not heard.differ_since_mono_ns or lagging_mono_ns > heard.differ_since_mono_ns:
            heard.differ_since_mono_ns = now_mono_ns
        if whole_ns >= self._stale_after_ns:
            return whole_ns
        lag_ns = now_mono_ns - lagging_mono_ns
        differ_ns = now_mono_ns - heard.differ_since_mono_ns if heard.differ_since_mono_ns else 0
        return lag_ns if lag_ns >= self._stale_after_ns and differ_ns >= DIFFER_NS else 0

    def _remedy(self, heard: _Heard, now_mono_ns: int) -> Remedy:
        since_asked_ns = now_mono_ns - heard.asked_mono_ns
        if heard.remedies and since_asked_ns < heard.wait_ns:
            return Remedy.NONE
        if since_asked_ns > heard.wait_ns + 2 * self._stale_after_ns or self._is_calm(heard):
            heard.remedies = 0
        heard.remedies += 1
        heard.asked_mono_ns = now_mono_ns
        heard.depth_when_asked = heard.depth
        heard.wait_ns = min(self._stale_after_ns << max(heard.remedies - 2, 0), WAIT_NS_MAX)
        return Remedy.REPLACE if heard.remedies == 2 else Remedy.RENEW

    def _is_calm(self, heard: _Heard) -> bool:
        """Whether the last renewal was answered, and by the same book: nothing had been missed."""
        depth, before = heard.depth, heard.depth_when_asked
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
