"""What is silent, and what is only calm; what each silence asks for, and how often."""

from __future__ import annotations

from feeds.liveness import WAIT_NS_MAX, Liveness, Remedy
from venues.contract import Depth, TopOfBook

SECOND = 1_000_000_000
STALE = 5 * SECOND
BTC, ETH = 0, 2


def a_top(instrument_id: int, bid: int = 99, ask: int = 101, *, is_valid: bool = True) -> TopOfBook:
    return TopOfBook(instrument_id, bid, 1, ask, 1, 0, 0, is_valid)


def a_depth(instrument_id: int, bid: int = 99, ask: int = 101, size: int = 1) -> Depth:
    return Depth(instrument_id, [(bid, size)], [(ask, size)], 0, 0, True)


def connected() -> Liveness:
    liveness = Liveness((BTC, ETH), STALE)
    liveness.connected(0)
    return liveness


def hear(liveness: Liveness, instrument_id: int, now: int, bid: int = 99) -> None:
    liveness.take_top(a_top(instrument_id, bid), now)
    liveness.take_depth(a_depth(instrument_id, bid), now)


def test_one_silent_symbol_is_missed_at_the_limit_and_no_other() -> None:
    liveness = connected()
    for second in range(5):
        hear(liveness, BTC, second * SECOND)
    assert liveness.silent(STALE - 1) == []
    [silence] = liveness.silent(STALE)
    assert silence == (ETH, STALE, Remedy.RENEW)


def test_first_it_is_asked_for_then_the_connection_goes_then_it_is_asked_for_less_and_less() -> None:
    """A contract that a venue has dropped must not cost all others their prices again and again."""
    liveness = connected()
    reported: list[tuple[int, Remedy]] = []
    for quarter in range(4 * 600):
        now = quarter * SECOND // 4
        hear(liveness, BTC, now)
        for _, _, remedy in liveness.silent(now):
            if remedy is not Remedy.NONE:
                reported.append((now // SECOND, remedy))
            if remedy is Remedy.REPLACE:
                liveness.connected(now)
    renew, replace = Remedy.RENEW, Remedy.REPLACE
    assert reported[:5] == [(5, renew), (10, replace), (15, renew), (25, renew), (45, renew)]
    assert sum(remedy is replace for _, remedy in reported) == 1
    assert reported[-1][0] - reported[-2][0] == WAIT_NS_MAX // SECOND


def test_a_renewal_that_brings_one_frame_only_is_no_cure() -> None:
    """The snapshot differs from what was known: changes had been missed. Then the connection is replaced."""
    liveness, reported = connected(), []
    for quarter in range(4 * 12):
        now = quarter * SECOND // 4
        hear(liveness, BTC, now)
        for _, _, remedy in liveness.silent(now):
            reported.append(remedy)
            hear(liveness, ETH, now, bid=90 + len(reported))
    assert reported == [Remedy.RENEW, Remedy.REPLACE]


def test_a_calm_market_is_asked_for_and_never_costs_the_connection() -> None:
    """The same book comes back: nothing had been missed."""
    liveness, reported = connected(), []
    hear(liveness, ETH, 1)
    for quarter in range(4 * 60):
        now = quarter * SECOND // 4
        hear(liveness, BTC, now)
        for _, _, remedy in liveness.silent(now):
            reported.append(remedy)
            liveness.take_depth(a_depth(ETH), now + 1)
    assert len(reported) > 5
    assert set(reported) == {Remedy.RENEW}


def test_a_top_that_does_not_move_is_confirmed_by_its_book() -> None:
    liveness = connected()
    hear(liveness, BTC, 0)
    for second in range(60):
        hear(liveness, ETH, second * SECOND)
        liveness.take_depth(a_depth(BTC, size=second + 1), second * SECOND)
        assert liveness.silent(second * SECOND) == []


def test_a_dead_channel_is_missed_though_the_other_one_lives() -> None:
    """The top's: its book shows another price. The book's: the top does."""
    for hear_one in ("top", "depth"):
        liveness = connected()
        hear(liveness, BTC, 0)
        found = 0
        for quarter in range(4 * 8):
            now = quarter * SECOND // 4
            hear(liveness, ETH, now)
            if hear_one == "top":
                liveness.take_top(a_top(BTC, 98 - quarter), now)
            else:
                liveness.take_depth(a_depth(BTC, 98 - quarter), now)
            if liveness.silent(now) and not found:
                found = now
        assert STALE <= found <= STALE + SECOND


def test_a_new_price_that_one_channel_tells_a_moment_earlier_is_no_silence() -> None:
    liveness = connected()
    hear(liveness, BTC, 0)
    for second in range(10):
        hear(liveness, ETH, second * SECOND)
        liveness.take_depth(a_depth(BTC, size=second + 1), second * SECOND)
    liveness.take_depth(a_depth(BTC, 98), 9 * SECOND + 1)
    assert liveness.silent(9 * SECOND + 2) == []
    liveness.take_top(a_top(BTC, 98), 9 * SECOND + 3)
    assert liveness.silent(11 * SECOND) == []


def test_unreadable_frames_are_no_silence() -> None:
    """They come: asking for them anew would bring the same."""
    liveness = connected()
    for second in range(30):
        hear(liveness, BTC, second * SECOND)
        liveness.take_unreadable(ETH, second * SECOND)
        assert liveness.silent(second * SECOND) == []
