"""What stands between a running instance and its next entry, in words, and what of it waits for a person.

Of a snapshot alone, whoever names it: the executor while it runs, and what its memory shows when it does not.
Pure, so that a test sees what an operator sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from monitoring.snapshot import PairShown, Snapshot
from settings import E8
from shm.entry_block import TRADING_STATE, EntryBlock
from shm.records import PairPhase


class Obstacle(NamedTuple):
    """One reason. ``short`` names it in the header, ``text`` is what it is and how it ends."""

    block: EntryBlock
    short: str
    text: str
    needs_person: bool


def _venue_closed(now: Snapshot) -> str:
    """The venue's own status, where the executor has passed it on."""
    venues = tuple(f"{feed.venue}: " for feed in now.feeds)
    texts = (text for text in now.operator.entries_stopped.values() if text.startswith(venues))
    return next(texts, "a venue takes no orders that open")


def _clock_off(now: Snapshot) -> str:
    return f"{now.executor['clock_offset_us'] / 1e6:+.1f} s; set this host's clock (chronyc makestep)"


def _daily_loss(now: Snapshot) -> str:
    return _of_day(-now.executor["result_today_e8"], now.limits.daily_loss_e8)


def _drawdown(now: Snapshot) -> str:
    fall_e8 = now.executor["best_today_e8"] - now.executor["result_today_e8"]
    return _of_day(fall_e8, now.limits.drawdown_e8)


def _of_day(value_e8: int, limit_e8: int) -> str:
    return f"{value_e8 / E8:,.2f} of {limit_e8 / E8:,.2f}, {_MIDNIGHT}"


def _naked_budget(now: Snapshot) -> str:
    return f"{now.executor['naked_today_us'] / 1e6:.0f} of {now.limits.naked_budget_s:g} s, {_MIDNIGHT}"


_MIDNIGHT: Final = "until midnight UTC; find out why"
# By reason: what it is and how it ends, and whether that takes a person.
_ENDS: Final[Mapping[EntryBlock, tuple[Callable[[Snapshot], str] | str, bool]]] = {
    EntryBlock.KILL_LATCH: ("engaged until python -m tools kill --release", True),
    EntryBlock.STOPPING: ("the instance ends", False),
    EntryBlock.SETTINGS_CHANGE: ("for a moment", False),
    EntryBlock.PAUSED: ("until python -m tools resume", True),
    EntryBlock.LEASE_LOST: ("another instance has our account: stop one of the two", True),
    EntryBlock.JOURNAL_FULL: ("make room, or bring the database back", True),
    EntryBlock.FOREIGN_ORDERS: ("python -m tools reconcile", True),
    EntryBlock.UNEXPLAINED: ("python -m tools reconcile", True),
    EntryBlock.BREAKER: ("failures in a row; it tries again by itself", False),
    EntryBlock.VENUE_CLOSED: (_venue_closed, False),
    EntryBlock.CLOCK_OFF: (_clock_off, True),
    EntryBlock.DAILY_LOSS: (_daily_loss, True),
    EntryBlock.DRAWDOWN: (_drawdown, True),
    EntryBlock.NAKED_BUDGET: (_naked_budget, True),
    EntryBlock.MARGIN_UNKNOWN: ("a venue does not say how the account stands", True),
    EntryBlock.EXPOSURE_UNKNOWN: ("no price yet for what is held", False),
}
# Where a reason's own text would not be understood alone.
_SHORT: Final = {EntryBlock.KILL_LATCH: "kill switch", EntryBlock.PAUSED: "entries paused"}
assert set(_ENDS) == set(TRADING_STATE)


def obstacles_of(now: Snapshot) -> list[Obstacle]:
    """Everything that stops entries, on all pairs or on one, and everything else that waits for a person."""
    found = [*_of_supervision(now), *_of_halted(now.pairs), *_of_trading_state(now)]
    if not now.is_stopping:  # a stop ends processes and sessions: that is no trouble
        found += [*_of_processes(now), *_of_venues(now), *_of_pairs(now)]
    return found


def needs_person(now: Snapshot) -> bool:
    """Whether something does not end without somebody doing something, or finding out why."""
    return any(obstacle.needs_person for obstacle in obstacles_of(now))


def _of_supervision(now: Snapshot) -> Iterator[Obstacle]:
    if not now.is_supervised:
        text = "what ends now is not restarted: look at the machine"
        yield Obstacle(EntryBlock.SUPERVISOR_SILENT, "supervisor silent", text, True)


def _of_halted(pairs: Sequence[PairShown]) -> Iterator[Obstacle]:
    halted = [pair.settings.id for pair in pairs if pair.phase is PairPhase.HALTED]
    if halted:
        short = f"{len(halted)} pair{'s' * (len(halted) > 1)} halted"
        text = f"{' '.join(halted)}; python -m tools reconcile"
        yield Obstacle(EntryBlock.PAIR_HALTED, short, text, True)


def _of_trading_state(now: Snapshot) -> Iterator[Obstacle]:
    """What the executor names, and what can be seen without it: it may be away, or have not looked yet."""
    seen = {
        EntryBlock.KILL_LATCH: now.is_killed,
        EntryBlock.STOPPING: now.is_stopping,
        EntryBlock.PAUSED: now.is_paused,
        EntryBlock.LEASE_LOST: bool(now.persistence["lease_lost"]),
        EntryBlock.JOURNAL_FULL: bool(now.persistence["journal_full"]),
    }
    for block in TRADING_STATE:
        if seen.get(block) or block in now.trading_state:
            text, waits = _ENDS[block]
            ends = text if isinstance(text, str) else text(now)
            yield Obstacle(block, _SHORT.get(block, block.text), ends, waits)


def _of_processes(now: Snapshot) -> Iterator[Obstacle]:
    for process in now.processes:
        if process.state != "running":
            is_first = process.state == "starting" and not process.restarts
            text = "it starts" if is_first else f"{process.state}, restart {process.restarts}: see its log"
            yield Obstacle(EntryBlock.PROCESS_AWAY, f"{process.name} away", text, not is_first)
    if now.persistence["disagreements"]:
        text = f"on {now.persistence['disagreements']} position(s): python -m tools reconcile"
        yield Obstacle(EntryBlock.UNEXPLAINED, "executor and venue differ", text, True)


def _of_venues(now: Snapshot) -> Iterator[Obstacle]:
    for feed in now.feeds:
        if not feed.is_connected:
            yield Obstacle(
                EntryBlock.FEED_ALIVE, f"{feed.venue} away", "no market data: see its status page", True
            )
        if feed.is_logged_out:
            text = "not logged in, or its private stream is down"
            yield Obstacle(EntryBlock.VENUE_READY, f"{feed.venue} not ready", text, True)
        if feed.maintenance_left_s:
            minutes = -(-feed.maintenance_left_s // 60)
            text = f"its window lasts {minutes} min more"
            yield Obstacle(EntryBlock.MAINTENANCE, f"maintenance at {feed.venue}", text, False)
    is_known = EntryBlock.MARGIN_UNKNOWN not in now.trading_state
    if not now.executor["ready"] and is_known and not any(feed.is_logged_out for feed in now.feeds):
        text = "a venue has not confirmed a position yet"
        yield Obstacle(EntryBlock.POSITIONS_CONFIRMED, "not ready", text, False)


def _of_pairs(now: Snapshot) -> Iterator[Obstacle]:
    if now.operator.forced:
        names = " ".join(now.operator.forced)
        text = f"{names}, until python -m tools resume"
        yield Obstacle(EntryBlock.FORCED_EXIT, "kept closed", text, True)
    for name, why in now.suspended.items():
        yield Obstacle(EntryBlock.SUSPENDED, f"{name} suspended", why, True)
    for pair in now.pairs:
        if not pair.is_rate_usable:
            text = "the rate between its quote currencies is missing, too old or absurd: nothing is opened"
            yield Obstacle(EntryBlock.QUOTE_RATE, f"{pair.settings.id} quote rate", text, False)
    for leg in (leg for pair in now.pairs for leg in pair.legs):
        if leg.is_missing:
            short = f"{leg.leg.venue} {leg.leg.symbol} silent"
            yield Obstacle(EntryBlock.QUOTE_VALID, short, "no prices one can go by", True)
