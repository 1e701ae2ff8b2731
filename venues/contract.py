"""Declares what every venue offers: the only types by which the rest of Tandem knows a venue.

Two protocol objects per venue, both sans-I/O: bytes and times go in, values and bytes come out.
``MarketData`` belongs to a feed process and holds no keys. ``Trading`` belongs to the executor
(and to ``tools``) and is the only place where keys live.

Units: prices in quote currency, sizes in base currency, fees in quote currency, all ``int``
scaled by 10**8 (``_e8``). ``_unix_ms``/``_unix_ns`` are wall clocks, ``_mono_ns`` is this host's
monotonic clock. Sizes are unsigned with a ``Side``; positions are signed, long positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from enum import Enum, IntEnum
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    runtime_checkable,
)

import msgspec

from observability.redaction import redact
from venues.usual_frames import UsualFrames

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

E8 = 100_000_000
PAR_E8 = E8  # the rate of two quote currencies that count as one
_INT64_MAX = 2**63 - 1


# An order's id as a venue names it. It is kept with the order, whose room in memory is limited: what is
# longer is no id that a venue's documents know, and the message that holds it is not believed.
VENUE_ID_CHARS_MAX: Final = 128
VenueId = Annotated[str, msgspec.Meta(max_length=VENUE_ID_CHARS_MAX)]


class Side(IntEnum):
    """Side of an order. The number is the sign of the position it builds."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> Side:
        """The side that closes what this one opened."""
        return Side.SELL if self is Side.BUY else Side.BUY


class TimeInForce(Enum):
    """How long an order may rest. Tandem takes with IOC or FOK; GTC serves tests and tools."""

    IOC = "IOC"
    FOK = "FOK"
    GTC = "GTC"


class OrderStatus(Enum):
    """Where an order stands, in our words. The last three are final."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """Whether the order can be executed no more."""
        return self is not OrderStatus.OPEN


class Outcome(Enum):
    """What the answer to a request means for the order it was about."""

    ACCEPTED = "accepted"  # the venue has it; an OrderUpdate reports its outcome
    REFUSED = "refused"  # the venue said no: it does not exist and never will
    IN_DOUBT = "in_doubt"  # no answer, or one that settles nothing: ask by client order id


class Instrument(NamedTuple):
    """One contract on one venue, with its grid. Read from the venue, never from configuration."""

    instrument_id: int  # our small number: index into slots, unique over all venues
    venue: str
    symbol: str  # the venue's spelling
    base: str
    tick_e8: int  # price step
    lot_e8: int  # size step
    min_size_e8: int
    min_notional_e8: int  # 0 when the venue has none
    max_size_e8: int  # 0 when the venue states none
    price_decimals: int  # decimals of price text on the wire
    size_decimals: int  # decimals of size text on the wire
    taker_fee_bps: float  # the venue's published rate; accounts may pay less
    is_trading: bool
    # A price may have at most this many figures, whole numbers excepted: the step then grows with
    # the price, and ``tick_e8`` is the finest there is. 0 where one step serves every price.
    significant_figures: int = 0
    quote: str = "USD"  # what its prices are in
    is_delisted: bool = False  # not trading, and never again
    is_spot: bool = False  # no position to hold: its price can be watched, and no leg be it

    def price_step_e8(self, price_e8: int) -> int:
        """The step of prices at this one."""
        if not self.significant_figures:  # most venues have one step for all prices
            return self.tick_e8
        return price_step_e8(price_e8, self.tick_e8, self.significant_figures)

    def price_down_e8(self, price_e8: int) -> int:
        """The nearest price on the grid that is not above this one; 0 below the smallest."""
        return price_e8 - price_e8 % self.price_step_e8(price_e8)

    def price_up_e8(self, price_e8: int) -> int:
        """The nearest price on the grid that is not below this one."""
        return price_e8 + -price_e8 % self.price_step_e8(price_e8)


class TopOfBook(NamedTuple):
    """Best bid and ask of one instrument as one venue message gave them."""

    instrument_id: int
    bid_e8: int  # 0 when that side is empty
    bid_size_e8: int
    ask_e8: int
    ask_size_e8: int
    venue_unix_ns: int  # 0 when the venue sends no time
    venue_sequence: int  # 0 when the venue sends none
    is_valid: bool  # False: both sides unusable until the next valid one (gap, crossed, empty side)


class Depth(NamedTuple):
    """Price levels of one instrument, best first, at most what ``shm.records`` holds."""

    instrument_id: int
    bids: Sequence[tuple[int, int]]  # (price_e8, size_e8)
    asks: Sequence[tuple[int, int]]
    venue_unix_ns: int
    venue_sequence: int
    is_valid: bool


class FaultKind(Enum):
    """What can be wrong with market data without the connection being down."""

    GAP = "gap"  # a delta is missing
    CROSSED = "crossed"  # bid above ask (a locked book, bid = ask, is real and no fault)
    EMPTY_SIDE = "empty_side"
    REFUSED = "refused"  # the venue refused a subscription
    UNREADABLE = "unreadable"  # a frame that names its instrument, and is not as documented
    UNKNOWN = "unknown"  # a frame or message kind that is not documented


class FeedFault(NamedTuple):
    kind: FaultKind
    instrument_id: int  # -1 when it concerns the whole connection
    detail: str


class OrderRequest(NamedTuple):
    """An order as the pair machine wants it. Always a limit: an unbounded order cannot be expressed."""

    client_order_id: int  # < 2**53, unique for ever, fixed before sending, the key for queries
    instrument: Instrument
    side: Side
    size_e8: int
    limit_price_e8: int
    reduce_only: bool
    time_in_force: TimeInForce


class OrderRef(NamedTuple):
    """The ids for a query: ours always, the venue's once the ack has brought it."""

    client_order_id: int
    instrument: Instrument
    venue_order_id: str = ""


class OrderAck(NamedTuple):
    """The venue's direct answer to create or cancel."""

    client_order_id: int
    outcome: Outcome
    venue_order_id: str = ""
    code: str = ""  # the venue's own code and text, unchanged, for log and operator
    text: str = ""
    # The venue wants to be left alone for so long; on REFUSED the same request may then be made again.
    retry_after_ms: int | None = None
    # … what closes or mends, where a refusal costs nothing there: asked sooner, a leg stands alone less long.
    mends_after_ms: int | None = None  # None: as long
    is_of_grid: bool = False  # refused for the steps or bounds of its price or size, as far as the code says


class OrderUpdate(NamedTuple):
    """What the venue says an order has become, from its private stream or a query."""

    client_order_id: int  # 0 when the message names only the venue's id
    venue_order_id: str
    instrument_id: int  # -1 when the message does not say (Vest cancels)
    status: OrderStatus
    size_e8: int | None
    filled_e8: int | None  # cumulative; None when the venue does not say: query, then positions
    average_price_e8: int | None
    fee_e8: int | None  # cumulative, positive = paid
    reason: str  # the venue's word for a cancel or reject
    venue_unix_ns: int
    # Settled by what it filled, positive = received; None when the venue does not say.
    funding_e8: int | None = None
    side: Side | None = None  # None where the message does not say
    is_of_grid: bool = False  # rejected for the steps or bounds of its price or size, as far as it says


class Fill(NamedTuple):
    """One execution, where the venue reports them singly."""

    fill_id: str  # unique per venue: the key against duplicates
    client_order_id: int  # 0 when unknown
    venue_order_id: str
    instrument_id: int
    side: Side
    price_e8: int
    size_e8: int
    fee_e8: int
    venue_unix_ns: int
    funding_e8: int | None = None  # settled by this fill, positive = received; None: query the order


class Position(NamedTuple):
    instrument_id: int
    size_e8: int  # signed, long positive; 0 = flat
    entry_price_e8: int
    mark_price_e8: int  # 0 when unknown
    liquidation_price_e8: int  # 0 when none or unknown


class Touch(NamedTuple):
    """Best bid and ask of one instrument by REST; 0 for an empty side."""

    bid_e8: int
    ask_e8: int


class Account(NamedTuple):
    """Margin account in quote currency."""

    value_e8: int  # collateral plus unrealised result
    free_e8: int  # available for new margin
    maintenance_margin_e8: int


class FundingRate(NamedTuple):
    """What holding one instrument costs now."""

    instrument_id: int
    hourly_bps: float  # of the notional, per hour; positive: longs pay shorts


class StreamReady(NamedTuple):
    """The private stream is authenticated and subscribed: from now on it reports everything."""

    recv_mono_ns: int


PrivateEvent = OrderAck | OrderUpdate | Fill | Position | Account | StreamReady


class HttpRequest(NamedTuple):
    """A request relative to the venue's REST base URL. Headers hold no Host, no length."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str  # begins with "/", query included, without the base path ("/v1", "/v2")
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        # Headers carry tokens, bodies signatures, queries listen keys: none of it belongs in a log.
        return f"HttpRequest({self.method} {self.path.partition('?')[0]})"


class HttpResponse(NamedTuple):
    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes
    now_unix_ms: int  # our wall clock when it had arrived


T = TypeVar("T")
# A conversation with the REST API: yields requests, is sent responses, returns the result. A
# transport failure is thrown in as TransportError. It raises VenueError when the venue says no.
Call = Generator[HttpRequest, HttpResponse, T]


class SignedOrder(NamedTuple):
    """An order rendered and signed: nothing is left to do but write it.

    ``wire`` is an ``HttpRequest`` where the venue takes orders over HTTP, and the text of one
    WebSocket frame for the private socket where it takes them there.
    """

    request: OrderRequest
    wire: HttpRequest | bytes
    valid_until_unix_ms: int  # do not write it later than this

    def __repr__(self) -> str:
        # The wire holds the signature, and over HTTP the API key.
        return f"SignedOrder({self.request}, valid_until_unix_ms={self.valid_until_unix_ms})"


class RateLimit(NamedTuple):
    """So many calls in any window, refilled continuously."""

    calls: int
    window_ms: int


class FrameError(Exception):
    """A frame is not as documented and does not say which instrument it is about.

    Nothing of it was used. Market data that names its instrument is a ``FeedFault`` of kind
    UNREADABLE instead: only that instrument's prices are void then.
    """

    def __init__(self, venue: str, detail: str, frame: bytes) -> None:
        detail = redact(detail)
        super().__init__(venue, detail, frame[:200])
        self.venue = venue
        self.detail = detail
        self.frame = frame[:200]

    def __str__(self) -> str:
        return f"{self.venue}: {self.detail}; frame begins {self.frame!r}"


class VenueError(Exception):
    """The venue refused a call, with its own code and text.

    ``retry_after_ms`` is None where repeating cannot help.
    """

    def __init__(
        self, venue: str, code: str, text: str, *, status: int = 0, retry_after_ms: int | None = None
    ) -> None:
        code, text = redact(code), redact(text)
        super().__init__(venue, code, text)
        self.venue = venue
        self.code = code
        self.text = text
        self.status = status
        self.retry_after_ms = retry_after_ms

    def __str__(self) -> str:
        return f"{self.venue} refused: {self.code} {self.text} (HTTP {self.status})"


class TransportError(Exception):
    """No usable answer came back: what the request did at the venue is unknown."""

    def __init__(self, text: str) -> None:
        super().__init__(redact(text))


class OffGrid(ValueError):
    """An order the venue would refuse for its numbers; refused here before it is signed."""

    def __init__(self, instrument: Instrument, field: str, value_e8: int, rule: str) -> None:
        super().__init__(instrument.venue, instrument.symbol, field, value_e8, rule)
        self.instrument = instrument
        self.field = field
        self.value_e8 = value_e8
        self.rule = rule

    def __str__(self) -> str:
        where = f"{self.instrument.venue} {self.instrument.symbol}"
        return f"{where}: {self.field} {self.value_e8 / E8:.8f} {self.rule}"


class MarketData(Protocol):
    """One venue's public market data over one WebSocket.

    Opens no socket, sets no timer, reads no clock: the session that owns the socket does. After
    ``connected`` and after every ``receive``/``tick`` the session sends what ``take_frames``
    hands over and publishes what the other ``take_`` methods hand over.
    """

    venue: str
    usual_frames: UsualFrames  # what the venue's compiled reader may take in its place

    @property
    def url(self) -> str:
        """Complete, query included."""

    def refused(self, status: int) -> str:
        """The upgrade got this HTTP status. Returns what the URL asks for instead now, if anything."""

    def connected(self, now_mono_ns: int) -> None:
        """A new connection stands: forget all books, queue the subscriptions."""

    def receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one frame. Raises FrameError if it is not as documented and names no instrument of
        ours; never anything else."""

    def renew(self, instrument_id: int, now_mono_ns: int) -> None:
        """The instrument has fallen silent: forget its book, queue what subscribes to it anew."""

    def tick(self, now_mono_ns: int) -> None:
        """Queue application-level pings that are due. Called at least once a second."""

    def take_frames(self) -> list[bytes]:
        """Text frames to send, oldest first."""

    def take_tops(self) -> list[TopOfBook]:
        """Tops of book gathered since the last call, oldest first."""

    def take_depths(self) -> list[Depth]:
        """The newest depth of each instrument that changed since the last call."""

    def take_faults(self) -> list[FeedFault]:
        """What was wrong. The protocol has already queued the frames that mend it."""


class Trading(Protocol):
    """One account on one venue: REST conversations, order rendering, and the private stream.

    Holds the keys and tokens. ``repr`` and exceptions never show them.
    """

    venue: str
    create_transport: Literal["http", "ws"]
    taker_time_in_force: TimeInForce  # how this venue is taken from safely
    # Creates and cancels of one account share them; empty where the venue publishes none.
    order_limits: tuple[RateLimit, ...]

    # --- REST conversations (see Call) ---
    def fetch_instruments(self, wanted: Mapping[str, int]) -> Call[list[Instrument]]:
        """Grids of the wanted symbols (symbol -> instrument_id). VenueError if one is unknown."""

    def login(self, now_unix_ms: int) -> Call[None]:
        """From keys to a usable session: registration, onboarding, tokens, listen key."""

    def renew(self, now_unix_ms: int) -> Call[None]:
        """Renew what expires. Due at ``renew_due_unix_ms``."""

    @property
    def renew_due_unix_ms(self) -> int:
        """When ``renew`` is due, by the clock that was handed to ``login``."""

    def query_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderUpdate | None]:
        """The order by our id. None: the venue does not know it *now*; it may still appear."""

    def query_fills(self, ref: OrderRef, since_unix_ms: int, now_unix_ms: int) -> Call[list[Fill] | None]:
        """Every execution of an order that was sent after ``since_unix_ms``. The list may lag behind them.

        None where the venue lists none: ``query_order`` has price and fee.
        """

    def query_open_orders(self, now_unix_ms: int) -> Call[list[OrderUpdate]]:
        """Every open order of the account on the known instruments."""

    def query_positions(self, now_unix_ms: int) -> Call[list[Position]]:
        """Positions on the known instruments; flat ones may be left out."""

    def query_account(self, now_unix_ms: int) -> Call[Account]:
        """The margin account as the venue reports it now."""

    def query_closed(self) -> Call[str]:
        """Why the venue takes no order that opens now, in its own word; empty when it does."""

    def cancel_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderAck]:
        """ACCEPTED means queued: the truth follows on the stream or by query."""

    # --- orders ---
    def sign_create(self, request: OrderRequest, now_unix_ms: int) -> SignedOrder:
        """Check the grid, render, sign. Raises OffGrid."""

    def order_leaves(self, request: OrderRequest, wire: HttpRequest | bytes) -> None:
        """These bytes of ``sign_create`` are being written, of all that were signed under the order's id.

        Both directions are presigned for one id, and signed anew before they expire: what an answer is
        compared with, and what ends doubt, is the one order that left.
        """

    def parse_create_response(self, request: OrderRequest, response: HttpResponse) -> OrderAck:
        """The answer to a create sent over HTTP."""

    def create_over_http(self, wire: HttpRequest | bytes) -> HttpRequest:
        """A signed order's wire as a REST request. Only for one of which certainly no byte was written."""

    # --- private stream ---
    def stream_url(self) -> str:
        """Complete URL; valid after ``login``. Holds a token on some venues: never log it."""

    def stream_refused(self, status: int) -> str:
        """The upgrade got this HTTP status. Returns what the URL asks for instead now, if anything."""

    def stream_connected(self, now_mono_ns: int) -> None:
        """A new private connection stands: queue authentication and subscriptions."""

    def stream_receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one private frame. Raises FrameError; never anything else."""

    def stream_tick(self, now_mono_ns: int) -> None:
        """Queue application-level pings that are due. Called at least once a second."""

    def stream_take_frames(self) -> list[bytes]:
        """Text frames to send on the private socket, oldest first."""

    def stream_take_events(self) -> list[PrivateEvent]:
        """Acks of creates sent over the socket, order updates, fills, positions; oldest first."""


class AccountFact(NamedTuple):
    """Something the venue says of an account that its owner should know before it trades."""

    what: str
    found: str
    remedy: str = ""  # empty: nothing is wrong
    stops_entries: bool = False  # nothing can be opened before it is mended


class AccountDetails(NamedTuple):
    """What the venue says of an account beside its money. Holds no key."""

    facts: tuple[AccountFact, ...]
    taker_fee_bps: float | None  # what this account pays; None where the venue does not say


@runtime_checkable
class DescribesAccount(Protocol):
    """What a ``Trading`` may offer besides, once it is logged in: its account, for ``tools doctor``."""

    def describe_account(self, now_unix_ms: int) -> Call[AccountDetails]: ...


@runtime_checkable
class VoidsOrders(Protocol):
    """What a ``Trading`` may offer besides: the venue can be made never to execute an order in doubt."""

    def void_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderUpdate | None]:
        """Take the place of an order that the venue does not know, so that it can arrive no more.

        Its end where that is certain now; None where the venue's answer settles nothing.
        """


@dataclass(frozen=True, slots=True)
class VenueHosts:
    """Where a venue lives. Plain http/ws is accepted for loopback hosts alone."""

    rest_url: str  # with base path, without trailing slash: "https://api.prod.paradex.trade/v1"
    public_ws_url: str
    private_ws_url: str


class ReadBudget(NamedTuple):
    """How much a venue lets be asked in a minute, and what each question that is repeated costs of it.

    Weights as documented. A question that the venue counts elsewhere, or not at all, costs 0 here.
    """

    per_minute: int
    open_orders: int
    account: int
    positions: int
    order: int  # by our id, of one that the venue does not know, with what ends the doubt
    instruments: int = 0
    funding: int = 0
    status: int = 0  # ``query_closed``
    server_time: int = 0
    warm: int = 0  # ``warm_request``
    renewals_per_minute: int = 0


class Secret(NamedTuple):
    """One credential of a venue: its environment variable and whether it must be there."""

    name: str
    field: str
    is_required: bool


class AccountOptions(NamedTuple):
    """How an account is used, in words that hold for every venue; each takes what concerns it."""

    client_id_prefix: str = "td"  # of client order ids, where they are texts
    recv_window_ms: int = 5_000  # how long an order may travel before the venue must refuse it
    over_http: bool = False  # send orders over REST even where the venue takes them over its socket


class FeedOptions(NamedTuple):
    """How public data is asked for; each venue takes what concerns it."""

    prefers_json: bool = False  # where the venue offers a binary encoding, too


Keys = TypeVar("Keys", bound="DataclassInstance")
_ROOT_REQUEST = HttpRequest("GET", "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue(Generic[Keys]):
    """A venue as a value: everything the rest of Tandem knows it by.

    Parts that a venue may not have are None. ``credentials`` is a dataclass whose fields, in upper case after
    the venue's name, are the environment variables its keys are read from.
    """

    name: str
    production_hosts: VenueHosts
    credentials: type[Keys]
    account_name: Callable[[Keys], str]  # the account's public name; ValueError for keys that are none
    market_data: Callable[[VenueHosts, Mapping[str, int], FeedOptions], MarketData]
    trading: Callable[[VenueHosts, Keys, AccountOptions], Trading]
    taker_time_in_force: TimeInForce
    quote: str  # what its prices are in, unless the venue publishes another for an instrument
    fetch_instruments: Callable[[Mapping[str, int]], Call[list[Instrument]]]
    fetch_touch: Callable[[str], Call[Touch]]
    fetch_funding: Callable[[Mapping[str, int]], Call[list[FundingRate]]]
    fetch_server_time_ms: Callable[[], Call[int]] | None = None
    fetch_system_state: Callable[[], Call[str]] | None = None  # "ok", or why the venue as a whole is not
    warm_request: HttpRequest = _ROOT_REQUEST  # a cheap public GET that keeps a connection warm
    read_budget: ReadBudget | None = None  # None where the venue publishes no numbers

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The credentials as environment variables: ``VEST_PRIMARY_PRIVATE_KEY``, …"""
        return tuple(
            Secret(f"{self.name}_{field.name}".upper(), field.name, field.default is MISSING)
            for field in fields(self.credentials)
        )

    def account_of(self, secrets: Mapping[str, str]) -> str:
        """The account's public name. KeyError names a missing secret, ValueError says what is bad."""
        return self.account_name(self.credentials_from(secrets))

    def open_account(self, hosts: VenueHosts, secrets: Mapping[str, str], options: AccountOptions) -> Trading:
        """One account's protocol. KeyError names a missing secret, ValueError says what is bad."""
        return self.trading(hosts, self.credentials_from(secrets), options)

    def hosts(self, *, rest_url: str = "", public_ws_url: str = "", private_ws_url: str = "") -> VenueHosts:
        """Where the venue lives; what is left empty is production's."""
        production = self.production_hosts
        return VenueHosts(
            rest_url or production.rest_url,
            public_ws_url or production.public_ws_url,
            private_ws_url or production.private_ws_url,
        )

    def credentials_from(self, secrets: Mapping[str, str]) -> Keys:
        """The credentials, from secrets by environment name. KeyError names a missing one."""
        values: dict[str, Any] = {
            item.field: secrets[item.name]
            for item in self.secrets
            if item.is_required or item.name in secrets
        }
        return self.credentials(**values)


def parse_e8(text: str) -> int:
    """Return a decimal text scaled by 10**8, digit by digit; no binary float on the way.

    Accepts an optional sign, digits, and an optional fraction; digits past the eighth must be
    zero. Raises ValueError for anything else, exponents, blanks and NaN included.
    """
    negative = text.startswith("-")
    whole, dot, fraction = (text[1:] if negative else text).partition(".")
    if (
        not whole.isascii()
        or not whole.isdigit()
        or (dot and not (fraction.isascii() and fraction.isdigit()))
    ):
        raise ValueError(f"{text[:40]!r} is not a plain decimal number")
    if len(fraction) > 8:
        if fraction[8:].strip("0"):
            raise ValueError(f"{text[:40]!r} has more than eight decimals")
        fraction = fraction[:8]
    # The length comes first: int() of a very long text is slow, then an error of its own.
    value = int(whole + fraction.ljust(8, "0")) if len(whole) <= 20 else _INT64_MAX + 1
    if value > _INT64_MAX:
        raise ValueError(f"{text[:40]!r} does not fit 64 bits at eight decimals")
    return -value if negative else value


def funding_bps(text: str, *, hours: int) -> float:
    """A venue's funding rate for ``hours`` hours, decimal text, in bps per hour.

    Raises ValueError if the text is no finite number.
    """
    rate_bps = 10_000 * float(text) / hours
    if not math.isfinite(rate_bps):
        raise ValueError(f"{text[:40]!r} is no funding rate")
    return rate_bps


def format_e8(value_e8: int, decimals: int) -> str:
    """Return ``value_e8`` as text with exactly ``decimals`` decimals (0 to 8).

    Raises ValueError when that would drop a digit: rounding is the caller's decision.
    """
    sign = "-" if value_e8 < 0 else ""
    whole, fraction = divmod(abs(value_e8), E8)
    digits = f"{fraction:08d}"
    if digits[decimals:].strip("0"):
        raise ValueError(f"{value_e8} e8 has more than {decimals} decimals")
    return f"{sign}{whole}.{digits[:decimals]}" if decimals else f"{sign}{whole}"


def price_step_e8(price_e8: int, tick_e8: int, significant_figures: int) -> int:
    """The step of prices at this one, where a price has at most so many figures (0: any number).

    Whole numbers are always prices, however many figures they have. Steps are powers of ten and grow
    at powers of ten, so rounding up by the step below a boundary ends on the boundary at the most.
    """
    if not significant_figures or price_e8 <= 0:
        return tick_e8
    by_figures_e8: int = 10 ** max(len(str(price_e8)) - significant_figures, 0)
    return min(max(by_figures_e8, tick_e8), E8)


def converted_e8(amount_e8: int, rate_e8: int) -> int:
    """A price or amount at a rate: what one unit of its currency is worth in the other, times 10**8."""
    return amount_e8 if rate_e8 == PAR_E8 else amount_e8 * rate_e8 // E8


def common_lot_e8(first: Instrument, second: Instrument) -> int:
    """The smallest size step that both instruments take."""
    return math.lcm(first.lot_e8, second.lot_e8)


def check_grid(request: OrderRequest) -> None:
    """Raise OffGrid unless price, size, minimum and maximum fit the instrument.

    A reduce-only order is exempt from the minimum notional: it may close a remainder.
    """
    instrument = request.instrument
    size_e8, price_e8 = request.size_e8, request.limit_price_e8
    step_e8 = instrument.price_step_e8(price_e8)
    if price_e8 <= 0 or price_e8 % step_e8:
        raise OffGrid(instrument, "price", price_e8, f"is not a multiple of the tick {step_e8 / E8:.8f}")
    if size_e8 <= 0 or size_e8 % instrument.lot_e8:
        raise OffGrid(
            instrument, "size", size_e8, f"is not a multiple of the lot {instrument.lot_e8 / E8:.8f}"
        )
    if size_e8 < instrument.min_size_e8:
        raise OffGrid(instrument, "size", size_e8, f"is below the minimum {instrument.min_size_e8 / E8:.8f}")
    if instrument.max_size_e8 and size_e8 > instrument.max_size_e8:
        raise OffGrid(instrument, "size", size_e8, f"is above the maximum {instrument.max_size_e8 / E8:.8f}")
    notional_e8 = size_e8 * price_e8 // E8
    if notional_e8 < instrument.min_notional_e8 and not request.reduce_only:
        raise OffGrid(
            instrument, "notional", notional_e8, f"is below the minimum {instrument.min_notional_e8 / E8:.2f}"
        )
