"""Every counter and histogram by name, with a sentence each, for writer and reader alike."""

from __future__ import annotations

from collections.abc import Iterable

from shm.entry_block import GATES

# Why a compiled part leaves something to Python. The detector a quote: rules, a price or a size beyond what
# it is certain of, or an instrument that nobody knows.
HANDED_OVER = ("rules", "price", "size", "instrument")
# The listener a frame: a connection that begins or ends; another kind of frame; a number not written as
# usual; a book that is crossed or has one side; a frame that is not newer, or whose channel is being mended.
FRAMES_HANDED_OVER = ("closed", "kind", "number", "sides", "order")


def handed_over(reason: str) -> str:
    """The counter of what was left to Python for this reason."""
    return f"handed_over_{reason}_total"


FEED_COUNTERS = {
    "heartbeat_mono_ns": "last iteration of the loop; the supervisor replaces what stops beating",
    "connected": "1 while the venue is connected and its data is fresh; 0 flags every quote stale",
    "last_data_mono_ns": "when the last frame with data arrived",
    "frames_total": "frames received",
    "quotes_total": "quotes published",
    "depths_total": "depth books published",
    "gaps_total": "missing deltas noticed",
    "crossed_total": "books refused because bid was above ask",
    "bad_frames_total": "frames that were not as documented",
    "faults_total": "other faults the protocol reported",
    "reconnects_total": "connections replaced",
    "native": "1 while usual frames are published by the compiled listener",
    **{handed_over(reason): f"frames it left to Python: {reason}" for reason in FRAMES_HANDED_OVER},
    "events_refused_total": "events that did not fit the queue to persistence",
}
FEED_HISTOGRAMS = {"recv_to_publish": "frame received to quote published"}


# What an entry's gap must be, by pair, in parts per billion of the price bought at: the first layer's
# threshold, and what must be paid for; funding is that of direction +1, -1 pays the negative. Beside them
# ``level_mono_ns.<pair>``, when they were written last.
GAP_LEVEL = ("threshold", "fees", "slippage", "funding", "edge_min")
# Directions of the widest gap since the instance began, and when that was seen: +1 and -1.
GAP_WAYS = ("forward", "backward")


def detector_counters(pair_names: Iterable[str]) -> tuple[str, ...]:
    """Names of the detector's counters."""
    return (
        "heartbeat_mono_ns",
        "settings_generation",
        "quotes_total",
        "overtaken_total",
        "signals_refused_total",
        "native",
        *map(handed_over, HANDED_OVER),
        "events_refused_total",
        *(
            name
            for pair in pair_names
            for name in (
                f"evaluations.{pair}",
                f"signals.{pair}",
                f"level_mono_ns.{pair}",
                f"quote_rate_e8.{pair}",  # see PairStrategy.quote_rate_e8
                *(f"{what}_ppb.{pair}" for what in GAP_LEVEL),
                *(f"best_{way}_{what}.{pair}" for way in GAP_WAYS for what in ("ppb", "mono_ns")),
                *(f"gate.{pair}.{gate}" for gate in GATES),
            )
        ),
    )


DETECTOR_HISTOGRAMS = {
    "publish_to_seen": "quote published to seen by the detector",
    "seen_to_decided": "quote seen to decision, for quotes that became signals",
}

EXECUTOR_COUNTERS = {
    "heartbeat_mono_ns": "last run of the housekeeping timer",
    "settings_generation": "how often the settings it works by had been reloaded",
    "ready": "1 when both venues are logged in, reconciled and their streams stand",
    "venues_down": "venues without session or private stream: one bit for each, in the settings' order",
    "signals_total": "signals read",
    "signals_expired_total": "signals refused for their age",
    "signals_refused_total": "signals refused by a gate before the wire",
    "orders_sent_total": "orders whose bytes were written",
    "orders_withheld_total": "orders not written because only the reserve of a venue's rate limit was left",
    "orders_rejected_total": "orders a venue refused",
    "orders_in_doubt": "orders whose outcome is unknown now",
    "template_hits_total": "orders taken from an armed template",
    "template_misses_total": "orders signed on the spot",
    "trades_opened_total": "pairs hedged",
    "trades_closed_total": "pairs closed",
    "legs_closed_total": "surviving legs closed after the other failed",
    "gross_e8_total": "result of closed trades before fees, quote currency times 10**8",
    "fees_e8_total": "fees of closed trades, quote currency times 10**8",
    "net_e8_total": "result of closed trades after fees, quote currency times 10**8",
    "naked_us_total": "time in which legs differed, over closed trades",
    "entries_stopped": "the first reason why nothing is opened anywhere: place in TRADING_STATE, 0: none",
    "entry_blocks": "every reason why nothing is opened anywhere: one bit for each of TRADING_STATE",
    "breaker": "0 closed, 1 open, 2 half open: one entry may try",
    "result_today_e8": "realised since midnight UTC, quote currency times 10**8",
    "best_today_e8": "the best that has been since midnight UTC, at least 0",
    "estimated_today": "trades in result_today_e8 of which a price or fee was not reported yet",
    "naked_today_us": "how long legs have stood alone since midnight UTC",
    "clock_offset_us": "a venue's clock less this host's, of the venue where they differ most",
    "clock_offset_venue": "which venue that is: its place in the settings' list of venues",
    "events_refused_total": "events that did not fit the queue to persistence",
}
BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN = 0, 1, 2
EXECUTOR_HISTOGRAMS = {
    "decided_to_seen": "signal decided by the detector to seen by the executor",
    "seen_to_checked": "signal seen to past the gates before the wire",
    "seen_to_first_sent": "signal seen to the first leg's bytes written",
    "seen_to_both_sent": "signal seen to both legs' bytes written",
    "recv_to_both_sent": "frame received by the feed to both legs' bytes written",
    "leg_gap": "first leg written to second leg written",
    "sent_to_acked": "order written to the venue's answer",
    "sent_to_filled": "order written to its fill",
    "naked": "time a pair's legs differed",
}

DATABASE_UNTRIED, DATABASE_UP, DATABASE_AWAY = 0, 1, 2
PERSISTENCE_COUNTERS = {
    "heartbeat_mono_ns": "last iteration of the loop",
    "events_total": "events read from the queues",
    "journal_bytes_total": "bytes appended to the journal",
    "stored_total": "events committed to the database",
    "backlog": "events journalled and not yet in the database",
    "spool_bytes": "size of the journal files that hold them",
    "journal_full": "1 while the journal or its disk takes no more than what must be: no new entries",
    "lease_lost": "1 while another instance has the lease of one of our accounts: no new entries",
    "disagreements": "positions on which executor and venue have differed for half a minute",
    "lease_epoch": "newest epoch of any process that traded on our accounts",
    "database_state": "0 not tried yet, 1 the database answers, 2 it is away",
}
SIMULATOR_COUNTERS = {"heartbeat_mono_ns": "last iteration of the loop"}
ALERTS_COUNTERS = {
    "heartbeat_mono_ns": "last iteration of the loop",
    "raised_total": "alerts raised, those left out by alerts.on included",
    "sent_total": "messages a target has taken",
    "failed_total": "attempts a target has not taken; each is repeated",
    "dropped_total": "alerts that did not fit a target's queue",
    "waiting": "alerts that wait for a target now",
    "settled_number": "newest event of the journal whose alerts every target has taken",
    "events_refused_total": "events that did not fit the queue to persistence",
}
SUPERVISOR_COUNTERS = {
    "heartbeat_mono_ns": "last iteration of the loop",
    "started_mono_ns": "when the instance began",
    "stopping": "1 from the moment a stop was asked for: no new entries",
    "entries_paused": "1 while the operator has paused entries",
    "entries_held": "above 0 while settings change: nothing is opened; larger with every time",
    "settings_generation": "how often the settings were reloaded",
    "restarts_total": "processes restarted",
    "events_refused_total": "events that did not fit the queue to persistence",
}

# A process as its supervisor sees it, by the value of its counter ``state.<process>``.
PROCESS_STATES = ("stopped", "starting", "running", "backoff", "stopping", "exited", "fatal")


def supervisor_counters(processes: Iterable[str]) -> tuple[str, ...]:
    """Names of the supervisor's counters; per process its state, its pid and how often it was replaced."""
    return (
        *SUPERVISOR_COUNTERS,
        *(f"{what}.{process}" for process in processes for what in ("state", "pid", "restarts")),
    )
