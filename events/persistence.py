"""Persistence: the journal, the database, and who trades on the accounts"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from events.event import Event, OrderStateName, PurposeName, SideName, Text, VenueId


class PositionsDisagree(Event, frozen=True, kw_only=True):
    """executor and venue have differed about a position for half a minute"""

    LEVELS = ("error",)
    positions: tuple[tuple[str, str, str, str], ...]
    lasting_s: float
    detail: Text


class PositionsAgree(Event, frozen=True, kw_only=True):
    """they agree about it again"""

    positions: tuple[tuple[str, str, str, str], ...]


class LeaseLost(Event, frozen=True, kw_only=True):
    """another instance trades on our account: nothing is opened here any more"""

    LEVELS = ("error",)
    account: Text
    detail: Text


class LeaseRegained(Event, frozen=True, kw_only=True, tag="lease_held"):
    """the account is ours again"""

    accounts: tuple[str, ...]


class CheckpointOrder(Struct, frozen=True, kw_only=True):
    """An order that was not known to be over when the journal file began."""

    client_order_id: int
    leg: int
    side: SideName
    size_e8: int
    limit_price_e8: int
    reduce_only: bool
    purpose: PurposeName
    attempt: int
    trade_id: int
    sent_unix_ms: int
    state: OrderStateName
    venue_order_id: VenueId
    filled_e8: int
    average_price_e8: int
    fee_e8: int
    fill_ids: tuple[VenueId, ...] = ()
    fills_e8: int = 0
    fills_quote_e8: int = 0
    fills_fee_e8: int = 0


class CheckpointResult(Struct, frozen=True, kw_only=True):
    """A closed trade's result, which what becomes known late about its orders corrects."""

    trade_id: int
    direction: int
    closed_unix_ms: int
    gross_e8: int
    fees_e8: int
    happened_outside: bool
    is_estimated: bool
    quote_rate_e8: int = 10**8


class CheckpointPair(Struct, frozen=True, kw_only=True):
    """What one pair held when the journal file began. The fields are ``CarriedPair``'s."""

    pair: str
    legs: tuple[str, str]
    trade_id: int
    direction: int
    layers: int
    sizes_e8: tuple[int, int]
    entry_prices_e8: tuple[int, int]
    fees_e8: tuple[int, int]
    opened_unix_ms: int
    is_estimated: bool
    orders: tuple[CheckpointOrder, ...]
    told_unix_ms: int
    result_day: int
    result_e8: int
    best_e8: int
    funding_due: tuple[tuple[int, int, str], ...] = ()
    unaccounted: tuple[CheckpointOrder, ...] = ()
    closed: tuple[CheckpointResult, ...] = ()
    estimated: int = 0
    quote_rate_e8: int = 10**8


class JournalCheckpoint(Event, frozen=True, kw_only=True):
    """what every pair held when this journal file began"""

    bot_id: str
    mode: str
    told_unix_ms: int
    pairs: tuple[CheckpointPair, ...]


class DatabaseReady(Event, frozen=True, kw_only=True):
    """the database answers and its tables are up to date"""

    database: str
    migrations: tuple[str, ...]
    waiting: int


class DatabaseAway(Event, frozen=True, kw_only=True):
    """the database does not answer: events are kept in the journal"""

    LEVELS = ("warning",)
    waiting: int | UnsetType = UNSET
    detail: Text


class DatabaseUnverified(Event, frozen=True, kw_only=True):
    """DATABASE_URL leads over a network without verified TLS; mode live refuses that"""

    LEVELS = ("warning",)
    detail: Text


class DatabaseBack(Event, frozen=True, kw_only=True):
    """the database answers again; how many events were waiting"""

    database: str
    migrations: tuple[str, ...]
    waiting: int


class PairRead(Struct, frozen=True, kw_only=True):
    """What an earlier run left open of one pair."""

    pair: str
    legs: tuple[str, str]
    sizes_e8: tuple[int, int]
    trade_id: int


class JournalRead(Event, frozen=True, kw_only=True):
    """what an earlier run left open, before anything that trades is started"""

    told_by: str
    pairs: tuple[PairRead, ...]
    orders: tuple[int, ...]


class JournalFilling(Event, frozen=True, kw_only=True):
    """the journal nears its limit because the database does not take what it holds"""

    LEVELS = ("warning",)
    bytes: int
    limit_bytes: int
    detail: Text


class JournalFull(Event, frozen=True, kw_only=True):
    """the journal reached its limit: nothing is opened any more"""

    LEVELS = ("error",)
    bytes: int
    limit_bytes: int
    detail: Text


class JournalHasRoom(Event, frozen=True, kw_only=True):
    """the database has taken enough: the journal is far from its limit again"""

    bytes: int
    limit_bytes: int


class JournalRefused(Event, frozen=True, kw_only=True):
    """the disk does not take the journal: nothing is opened any more"""

    LEVELS = ("error",)
    detail: Text


class JournalWritable(Event, frozen=True, kw_only=True):
    """the disk takes the journal again"""

    journalled: int


class LeftMemoryRead(Event, frozen=True, kw_only=True):
    """what a killed run left while the disk was full: how many of its events are in the journal now"""

    LEVELS = ("warning",)
    memory: str
    events_kept: int
    detail: Text


class ForeignFiles(Event, frozen=True, kw_only=True):
    """what lies among the journal's files and is none of them: passed over, and named once"""

    LEVELS = ("warning",)
    files: tuple[str, ...]
    count: int
    detail: Text


class EventUnstorable(Event, frozen=True, kw_only=True):
    """an event's rows could not be stored for what it says; its line was"""

    LEVELS = ("error",)
    number: int | UnsetType = UNSET
    source: str | UnsetType = UNSET
    detail: Text | UnsetType = UNSET
    raw: Text | UnsetType = UNSET


class EventsLost(Event, frozen=True, kw_only=True):
    """events did not fit a queue and were only printed"""

    LEVELS = ("warning",)
    process: str
    count: int
    detail: Text
