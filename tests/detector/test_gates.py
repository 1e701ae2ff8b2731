"""Each gate on its own, at its limit and one step past it."""

from __future__ import annotations

import pytest

from detector import gates
from detector.gates import FEED_BEAT_AGE_NS_MAX, NO_QUOTE, FeedStatus, Pending, Refusal
from shm.entry_block import EntryBlock
from shm.records import PairPhase, PairView, QuoteFlags
from tests.detector.builders import ALIVE, MS, NOW_NS, a_hedged_view, a_quote, a_view

VALID = QuoteFlags.VALID


@pytest.mark.parametrize(
    ("feed", "flags", "expected"),
    [
        (ALIVE, VALID, None),
        (FeedStatus(False, NOW_NS), VALID, Refusal(EntryBlock.FEED_ALIVE, 0, 1)),
        (ALIVE, VALID | QuoteFlags.STALE, Refusal(EntryBlock.FEED_ALIVE, 0, 1)),
        (FeedStatus(True, NOW_NS - FEED_BEAT_AGE_NS_MAX), VALID, None),
        (
            FeedStatus(True, NOW_NS - FEED_BEAT_AGE_NS_MAX - 1),
            VALID,
            Refusal(EntryBlock.FEED_ALIVE, FEED_BEAT_AGE_NS_MAX + 1, FEED_BEAT_AGE_NS_MAX),
        ),
    ],
)
def test_a_feed_is_alive_while_it_is_connected_beats_and_does_not_flag_its_quote(
    feed: FeedStatus, flags: int, expected: Refusal | None
) -> None:
    """A feed killed with -9 leaves its last quote looking fine: its heartbeat tells."""
    assert gates.feed_alive(feed, a_quote(flags=flags), NOW_NS) == expected


def test_a_leg_never_quoted_is_invalid_not_dead() -> None:
    """Before the first quote the feed may be perfectly alive; the reason shown must be the true one."""
    assert gates.feed_alive(ALIVE, NO_QUOTE, NOW_NS) is None
    assert gates.quote_valid(NO_QUOTE) == Refusal(EntryBlock.QUOTE_VALID, 0, VALID)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (VALID, None),
        (VALID | QuoteFlags.SNAPSHOT, None),
        (QuoteFlags.CROSSED, Refusal(EntryBlock.QUOTE_VALID, QuoteFlags.CROSSED, VALID)),
        (0, Refusal(EntryBlock.QUOTE_VALID, 0, VALID)),
    ],
)
def test_only_a_quote_marked_valid_is_used(flags: int, expected: Refusal | None) -> None:
    """The feed alone judges a book; the detector believes its mark."""
    assert gates.quote_valid(a_quote(flags=flags)) == expected


@pytest.mark.parametrize(("first_ms", "second_ms"), [(250, 0), (0, 250)])
def test_the_older_leg_decides_the_age(first_ms: int, second_ms: int) -> None:
    """A gap is only as fresh as its older side. The limit itself still passes."""
    first, second = a_quote(age_ms=first_ms), a_quote(age_ms=second_ms)

    assert gates.quote_age(first, second, 250 * MS, NOW_NS) is None
    assert gates.quote_age(first, second, 250 * MS - 1, NOW_NS) == Refusal(
        EntryBlock.QUOTE_AGE, 250 * MS, 250 * MS - 1
    )


@pytest.mark.parametrize(("first_ms", "second_ms"), [(900, 800), (800, 900)])
def test_legs_too_far_apart_in_time_are_refused_in_either_order(first_ms: int, second_ms: int) -> None:
    """Two moments of one market look like a gap between two markets."""
    first, second = a_quote(age_ms=first_ms), a_quote(age_ms=second_ms)

    assert gates.leg_skew(first, second, 100 * MS) is None
    assert gates.leg_skew(first, second, 100 * MS - 1) == Refusal(EntryBlock.LEG_SKEW, 100 * MS, 100 * MS - 1)


@pytest.mark.parametrize(
    ("gain_bps", "expected"),
    [(150.0, None), (150.1, Refusal(EntryBlock.ABSURD, 150.1, 150.0)), (-500.0, None)],
)
def test_too_good_to_be_true_is_refused_and_a_loss_is_not(gain_bps: float, expected: Refusal | None) -> None:
    """A large loss may be exactly what an exit is needed for."""
    assert gates.absurd(gain_bps, 150.0) == expected


@pytest.mark.parametrize(
    ("spread_bps", "expected"), [(10.0, None), (9.9, Refusal(EntryBlock.THRESHOLD, 9.9, 10.0))]
)
def test_an_entry_needs_its_trigger(spread_bps: float, expected: Refusal | None) -> None:
    assert gates.entry_threshold(spread_bps, 10.0) == expected


@pytest.mark.parametrize(("edge_bps", "expected"), [(2.0, None), (1.9, Refusal(EntryBlock.EDGE, 1.9, 2.0))])
def test_an_entry_must_pay_for_itself(edge_bps: float, expected: Refusal | None) -> None:
    """A question of its own: fees may exceed a spread that is wide enough."""
    assert gates.net_edge(edge_bps, 2.0) == expected


@pytest.mark.parametrize(
    ("spread_bps", "held_ms", "expected"),
    [
        (1.0, 0, None),
        (1.1, 0, Refusal(EntryBlock.THRESHOLD, 1.1, 1.0)),
        (-20.0, 0, None),
        (400.0, 1_000, Refusal(EntryBlock.THRESHOLD, 400.0, 1.0)),
        (400.0, 1_001, None),
    ],
)
def test_an_exit_needs_a_closed_gap_or_a_pair_held_too_long(
    spread_bps: float, held_ms: int, expected: Refusal | None
) -> None:
    """After max_hold_s any spread will do; until then one at or below exit_bps, past parity too."""
    assert gates.exit_threshold(spread_bps, 1.0, held_ms * MS, 1_000 * MS) == expected


def test_confirmation_counts_the_quote_at_hand() -> None:
    """confirm_ticks: 1 trades on the first quote."""
    assert gates.confirmation(1, 1) is None
    assert gates.confirmation(2, 3) == Refusal(EntryBlock.CONFIRMATION, 2, 3)
    assert gates.confirmation(3, 3) is None


def test_size_needs_at_least_what_is_wanted() -> None:
    """Exactly enough is enough."""
    assert gates.size(100, 100) is None
    assert gates.size(99, 100) == Refusal(EntryBlock.SIZE, 99, 100)


@pytest.mark.parametrize(
    ("view", "now_mono_ns", "expected"),
    [
        (a_view(last_signal_id=6), NOW_NS, Refusal(EntryBlock.PAIR_STATE, 6, 7)),
        (None, NOW_NS, Refusal(EntryBlock.PAIR_STATE, 0, 7)),
        (a_view(last_signal_id=7), NOW_NS, None),
        (a_view(last_signal_id=8), NOW_NS, None),
        (a_view(last_signal_id=6), NOW_NS + 50, Refusal(EntryBlock.PAIR_STATE, 6, 7)),
        (a_view(last_signal_id=6), NOW_NS + 51, None),
    ],
)
def test_a_pair_waits_until_its_signal_is_consumed_or_has_expired(
    view: PairView | None, now_mono_ns: int, expected: Refusal | None
) -> None:
    """The executor refuses a signal *later than* its expiry, so at expiry it may still act on it."""
    pending = Pending(signal_id=7, expires_mono_ns=NOW_NS + 50)
    assert gates.not_pending(pending, view, now_mono_ns) == expected


def test_without_a_signal_under_way_nothing_is_pending() -> None:
    """The usual case."""
    assert gates.not_pending(None, a_view(), NOW_NS) is None


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (None, Refusal(EntryBlock.PAIR_STATE, PairPhase.UNKNOWN, PairPhase.FLAT)),
        (a_view(PairPhase.UNKNOWN), Refusal(EntryBlock.PAIR_STATE, PairPhase.UNKNOWN, PairPhase.FLAT)),
        (a_view(PairPhase.FLAT), None),
        (
            a_view(PairPhase.OPENING, direction=1),
            Refusal(EntryBlock.PAIR_STATE, PairPhase.OPENING, PairPhase.FLAT),
        ),
        (
            a_view(PairPhase.CLOSING, direction=1),
            Refusal(EntryBlock.PAIR_STATE, PairPhase.CLOSING, PairPhase.FLAT),
        ),
        (a_view(PairPhase.REPAIRING), Refusal(EntryBlock.PAIR_STATE, PairPhase.REPAIRING, PairPhase.FLAT)),
        (a_view(PairPhase.HALTED), Refusal(EntryBlock.PAIR_STATE, PairPhase.HALTED, PairPhase.FLAT)),
        (a_hedged_view(1, layers_open=1), None),
        (a_hedged_view(1, layers_open=2), Refusal(EntryBlock.PAIR_STATE, 2, 2)),
        (a_hedged_view(-1, layers_open=1), Refusal(EntryBlock.PAIR_STATE, PairPhase.HEDGED, PairPhase.FLAT)),
    ],
)
def test_an_entry_needs_a_flat_pair_or_a_layer_left(view: PairView | None, expected: Refusal | None) -> None:
    """Direction +1, two layers. An executor that has not spoken is not one that is flat."""
    assert gates.entry_state(view, 1, 2) == expected


def test_entries_need_the_executors_word() -> None:
    """Silence is not permission."""
    assert gates.risk_state(a_view(entries_allowed=1)) is None
    assert gates.risk_state(a_view(entries_allowed=0)) == Refusal(EntryBlock.RISK_STATE, 0, 1)
    assert gates.risk_state(None) == Refusal(EntryBlock.RISK_STATE, 0, 1)


def test_maintenance_refuses_while_it_lasts() -> None:
    """``value`` says how long the operator still has to wait."""
    assert gates.maintenance(0) is None
    assert gates.maintenance(90) == Refusal(EntryBlock.MAINTENANCE, 90, 0)


@pytest.mark.parametrize(
    ("closed_ms_ago", "expected"),
    [(1_000, None), (999, Refusal(EntryBlock.COOL_DOWN, 999 * MS, 1_000 * MS))],
)
def test_a_pair_rests_after_a_trade(closed_ms_ago: int, expected: Refusal | None) -> None:
    """Right after a close the books still show our own footprint."""
    view = a_view(closed_mono_ns=NOW_NS - closed_ms_ago * MS)
    assert gates.cool_down(view, 1_000 * MS, NOW_NS) == expected


def test_a_pair_that_never_traded_needs_no_rest() -> None:
    """closed_mono_ns 0 is 'never', not the machine's boot: a bot started at boot may trade at once."""
    assert gates.cool_down(a_view(closed_mono_ns=0), 1_000 * MS, 500 * MS) is None
