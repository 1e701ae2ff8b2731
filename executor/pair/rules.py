"""One pair's rules: its instruments and its settings, resolved."""

from __future__ import annotations

from typing import Literal, NamedTuple

from venues.contract import Instrument

UNKNOWN_ANSWERS_MIN, LATE_DENIALS_MIN = 4, 2


class PairRules(NamedTuple):
    """One pair's instruments and settings, resolved; a reload replaces them between two steps."""

    pair_id: int
    pair: str  # the pair's name in config.yaml, for logs
    instruments: tuple[Instrument, Instrument]
    common_lot_e8: int  # least common multiple of both lots
    layers_max: int
    price_band_bps: float  # how far a first order's limit may be from the touch
    widen_bps: float  # added to that per retry
    price_band_bps_max: float  # never wider than this, however often it was tried
    max_retries: int
    retry_delay_ns: int
    reply_timeout_ns: int
    query_interval_ns: int
    max_naked_ns: int  # after that nothing is completed any more, only unwound
    on_single_leg: Literal["auto", "complete", "unwind"]
    taker_fees_bps: tuple[float, float]
    later_exit_bps: float  # expected cost of closing a hedged pair: both fees and the exit spread
    reconcile_interval_ns: int  # positions are read this often while nothing happens
    # Legs that differ by less than a common lot are hedged; so are those that differ by no more than
    # both of these. Without them the smallest difference an order could mend is mended.
    drift_lots_max: int = 0  # common lots
    drift_bps_max: float = 0.0  # of the larger leg
    # An order can no longer come into being this long after it was sent: its signature's validity.
    appear_ns: int = 6_000_000_000
    unknown_answers_min: int = UNKNOWN_ANSWERS_MIN  # "no such order", spaced, before it is believed ...
    late_denials_min: int = LATE_DENIALS_MIN  # ... and this often past the validity
    equal_reads_min: int = 2  # position reads that must agree before a surprise is believed
    # ... before a position of ours is believed gone: the other leg is closed then, and a venue's
    # reads may lag behind its fills or be empty while it starts.
    gone_reads_min: int = 8
    read_lag_ns: int = (
        3_000_000_000  # ... nor by reads asked within this of the last fill reported on the leg
    )
    back_again_ns: int = 600_000_000_000  # until then what was believed gone may show itself again
    max_doubt_ns: int = 15_000_000_000  # then HALTED, while asking goes on
    max_unmended_ns: int = 15_000_000_000  # naked for longer, whatever the reason: HALTED, too
    retry_after_max_ns: int = 15_000_000_000  # a venue is not left alone for longer while we hold
    slow_interval_ns: int = 2_000_000_000  # between tries and questions once HALTED
    accounting_wait_ns: int = 2_000_000_000  # how long a closed trade waits for missing fees
    # Legs that differ by more than this part of the larger one for that long are both closed, whatever
    # else is tolerated or too small to be mended; 0: never.
    hedge_drift_bps_max: float = 0.0
    hedge_drift_ns_max: int = 0
    has_live_rate: bool = False  # the legs' quote currencies are compared by a rate that moves
