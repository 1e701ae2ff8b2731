"""``PairStrategy`` decided in C for whoever has a ``Market``: the replay, and tests that compare both."""

from __future__ import annotations

import ctypes

from detector.gates import Refusal
from detector.rules import Rules
from detector.strategy import DISTRUST, Market, Outcome, PairStrategy
from detector.structures import (
    UNCERTAIN,
    FeedStatusC,
    OutcomeC,
    StreakC,
    load_detector,
    outcome_of,
    rules_in_c,
)
from runtime.native import NotNative
from settings import Settings
from shm.records import PAIR_VIEW, QUOTE, pack_depth

_I64 = ctypes.c_int64
# Of _decide.h: (books, leg, into) -> into, or NULL where there is no book.
_READ_DEPTH = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class NativeStrategy(PairStrategy):
    """What C is not certain of, Python decides; ``handed_over`` counts it by reason."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self._library = load_detector()
        self._given = _READ_DEPTH(self._copy_depth)
        self._market: Market | None = None
        self._failure: Exception | None = None
        self.handed_over = dict.fromkeys(UNCERTAIN[1:], 0)

    def on_quote(self, market: Market) -> tuple[Outcome, Outcome]:
        """As ``PairStrategy``."""
        self._market, self._failure = market, None
        pending, view = market.pending, market.view
        streaks = (StreakC * 2)(*(StreakC(streak.target, streak.ticks) for streak in self.streaks))
        outcomes = (OutcomeC * 2)()
        arguments = (  # of core_decide, whose C names nothing
            ctypes.byref(rules_in_c(self)),
            QUOTE.pack(*market.first) + QUOTE.pack(*market.second),
            (FeedStatusC * 2)(FeedStatusC(*market.first_feed), FeedStatusC(*market.second_feed)),
            None if view is None else PAIR_VIEW.pack(*view),
            (_I64 * 2)(*(pending or (0, 0))),
            _I64(market.maintenance_left_s),
            self._given,
            _I64(market.now_mono_ns),
            streaks,
            outcomes,
        )
        reason = self._library.core_decide(*arguments)
        if self._failure is not None:
            raise self._failure
        if reason:
            self.handed_over[UNCERTAIN[reason]] += 1
            return super().on_quote(market)
        for streak, after in zip(self.streaks, streaks, strict=True):
            streak.target, streak.ticks = after.target, after.ticks
        forward, backward = outcome_of(outcomes[0]), outcome_of(outcomes[1])
        self.is_market_trusted = not (isinstance(forward, Refusal) and forward.gate in DISTRUST)
        return forward, backward

    def _copy_depth(self, _: int | None, leg: int, into: int) -> int | None:
        assert self._market is not None
        try:
            book = self._market.read_depth((self.rules.first, self.rules.second)[leg])
        except Exception as error:  # noqa: BLE001 - an error cannot pass through C; on_quote raises it
            self._failure = error
            return None
        if book is None:
            return None
        body = pack_depth(book)
        ctypes.memmove(into, body, len(body))
        return into


def strategy_kind(settings: Settings) -> type[PairStrategy]:
    """What decides under these settings where there is no process: C where it is wanted and built."""
    if not settings.runtime.native:
        return PairStrategy
    try:
        load_detector()
    except NotNative:
        return PairStrategy
    return NativeStrategy
