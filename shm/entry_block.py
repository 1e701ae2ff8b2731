"""Why an entry may not leave: every reason there is, written once.

A reason's value is its name in events, counters and metrics; ``text`` is what a person reads. Four ask, each
its own part of the list: the detector's gates, the trading state, the risk checks before the wire, the pair
machine. A reason that two of them can give has one name.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class EntryBlock(StrEnum):
    """One reason. Members with a second word are read as that, the others as their name with spaces."""

    text: str

    def __new__(cls, value: str, text: str = "") -> EntryBlock:
        block = str.__new__(cls, value)
        block._value_ = value
        block.text = text or value.replace("_", " ")
        return block

    # The detector's gates.
    FEED_ALIVE = "feed_alive"  # a feed says its venue is silent or gone
    QUOTE_VALID = "quote_valid"  # a leg has no usable top of book
    QUOTE_AGE = "quote_age"  # a leg's quote is older than max_quote_age_ms
    LEG_SKEW = "leg_skew"  # the legs' quotes are further apart than max_leg_skew_ms
    ABSURD = "absurd"  # the gap is too good to be true
    THRESHOLD = "threshold"  # the gap is below what opens the next layer, or above what closes
    EDGE = "edge"  # what fees, slippage and funding leave of the gap is below min_net_edge_bps
    CONFIRMATION = "confirmation"  # not yet enough consecutive quotes
    SIZE = "size"  # too little at the touch and behind it, or more than a venue takes in one order
    SLIPPAGE = "slippage"  # the books cost more for the actual size than max_slippage_bps
    PAIR_STATE = "pair_state"  # the pair is not at rest, not confirmed, or all its layers are open
    RISK_STATE = "risk_state"  # the executor opens nothing on this pair: its own reasons are below
    MAINTENANCE = "maintenance"  # a venue's maintenance window
    COOL_DOWN = "cool_down"  # too soon after the last trade
    QUOTE_RATE = "quote_rate"  # the rate between the legs' quote currencies is missing, too old or absurd

    # The trading state: what stops entries everywhere.
    KILL_LATCH = "kill_latch"  # the operator has engaged the kill switch
    STOPPING = "stopping"  # the instance is being stopped
    SETTINGS_CHANGE = "settings_change"  # for the moment in which settings are reloaded
    PAUSED = "paused"  # the operator has paused entries
    LEASE_LOST = "lease_lost"  # another instance has taken one of our accounts
    JOURNAL_FULL = "journal_full"  # the journal, its disk or the queue to it takes no more
    FOREIGN_ORDERS = "open_orders_of_others"  # an account has open orders that are not ours
    UNEXPLAINED = "unexplained_position"  # a venue holds what nothing explains
    BREAKER = "breaker"  # too many failures in a row
    VENUE_CLOSED = "venue_closed"  # a venue says that it takes no orders that open
    CLOCK_OFF = "clock_off"  # this host's clock and a venue's differ too much
    DAILY_LOSS = "daily_loss"  # today's realised loss
    DRAWDOWN = "drawdown"  # today's result below today's best
    NAKED_BUDGET = "naked_budget"  # legs stood alone for too long today
    MARGIN_UNKNOWN = "margin_known", "margin unknown"  # a venue has not reported its margin lately
    EXPOSURE_UNKNOWN = "exposure_unknown"  # something is held that has no price yet

    # What stops one pair.
    FORCED_EXIT = "forced_exit"  # the operator keeps it closed
    SUSPENDED = "suspended"  # its contracts do not fit its settings

    # The risk checks, immediately before the bytes.
    SIGNAL_AGE = "signal_age"  # decided too long ago
    VENUE_READY = "venue_ready", "venue not ready"  # not logged in, silent, or no connection free
    RATE_BUDGET = "rate_budget"  # only the reserve of a venue's rate limit is left, or it wants a pause
    LEG_PRICE = "leg_price"  # a leg has no usable price now
    ORDERS_PER_MINUTE = "orders_per_minute"
    ORDER_SIZE = "order_size"  # base currency, of one leg's order
    NET_EXPOSURE = "net_exposure"  # what venues together hold unhedged of this base currency
    ORDER_NOTIONAL = "order_notional"  # of one leg's order
    POSITION_NOTIONAL = "position_notional"  # of everything held on one venue, with this order
    LEVERAGE = "leverage"  # positions on one venue with this order, over the account's value
    FREE_MARGIN = "free_margin"  # collateral free for this order
    LIQUIDATION = "liquidation_distance"  # of the nearest position on a venue, part of its price
    LIQUIDITY = "liquidity"  # visible within the price band, in multiples of the order
    PRICE_COLLAR = "price_collar"  # a limit against the other venue's price

    # The pair machine.
    PAIR_HALTED = "pair_halted"  # the pair waits for a person
    ENTRIES_STOPPED = "entries_stopped"  # the trading state or a forced exit, as the machine was informed
    POSITIONS_CONFIRMED = "positions_confirmed"  # a leg's position is not confirmed, or its stream is down
    VENUE_WANTS_PAUSE = "venue_wants_pause"
    ORDER_IDS_LEFT = "order_ids_left"  # the rest of this epoch's ids is for exits and repairs
    SIGNAL_SEEN = "signal_seen"  # the signal was taken before
    DIRECTION = "direction"  # against what is held
    LAYER = "layer"  # not the next one
    PRICE = "price"

    # What only those who watch can see.
    SUPERVISOR_SILENT = "supervisor_silent"  # what ends now is not started again
    PROCESS_AWAY = "process_away"


# The detector's gates in the order they are asked; the first to say no is counted. Per pair, the counters
# ``gate.<pair>.<gate>`` plus ``signals.<pair>`` sum to ``evaluations.<pair>``.
GATES: Final = (
    EntryBlock.FEED_ALIVE,
    EntryBlock.QUOTE_VALID,
    EntryBlock.QUOTE_AGE,
    EntryBlock.LEG_SKEW,
    EntryBlock.ABSURD,
    EntryBlock.THRESHOLD,
    EntryBlock.EDGE,
    EntryBlock.CONFIRMATION,
    EntryBlock.SIZE,
    EntryBlock.SLIPPAGE,
    EntryBlock.PAIR_STATE,
    EntryBlock.RISK_STATE,
    EntryBlock.MAINTENANCE,
    EntryBlock.COOL_DOWN,
    EntryBlock.QUOTE_RATE,
)
# What stops entries everywhere, in the order in which the executor asks. The counter ``entries_stopped`` is
# the place of the first that holds, counted from 1; ``entry_blocks`` has one bit for each, lowest first.
TRADING_STATE: Final = (
    EntryBlock.KILL_LATCH,
    EntryBlock.STOPPING,
    EntryBlock.SETTINGS_CHANGE,
    EntryBlock.PAUSED,
    EntryBlock.LEASE_LOST,
    EntryBlock.JOURNAL_FULL,
    EntryBlock.FOREIGN_ORDERS,
    EntryBlock.UNEXPLAINED,
    EntryBlock.BREAKER,
    EntryBlock.VENUE_CLOSED,
    EntryBlock.CLOCK_OFF,
    EntryBlock.DAILY_LOSS,
    EntryBlock.DRAWDOWN,
    EntryBlock.NAKED_BUDGET,
    EntryBlock.MARGIN_UNKNOWN,
    EntryBlock.EXPOSURE_UNKNOWN,
)


def number_of(block: EntryBlock | None) -> int:
    """The value of the counter ``entries_stopped``; 0 when entries may leave."""
    return 0 if block is None else TRADING_STATE.index(block) + 1


def bits_of(blocks: Iterable[EntryBlock]) -> int:
    """The value of the counter ``entry_blocks``."""
    return sum(1 << TRADING_STATE.index(block) for block in set(blocks))


def blocks_in(bits: int) -> tuple[EntryBlock, ...]:
    """Every reason that the counter ``entry_blocks`` names, in their order."""
    return tuple(block for number, block in enumerate(TRADING_STATE) if bits >> number & 1)
