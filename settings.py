"""Parses config.yaml and .env into frozen, validated settings.

Everything wrong is reported at once, each problem with its key (``pairs[0].legs.vest``), the value
and what is allowed. Unknown and duplicate keys are errors. Quantities are decimal strings, so no
amount of money passes through a binary float; every other unit is in the key's name.

Secrets never live here: they come from the environment or ``.env`` through ``read_secrets``, and
only the process that needs one calls it. How both files are read: ``configuration``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from configuration.env_file import EnvFileError, find_secrets
from configuration.yaml_text import YamlError, read_yaml

E8 = 100_000_000
VERSION = "0.2.0"
PROJECT = Path(__file__).resolve().parent
# A venue is a folder under venues/; nothing else lists it.
KNOWN_VENUES = tuple(sorted(path.parent.name for path in (PROJECT / "venues").glob("*/__init__.py")))
_PATIENT = {"alerts": 10}  # nice values, unless ``runtime.nice`` has others
# No order that was ever sent, by this or an earlier run under other settings, is valid for longer.
ORDER_VALIDITY_MS_MAX = 5_000
PROCESSES = ("feed", "detector", "executor", "persistence", "simulator", "alerts")


class Problem(NamedTuple):
    """One thing wrong with the configuration."""

    key: str  # "pairs[0].legs.vest"; "" for the file as a whole
    value: str
    allowed: str
    may_pass: bool = False  # by itself, without anybody changing anything

    def __str__(self) -> str:
        shown = f" is {self.value}" if self.value else ""
        return f"{self.key or 'configuration'}{shown}: {self.allowed}"


class SettingsError(Exception):
    """The configuration cannot be used. ``problems`` names every reason."""

    def __init__(self, source: str, problems: list[Problem]) -> None:
        super().__init__(source, problems)
        self.source = source
        self.problems = problems

    def __str__(self) -> str:
        count = len(self.problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{self.source}: {count} problem{'s' if count > 1 else ''}{lines}"


def _decimal_e8(value: object) -> int:
    """A decimal string as an integer scaled by 10**8."""
    if not isinstance(value, str):
        raise ValueError(
            'must be a quoted decimal, for example "0.01" (a bare number would be a binary float)'
        )
    found = re.fullmatch(r"(?=\.?[0-9])([0-9]{0,18})(?:\.([0-9]{0,8})0*)?", value)
    if found is None:
        raise ValueError('must be a finite decimal of at least 0 with at most eight decimals, such as "0.01"')
    scaled = int(found[1] or 0) * E8 + int((found[2] or "").ljust(8, "0"))
    if scaled >= 2**62:
        raise ValueError("must fit 64 bits at eight decimals")
    return scaled


class Reload(Enum):
    """When a changed key takes effect in a running instance (``python -m tools reload``)."""

    HOT = "hot"  # at once, between two decisions
    WHEN_FLAT = "when flat"  # once the pair holds nothing; for what all pairs share, once none does
    RESTART = "restart"  # whatever is not marked otherwise


_T = TypeVar("_T")
Hot = Annotated[_T, Reload.HOT]
WhenFlat = Annotated[_T, Reload.WHEN_FLAT]

# In the file a quoted decimal under the plain name ("size_base"), in code an int scaled by 10**8.
DecimalE8 = Annotated[int, BeforeValidator(_decimal_e8)]
Bps = Annotated[float, Field(ge=-1_000, le=10_000)]
PositiveBps = Annotated[float, Field(ge=0, le=10_000)]
Milliseconds = Annotated[float, Field(gt=0, le=86_400_000)]
# How two quote currencies compare: what one unit of the second is worth in the first, as "usdc_per_usd".
QuoteRateName = Annotated[str, Field(pattern=r"^[a-z0-9]{2,8}_per_[a-z0-9]{2,8}$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


def _only_known_venues(value: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = sorted(set(value) - set(KNOWN_VENUES))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is unknown; known are {', '.join(KNOWN_VENUES)}")
    return value


def _list_as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _from_the_project(value: str) -> str:
    """A directory, the same one for every process and tool wherever it was started."""
    return str(PROJECT / value)


_LOOPBACK = r"(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d+)?(/|$)"


def require_secure_url(value: str) -> str:
    if value and not re.match(rf"^(https|wss)://|^(http|ws)://{_LOOPBACK}", value):
        raise ValueError("must begin with https:// or wss:// (plain http and ws for loopback hosts only)")
    return value.rstrip("/")


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=False
    )


class Leg(NamedTuple):
    venue: str
    symbol: str


class MaintenanceWindow(Section):
    """A weekly window in UTC in which nothing is opened."""

    days: Annotated[str, Field(pattern=r"^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$")]
    utc: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]


class VenueSettings(Section):
    """One venue. Empty URLs mean the venue's production hosts, or the simulator in mode sim."""

    rest_url: str = ""
    public_ws_url: str = ""
    private_ws_url: str = ""
    taker_fee_bps: Literal["auto"] | PositiveBps = "auto"
    stale_after_ms: Milliseconds = 5_000
    public_encoding: Literal["default", "json"] = "default"
    maintenance: Hot[tuple[MaintenanceWindow, ...]] = ()

    _as_tuple = field_validator("maintenance", mode="before")(_list_as_tuple)

    @field_validator("rest_url", "public_ws_url", "private_ws_url")
    @classmethod
    def _secure(cls, value: str) -> str:
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise ValueError("must hold no user or password: secrets belong into .env, see .env.example")
        return require_secure_url(value)


class StrategySettings(Section):
    """When to open and close. Spreads are in bps of the price bought at, before fees."""

    entry_bps: Hot[Annotated[float, Field(gt=0, le=10_000)]]
    exit_bps: Hot[Bps]
    entry_max_bps: WhenFlat[Bps | None] = None
    layers: WhenFlat[Annotated[int, Field(ge=1, le=5)]] = 1
    confirm_ticks: Hot[Annotated[int, Field(ge=1, le=1_000)]] = 1
    exit_confirm_ticks: Hot[Annotated[int, Field(ge=1, le=1_000)]] = 1
    min_net_edge_bps: Hot[Bps] = 0.0
    expected_slippage_bps: Hot[PositiveBps] = 0.0
    max_slippage_bps: Hot[PositiveBps] = 5.0
    learn_slippage: Hot[bool] = True
    include_funding: Hot[bool] = True
    expected_hold_s: Hot[Annotated[float, Field(gt=0, le=31_536_000)]] = 3_600
    learned_slippage_samples_min: Hot[Annotated[int, Field(ge=1, le=100_000)]] = 10
    learned_slippage_max_age_s: Hot[Annotated[float, Field(gt=0, le=31_536_000)]] = 3_600
    max_edge_bps: Hot[PositiveBps] = 150.0
    max_quote_age_ms: Hot[Milliseconds] = 3_000
    max_leg_skew_ms: Hot[Milliseconds] = 3_000
    min_liquidity_ratio: Hot[Annotated[float, Field(ge=1, le=1_000)]] = 1.0
    cooldown_ms: Hot[Annotated[float, Field(ge=0, le=86_400_000)]] = 1_000
    max_hold_s: Hot[Annotated[float, Field(gt=0, le=31_536_000)]] = 14_400
    signal_ttl_ms: Hot[Milliseconds] = 50

    @model_validator(mode="after")
    def _relations(self) -> Self:
        if problems := strategy_relations(self.model_dump()):
            raise ValueError("; ".join(problems))
        return self


def strategy_relations(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between a strategy's values; what is no number itself is passed over."""

    def number(key: str) -> float | None:
        value = values.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return value if is_number else None

    entry, exit_, entry_max, layers = map(number, ("entry_bps", "exit_bps", "entry_max_bps", "layers"))
    problems = []
    if entry is not None and exit_ is not None and entry <= exit_:
        problems.append(f"entry_bps {entry:g} must be above exit_bps {exit_:g}")
    if entry is not None and entry_max is not None and entry_max < entry:
        problems.append(f"entry_max_bps {entry_max:g} must not be below entry_bps {entry:g}")
    if layers is not None and layers > 1 and values.get("entry_max_bps") in (None, entry):
        problems.append("layers above 1 need entry_max_bps above entry_bps to space their triggers")
    return problems


BaseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,16}$")]


class PairSettings(Section):
    """One instrument on two venues, or two instruments on one."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,15}$")]
    base: BaseName
    legs: tuple[Leg, Leg]
    # What the venues call the asset, in the order of the legs, where that is not ``base``.
    leg_bases: tuple[BaseName, BaseName] | None = None
    size_base_e8: WhenFlat[Annotated[DecimalE8, Field(alias="size_base", gt=0)]]
    strategy: StrategySettings

    _as_tuple = field_validator("leg_bases", mode="before")(_list_as_tuple)

    @field_validator("legs", mode="before")
    @classmethod
    def _two_legs(cls, value: object) -> object:
        if isinstance(value, dict):
            legs = [Leg(str(venue), symbol) for venue, symbol in value.items()]
        elif isinstance(value, list) and all(isinstance(item, str) and ":" in item for item in value):
            legs = [Leg(*item.split(":", 1)) for item in value]
        else:
            raise ValueError(
                'must be {vest: "BTC-PERP", paradex: "BTC-USD-PERP"} or ["venue:SYMBOL", "venue:SYMBOL"]'
            )
        if len(legs) != 2:
            raise ValueError(f"must name exactly two legs, not {len(legs)}")
        if legs[0] == legs[1]:
            raise ValueError("the two legs must differ: a pair cannot trade against itself")
        for leg in legs:
            if leg.venue not in KNOWN_VENUES:
                raise ValueError(f"venue {leg.venue!r} is unknown; known are {', '.join(KNOWN_VENUES)}")
            if not isinstance(leg.symbol, str) or not re.match(r"^[\x21-\x7e]{1,31}$", leg.symbol):
                raise ValueError(f"symbol of {leg.venue} must be 1 to 31 printable characters")
        return tuple(legs)


class ExecutionSettings(Section):
    """How orders are sent and mended."""

    price_band_bps: WhenFlat[Annotated[float, Field(gt=0, le=1_000)]] = 5.0
    widen_bps: WhenFlat[PositiveBps] = 5.0
    max_retries: WhenFlat[Annotated[int, Field(ge=0, le=20)]] = 3
    retry_delay_ms: WhenFlat[Milliseconds] = 100
    reply_timeout_ms: Milliseconds = 800
    query_interval_ms: WhenFlat[Milliseconds] = 250
    max_naked_ms: WhenFlat[Milliseconds] = 3_000
    order_validity_ms: Annotated[int, Field(ge=500, le=ORDER_VALIDITY_MS_MAX)] = 1_000
    on_single_leg: WhenFlat[Literal["auto", "complete", "unwind"]] = "auto"
    drift_max_lots: WhenFlat[Annotated[int, Field(ge=0, le=1_000_000)]] = 1
    drift_max_bps: WhenFlat[Annotated[float, Field(ge=0, le=1_000)]] = 10.0
    rearm_bps: WhenFlat[Annotated[float, Field(gt=0, le=100)]] = 1.0
    http_connections: Annotated[int, Field(ge=1, le=16)] = 2
    stagger: WhenFlat[bool] = False
    stagger_max_ms: WhenFlat[Annotated[float, Field(gt=0, le=1_000)]] = 50.0
    reconcile_interval_s: WhenFlat[Annotated[float, Field(gt=0, le=3_600)]] = 10.0


class RiskSettings(Section):
    """Limits checked immediately before the bytes leave. Amounts in quote currency unless named."""

    max_order_notional_quote_e8: Hot[Annotated[DecimalE8, Field(alias="max_order_notional_quote")]]
    max_position_notional_quote_e8: Hot[Annotated[DecimalE8, Field(alias="max_position_notional_quote")]]
    max_daily_loss_quote_e8: Hot[Annotated[DecimalE8, Field(alias="max_daily_loss_quote")]]
    max_orders_per_minute: Hot[Annotated[int, Field(ge=1, le=100_000)]] = 120
    max_consecutive_failures: Hot[Annotated[int, Field(ge=1, le=1_000)]] = 3
    breaker_pause_s: Hot[Annotated[float, Field(gt=0, le=86_400)]] = 30.0
    price_collar_bps: Hot[PositiveBps] = 200.0
    naked_budget_s_per_day: Hot[Annotated[float, Field(gt=0, le=86_400)]] = 300.0
    # None: the same as max_daily_loss_quote; ``drawdown_limit_e8`` is what everybody goes by.
    max_drawdown_quote_e8: Hot[Annotated[DecimalE8 | None, Field(alias="max_drawdown_quote")]] = None
    max_net_exposure_quote_e8: Hot[Annotated[DecimalE8, Field(alias="max_net_exposure_quote")]] = 500 * E8
    max_leverage: Hot[Annotated[float, Field(gt=0, le=100)]] = 5.0
    min_liquidation_distance_ratio: Hot[Annotated[float, Field(ge=0, le=1)]] = 0.1
    max_margin_age_s: Hot[Annotated[float, Field(gt=0, le=3_600)]] = 60.0
    # None: legs may differ for as long as nothing mends them.
    max_hedge_drift_bps: Hot[Annotated[float, Field(gt=0, le=10_000)] | None] = None
    max_hedge_drift_s: Hot[Annotated[float, Field(gt=0, le=86_400)]] = 30.0

    @property
    def drawdown_limit_e8(self) -> int:
        """How far today's result may fall below today's best, quote currency times 10**8."""
        return self.max_drawdown_quote_e8 or self.max_daily_loss_quote_e8


class PersistenceSettings(Section):
    """Where trades are kept. Without DATABASE_URL an embedded PostgreSQL under ``var_dir`` serves."""

    var_dir: str = "var"
    batch_events: Annotated[int, Field(ge=1, le=100_000)] = 500
    database_timeout_s: Annotated[float, Field(ge=1, le=600)] = 15.0
    journal_max_mib: Annotated[int, Field(ge=1, le=1_048_576)] = 1_024
    journal_keep_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0


class RuntimeSettings(Section):
    """Processes, cores and memory."""

    memory_dir: Annotated[str, AfterValidator(_from_the_project)] = "/dev/shm"
    pin: Mapping[str, Annotated[int, Field(ge=0, le=4_095)]] = {}
    idle: Mapping[str, Literal["spin", "yield", "park"]] = {}
    nice: Mapping[str, Annotated[int, Field(ge=-20, le=19)]] = {}
    lock_memory: bool = False
    keep_cores_awake: bool = False
    keep_warm_ms: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    native: bool = True
    ring_cells: Annotated[int, Field(ge=16, le=1 << 20)] = 4_096
    event_queue_kib: Annotated[int, Field(ge=64, le=1 << 20)] = 4_096
    heartbeat_timeout_ms: Milliseconds = 5_000
    shutdown_timeout_s: Annotated[float, Field(gt=0, le=600)] = 15.0
    on_shutdown: Literal["keep", "flatten"] = "keep"

    @field_validator("pin", "idle", "nice")
    @classmethod
    def _known_processes(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        allowed = {*PROCESSES, "supervisor", *(f"feed-{venue}" for venue in KNOWN_VENUES)}
        unknown = sorted(set(value) - allowed)
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no process; allowed are {', '.join(sorted(allowed))}")
        return value

    @field_validator("ring_cells", "event_queue_kib")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"must be a power of two, for example {1 << value.bit_length()}")
        return value


class SimulatorSettings(Section):
    """The venues of mode sim."""

    ports: Mapping[str, Port] = {"vest": 8701, "paradex": 8702, "hyperliquid": 8703}
    source: Literal["recorded", "synthetic"] = "recorded"
    seed: Annotated[int, Field(ge=0)] = 7
    speed: Annotated[float, Field(gt=0, le=100)] = 1.0
    start_s: Annotated[float, Field(ge=0)] = 0.0
    taker_fee_bps: PositiveBps = 0.1
    ack_latency_ms: Annotated[float, Field(ge=0, le=60_000)] = 3.0
    collateral_quote_e8: Annotated[DecimalE8, Field(alias="collateral_quote")] = 100_000 * E8
    faults: tuple[str, ...] = ()  # fault scripts as ``python -m simulator --fault`` takes them

    # "venue:SYMBOL" of contracts that cost what their venues publish; all others cost taker_fee_bps.
    published_fees: tuple[str, ...] = ()

    _as_tuple = field_validator("faults", "published_fees", mode="before")(_list_as_tuple)

    @field_validator("ports")
    @classmethod
    def _a_port_each(cls, value: Mapping[str, int]) -> Mapping[str, int]:
        """Whoever is not given a port gets one that follows from those given: always the same.

        Above those the system hands out itself, a neighbour may be anybody's by now: there it is one
        far below.
        """
        _only_known_venues(value)
        ports = dict(value)
        for venue in KNOWN_VENUES:
            if venue not in ports:
                highest = max(ports.values(), default=8_700)
                ports[venue] = highest + 1 if highest < 20_000 else 20_000 + highest % 10_000
                while list(ports.values()).count(ports[venue]) > 1:
                    ports[venue] += 1
        return ports


class PaperVenueSettings(Section):
    """One virtual venue of mode paper. Its taker fee is ``venues.<name>.taker_fee_bps``."""

    latency_ms: Annotated[float, Field(ge=0, le=60_000)] = 20.0
    jitter_ms: Annotated[float, Field(ge=0, le=60_000)] = 10.0
    slippage_bps: Annotated[float, Field(ge=0, le=1_000)] = 0.5
    balance_quote_e8: Annotated[DecimalE8, Field(alias="balance_quote", gt=0)] = 10_000 * E8
    leverage_max: Annotated[int, Field(ge=1, le=100)] = 5


class PaperSettings(Section):
    """Mode paper: how orders that are never sent would have fared."""

    seed: Annotated[int, Field(ge=0)] = 7
    max_price_age_ms: Milliseconds = 3_000
    venues: Mapping[str, PaperVenueSettings] = {venue: PaperVenueSettings() for venue in KNOWN_VENUES}

    @field_validator("venues")
    @classmethod
    def _every_venue(cls, value: Mapping[str, PaperVenueSettings]) -> Mapping[str, PaperVenueSettings]:
        _only_known_venues(value)
        return {venue: value.get(venue) or PaperVenueSettings() for venue in KNOWN_VENUES}


# A name to look up, never the secret itself: a value of another shape is refused without being shown.
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
ALERT_KINDS = (
    *("naked", "halted", "doubt", "unexplained", "disagreement", "loss", "breaker", "kill", "paused"),
    *("crash", "restarts", "supervisor", "stall", "venue", "database", "journal", "lease", "error", "life"),
)


class TelegramSettings(Section):
    """A bot that writes into a chat."""

    token_env: EnvironmentName
    chat_id: Annotated[str, Field(pattern=r"^(-?\d{1,32}|@[A-Za-z][A-Za-z0-9_]{1,63})$")]
    api_url: str = "https://api.telegram.org"

    _secure = field_validator("api_url")(require_secure_url)


class MailSettings(Section):
    """A mail server that takes our messages. Without ``user`` it is not logged in to."""

    server: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[str, Field(pattern=r"^[^@\s<>,]+@[^@\s<>,]+$")]
    to: tuple[Annotated[str, Field(pattern=r"^[^@\s<>,]+@[^@\s<>,]+$")], ...]
    user: str = ""
    password_env: EnvironmentName | None = None

    _as_tuple = field_validator("to", mode="before")(_list_as_tuple)

    @model_validator(mode="after")
    def _relations(self) -> Self:
        if not self.to:
            raise ValueError("to must name at least one address")
        if bool(self.user) != bool(self.password_env):
            raise ValueError("user and password_env belong together")
        if self.security == "none" and not re.match(_LOOPBACK, self.server):
            raise ValueError("security none is for a mail server on this machine; use starttls or tls")
        return self


class AlertsSettings(Section):
    """Where alerts go. Nothing is sent unless a target is named."""

    telegram: TelegramSettings | None = None
    discord_env: EnvironmentName | None = None
    webhook_env: EnvironmentName | None = None
    mail: MailSettings | None = None
    on: tuple[str, ...] = ALERT_KINDS
    min_severity: Literal["info", "warning", "critical"] = "warning"
    repeat_s: Annotated[float, Field(ge=0, le=604_800)] = 900.0
    remind_s: Annotated[float, Field(ge=0, le=604_800)] = 21_600.0
    max_per_minute: Annotated[int, Field(ge=1, le=600)] = 20
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 200
    naked_ms: Milliseconds = 3_000
    stall_s: Annotated[float, Field(ge=0, le=3_600)] = 10.0
    venue_lost_s: Annotated[float, Field(ge=0, le=3_600)] = 10.0
    doubt_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    database_away_s: Annotated[float, Field(ge=0, le=86_400)] = 10.0

    _as_tuple = field_validator("on", mode="before")(_list_as_tuple)

    @field_validator("on")
    @classmethod
    def _known_kinds(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(ALERT_KINDS))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no kind of alert; known are {', '.join(ALERT_KINDS)}")
        return value

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Environment variables that the configured targets need."""
        named = (
            self.telegram and self.telegram.token_env,
            self.discord_env,
            self.webhook_env,
            self.mail and self.mail.password_env,
        )
        return tuple(name for name in named if name)

    @property
    def has_target(self) -> bool:
        return any((self.telegram, self.discord_env, self.webhook_env, self.mail))


class LiveQuoteRate(Section):
    """An instrument whose price is the rate between two quote currencies."""

    venue: str
    symbol: Annotated[str, Field(min_length=1)]
    inverse: bool = False  # its price is the rate the other way round
    max_age_ms: Milliseconds = 60_000  # an older one opens nothing
    max_off_par_bps: PositiveBps = 500  # nor does one further from one for one

    @property
    def leg(self) -> Leg:
        return Leg(self.venue, self.symbol)


def _par_or_live(value: object) -> object:
    if value != "par" and not isinstance(value, (dict, LiveQuoteRate)):
        raise ValueError(
            "must be par, or an instrument whose price it is: {venue: paradex, symbol: USDC-USD-PERP}"
        )
    return LiveQuoteRate.model_validate(value) if isinstance(value, dict) else value


class Settings(Section):
    """The whole configuration, resolved."""

    version: Literal[1]
    mode: Literal["sim", "paper", "live"]
    bot_id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,15}$")]
    venues: Mapping[str, VenueSettings] = {}
    pairs: tuple[PairSettings, ...]
    quote: Mapping[
        QuoteRateName, Annotated[Literal["par"] | LiveQuoteRate, BeforeValidator(_par_or_live)]
    ] = {}
    execution: ExecutionSettings = ExecutionSettings()
    risk: RiskSettings
    persistence: PersistenceSettings = PersistenceSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    simulator: SimulatorSettings = SimulatorSettings()
    paper: PaperSettings = PaperSettings()
    alerts: AlertsSettings = AlertsSettings()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _as_tuple = field_validator("pairs", mode="before")(_list_as_tuple)

    _known_venues = field_validator("venues")(_only_known_venues)

    @field_validator("pairs")
    @classmethod
    def _distinct(cls, value: tuple[PairSettings, ...]) -> tuple[PairSettings, ...]:
        if not 1 <= len(value) <= 64:  # six bits of a client order id name the pair
            raise ValueError(f"must be 1 to 64 pairs, not {len(value)}")
        seen: dict[object, str] = {}
        for pair in value:
            if pair.id in seen:
                raise ValueError(f"two pairs have the id {pair.id!r}; ids must differ")
            for leg in pair.legs:
                if leg in seen:
                    raise ValueError(
                        f"{leg.venue}:{leg.symbol} is a leg of both {seen[leg]!r} and {pair.id!r}"
                    )
                seen[leg] = pair.id
            seen[pair.id] = pair.id
        return value

    @model_validator(mode="after")
    def _margins_are_read_in_time(self) -> Settings:
        interval_s, age_s = self.execution.reconcile_interval_s, self.risk.max_margin_age_s
        if interval_s >= age_s:
            raise ValueError(
                f"risk.max_margin_age_s {age_s:g} must be above execution.reconcile_interval_s "
                f"{interval_s:g}: margins are read that often, and an older one opens nothing"
            )
        return self

    @model_validator(mode="after")
    def _rates_can_be_had(self) -> Settings:
        legs = {leg: pair.id for pair in self.pairs for leg in pair.legs}
        seen: dict[frozenset[str], str] = {}
        for name, rate in self.quote.items():
            currencies = frozenset(name.split("_per_"))
            if len(currencies) < 2 or currencies in seen:
                other = seen.get(currencies, "one currency alone")
                raise ValueError(f"quote.{name} says what {other} says: leave one of them")
            seen[currencies] = f"quote.{name}"
            if rate == "par":
                continue
            if rate.venue not in self.venue_names:
                raise ValueError(
                    f"quote.{name}.venue {rate.venue!r} is no venue of the pairs; one of them is watched "
                    f"for it: {', '.join(self.venue_names)}"
                )
            if rate.leg in legs:
                raise ValueError(
                    f"quote.{name}: {rate.venue}:{rate.symbol} is a leg of {legs[rate.leg]!r}, too"
                )
        if len({leg for _, leg in self._live_legs}) < len(self._live_legs):
            raise ValueError("quote: two rates are the price of one instrument; leave one of them")
        return self

    def rate_name(self, first: str, second: str) -> str:
        """Under which name of ``quote`` two currencies are compared; empty where they are not."""
        one, other = first.lower(), second.lower()
        names = (f"{one}_per_{other}", f"{other}_per_{one}")
        return next((name for name in names if name in self.quote), "")

    def compares(self, first: str, second: str) -> bool:
        """Whether prices in two quote currencies may be compared: the same, at par, or by a live rate."""
        return first.lower() == second.lower() or bool(self.rate_name(first, second))

    @property
    def _live_legs(self) -> tuple[tuple[str, Leg], ...]:
        return tuple((name, rate.leg) for name, rate in self.quote.items() if rate != "par")

    @property
    def watched(self) -> tuple[Leg, ...]:
        """Everything the feeds watch, in order of its instrument_id: legs, then rates' instruments."""
        return (*self.legs, *(leg for _, leg in self._live_legs))

    def rate_instrument_id(self, name: str) -> int:
        """Of the live rate of this name."""
        names = [live for live, _ in self._live_legs]
        return len(self.legs) + names.index(name)

    def watched_ids(self, venue: str) -> dict[str, int]:
        """Symbol -> instrument_id of everything watched on one venue."""
        return {leg.symbol: number for number, leg in enumerate(self.watched) if leg.venue == venue}

    @property
    def venue_names(self) -> tuple[str, ...]:
        """Venues that the pairs use, sorted."""
        return tuple(sorted({leg.venue for pair in self.pairs for leg in pair.legs}))

    @property
    def legs(self) -> tuple[Leg, ...]:
        """Every leg in order of its instrument_id: pair i has instruments 2i and 2i + 1."""
        return tuple(leg for pair in self.pairs for leg in pair.legs)

    def instrument_ids(self, venue: str) -> dict[str, int]:
        """Symbol -> instrument_id of one venue's legs."""
        return {leg.symbol: number for number, leg in enumerate(self.legs) if leg.venue == venue}

    def venue(self, name: str) -> VenueSettings:
        return self.venues.get(name) or VenueSettings()

    def idle_strategy(self, process: str) -> str:
        """spin, yield or park. ``feed`` speaks for every feed that is not named itself."""
        idle = self.runtime.idle
        return idle.get(process) or idle.get(process.partition("-")[0]) or "park"

    def pinned_core(self, process: str) -> int | None:
        pin = self.runtime.pin
        return pin.get(process, pin.get(process.partition("-")[0]))

    def nice_value(self, process: str) -> int | None:
        nice = self.runtime.nice
        kind = process.partition("-")[0]
        return nice.get(process, nice.get(kind, _PATIENT.get(kind)))


def load_raw(path: Path) -> Any:
    """Parse a configuration file, not yet validated. Raises SettingsError naming what cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem("", "", f"{path} is not UTF-8 (line {line}): save it as UTF-8")
        raise SettingsError(str(path), [problem]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problem = Problem("", "", f"{path} cannot be read ({reason}); give another with --config FILE")
        raise SettingsError(str(path), [problem]) from error
    try:
        return read_yaml(text)
    except YamlError as error:
        raise SettingsError(str(path), [Problem("", "", f"{path}: {error}")]) from None


def parse_settings(raw: object, source: str) -> Settings:
    """Validate an already parsed configuration: a mapping of sections."""
    if not isinstance(raw, dict):
        raise SettingsError(
            source, [Problem("", "", "must be a mapping of sections; see the shipped config.yaml")]
        )
    try:
        return Settings.model_validate(with_strategy_defaults(raw))
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
        problems += [item for item in _relation_problems(raw) if item.key not in {it.key for it in problems}]
        raise SettingsError(source, problems) from None


def with_strategy_defaults(raw: dict[str, Any]) -> dict[str, Any]:
    """Give each pair the shared ``strategy`` section, overridden by the pair's own."""
    shared = raw.get("strategy") or {}
    pairs = raw.get("pairs")
    if not isinstance(shared, dict) or not isinstance(pairs, list):
        return raw
    merged = [
        {**pair, "strategy": {**shared, **own}}
        if isinstance(pair, dict) and isinstance(own := pair.get("strategy") or {}, dict)
        else pair
        for pair in pairs
    ]
    return {key: value for key, value in raw.items() if key != "strategy"} | {"pairs": merged}


def _relation_problems(raw: dict[str, Any]) -> list[Problem]:
    """What is wrong between the values of a strategy of which some value alone is wrong, too."""
    pairs = with_strategy_defaults(raw).get("pairs")
    return [
        Problem(f"pairs[{number}].strategy", "", text)
        for number, pair in enumerate(pairs if isinstance(pairs, list) else [])
        if isinstance(pair, dict) and isinstance(strategy := pair.get("strategy"), dict)
        for text in strategy_relations(strategy)
    ]


def _problem(item: Any) -> Problem:
    """One pydantic error as our sentence: key, value, what is allowed."""
    key = ""
    for part in item["loc"]:
        key += f"[{part}]" if isinstance(part, int) else f".{part}" if key else str(part)
    kind, message, value = item["type"], item["msg"], item.get("input")
    if kind == "extra_forbidden":
        return Problem(key, "", "unknown key; remove it or correct its spelling")
    if kind == "missing":
        return Problem(key, "", "is missing and has no default")
    shown = "" if isinstance(value, (dict, list, tuple, BaseModel)) else _without_password(repr(value))[:80]
    if key.endswith("_env"):  # a secret written there by mistake must not be logged
        return Problem(key, "", "must be the NAME of an environment variable, such as TANDEM_WEBHOOK")
    if isinstance(value, float) and not math.isfinite(value):
        message = "must be a finite number"
    elif kind == "string_type" and not isinstance(value, (dict, list)):
        message = "must be text, and is read as something else: write it in quotes"
    elif kind == "bool_type":
        message = "must be true or false"
    elif kind in ("float_type", "int_type") and isinstance(value, str):
        message = "must be a number such as 1500: no quotes, leading zeros, colons, underscores or units"
    return Problem(key, shown, message.removeprefix("Value error, "))


def _without_password(text: str) -> str:
    """A URL is shown without what stands before the last @ of its authority."""
    return re.sub(r"://[^/\s]*@", "://***@", text)


def read_secrets(names: tuple[str, ...], env_file: Path | None = None) -> dict[str, str]:
    """Secrets by name from the environment, else from ``.env``; absent ones are left out.

    Call it only in the process that needs them. Values go nowhere else: children are started
    with the names removed from their environment. Raises SettingsError where the file cannot be used.
    """
    path = env_file or PROJECT / ".env"
    try:
        return find_secrets(names, path)
    except EnvFileError as error:
        raise SettingsError(str(path), [Problem("--env-file", "", f"{path} {error}")]) from None
