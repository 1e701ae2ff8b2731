"""A venue's clock by its answers: slow networks, stale events, steps, drift, and a host that slept."""

from __future__ import annotations

import random
from email.utils import formatdate

import pytest

from runtime.venue_clock import VenueClock

S = 1_000_000_000
MS = 1_000_000
START_NS = 1_800_000_000 * S


class Host:
    """A host and a venue: true time, the host's wall clock, and a clock that nobody sets."""

    def __init__(self) -> None:
        self.true_ns = START_NS
        self.wall_ahead_ns = 0
        self.venue_ahead_ns = 0

    def mono_ns(self) -> int:
        return self.true_ns

    def unix_ns(self) -> int:
        return self.true_ns + self.wall_ahead_ns

    def steady_ns(self) -> int:
        return self.true_ns - START_NS + 1_000 * S

    @property
    def venue_ns(self) -> int:
        return self.true_ns + self.venue_ahead_ns


def an_answer(host: Host, clock: VenueClock, *, there_ns: int = 20 * MS, back_ns: int = 20 * MS) -> None:
    """A question answered with the venue's date, in whole seconds as HTTP has it."""
    sent_ns = clock.steady_ns()
    host.true_ns += there_ns
    date = formatdate(host.venue_ns // S, usegmt=True)
    host.true_ns += back_ns
    clock.answered({"date": date}, sent_ns, clock.steady_ns())


def a_time(host: Host, clock: VenueClock, *, there_ns: int = 20 * MS, back_ns: int = 20 * MS) -> None:
    """The same with the venue's own time in milliseconds."""
    sent_ns = clock.steady_ns()
    host.true_ns += there_ns
    told_ns = host.venue_ns // MS * MS
    host.true_ns += back_ns
    clock.observe(told_ns, sent_ns, clock.steady_ns())


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def clock(host: Host) -> VenueClock:
    return VenueClock(host, host.steady_ns)


@pytest.mark.parametrize("ask", [an_answer, a_time])
@pytest.mark.parametrize("slow_ns", [0, 3 * S, 40 * S])
def test_a_slow_network_is_no_wrong_clock(host: Host, clock: VenueClock, ask: object, slow_ns: int) -> None:
    for _ in range(10):
        host.true_ns += 2 * S + 100 * MS
        ask(host, clock, back_ns=slow_ns)  # type: ignore[operator]
        assert clock.off_by_ns() == 0


@pytest.mark.parametrize("ahead_s", [-30.0, -1.5, 1.5, 30.0, 86_400.0])
@pytest.mark.parametrize("ask", [an_answer, a_time])
def test_a_step_of_the_host_s_clock_is_seen_at_once_and_stamps_nothing(
    host: Host, clock: VenueClock, ask: object, ahead_s: float
) -> None:
    """No answer is needed for that: what the venue says is kept against a clock that does not step."""
    for _ in range(20):
        host.true_ns += 1_970 * MS
        ask(host, clock)  # type: ignore[operator]
        clock.unix_ns()
    host.wall_ahead_ns = int(ahead_s * S)

    assert abs(clock.unix_ns() - host.venue_ns) < 25 * MS
    assert clock.off_by_ns() * ahead_s < 0
    assert abs(clock.off_by_ns()) > S
    host.wall_ahead_ns = 0
    assert clock.off_by_ns() == 0


@pytest.mark.parametrize("ahead_s", [-20, 20])
def test_a_host_that_starts_with_a_wrong_clock_stamps_by_the_venue_s(
    host: Host, clock: VenueClock, ahead_s: int
) -> None:
    host.wall_ahead_ns = ahead_s * S
    a_time(host, clock)

    assert abs(clock.unix_ns() - host.venue_ns) < 25 * MS
    assert abs(clock.offset_ns() + ahead_s * S) < 25 * MS


def test_dates_of_whole_seconds_come_nearer_with_every_answer(host: Host, clock: VenueClock) -> None:
    host.wall_ahead_ns = 30 * S
    for _ in range(30):
        host.true_ns += random.Random(host.true_ns).randrange(2 * S)
        an_answer(host, clock)
    assert abs(clock.offset_ns() + 30 * S) < 200 * MS


@pytest.mark.parametrize("ahead_s", [-5, 5])
def test_a_step_of_the_venue_s_clock_is_believed_when_it_is_said_twice(
    host: Host, clock: VenueClock, ahead_s: int
) -> None:
    for _ in range(5):
        a_time(host, clock)
    host.venue_ahead_ns = ahead_s * S
    a_time(host, clock)
    assert clock.off_by_ns() == 0  # it may have been a stale answer

    a_time(host, clock)

    assert abs(clock.offset_ns() - ahead_s * S) < 25 * MS
    assert abs(clock.off_by_ns()) > S


def test_one_stale_answer_among_good_ones_changes_nothing(host: Host, clock: VenueClock) -> None:
    """A cache that answers with a date of an hour ago, again and again, but never twice in a row."""
    for _ in range(20):
        a_time(host, clock)
        now_ns = clock.steady_ns()
        clock.observe(host.venue_ns - 3_600 * S, now_ns - 10 * MS, now_ns)
    assert clock.off_by_ns() == 0


def test_a_stale_event_is_no_wrong_clock_and_a_future_one_proves_nothing(
    host: Host, clock: VenueClock
) -> None:
    a_time(host, clock)
    clock.happened(host.venue_ns - 3_600 * S)
    clock.happened(host.venue_ns + 3_600 * S)
    clock.happened(0)
    assert clock.off_by_ns() == 0
    assert abs(clock.unix_ns() - host.venue_ns) < 25 * MS


@pytest.mark.parametrize("drift", [-0.01, 0.01])
def test_a_clock_that_drifts_is_followed(host: Host, clock: VenueClock, drift: float) -> None:
    """A hundredth is a hundred times worse than any quartz."""
    for _ in range(300):
        host.true_ns += 2 * S
        host.venue_ahead_ns += int(2 * S * drift)
        a_time(host, clock)
    assert abs(clock.offset_ns() - host.venue_ahead_ns) < 200 * MS
    assert abs(clock.unix_ns() - host.venue_ns) < 200 * MS


def test_the_host_s_own_drift_is_seen_when_it_reaches_a_second(host: Host, clock: VenueClock) -> None:
    for _ in range(120):
        host.true_ns += S
        host.wall_ahead_ns += 10 * MS
        a_time(host, clock)
    assert clock.off_by_ns() < -S


def test_a_sleep_moves_nothing(host: Host, clock: VenueClock) -> None:
    """The steady clock goes on while the host sleeps; the first answer after it agrees with those before."""
    a_time(host, clock)
    host.true_ns += 8 * 3_600 * S
    assert clock.off_by_ns() == 0
    assert abs(clock.unix_ns() - host.venue_ns) < 25 * MS


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 99:99:99 GMT", "\x00", "1e400"])
def test_a_date_that_is_none_says_nothing(host: Host, clock: VenueClock, date: str) -> None:
    now_ns = clock.steady_ns()
    clock.answered({"date": date}, now_ns, now_ns)
    assert not clock.is_known
    assert clock.unix_ns() == host.unix_ns()
