"""The instance: how it starts, what its processes do, how it ends"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from events.event import Event, Level, Text


class Starting(Event, frozen=True, kw_only=True):
    """the supervisor begins: version, mode, pairs, thresholds"""

    version: str
    mode: str
    config: Text
    memory: Text


class TakingOver(Event, frozen=True, kw_only=True):
    """an earlier instance was killed: what it left is taken in before anything is started"""

    LEVELS = ("warning",)
    processes: tuple[int, ...]
    killed: tuple[int, ...]
    events_kept: int
    detail: Text


class EpochNotKept(Event, frozen=True, kw_only=True):
    """the newest number of a process's incarnation is not on disk: the clock keeps numbers growing"""

    LEVELS = ("warning",)
    detail: Text


class ConfiguredPair(Struct, frozen=True, kw_only=True):
    """One pair as it is configured."""

    pair: str
    legs: tuple[str, str]
    size_base_e8: int
    entry_bps: float
    exit_bps: float
    layers: int = 1
    confirm_ticks: int = 1


class SettingsLoaded(Event, frozen=True, kw_only=True):
    """what was loaded: pairs, thresholds, pinning, waiting strategies, sizes"""

    mode: str
    version: str
    bot_id: str
    pairs: tuple[ConfiguredPair, ...]
    pin: Mapping[str, int]
    idle: Mapping[str, str]
    ring_cells: int
    http_connections: int
    on_shutdown: str
    paper: Mapping[str, Any] | None


class InstrumentLoaded(Event, frozen=True, kw_only=True):
    """one instrument's grid and fee as its venue publishes them"""

    instrument_id: int
    venue: str
    symbol: Text
    base: Text
    tick_e8: int
    lot_e8: int
    min_size_e8: int
    min_notional_e8: int
    max_size_e8: int
    price_decimals: int
    size_decimals: int
    taker_fee_bps: float
    is_trading: bool
    significant_figures: int | UnsetType = UNSET
    quote: str | UnsetType = UNSET
    is_delisted: bool | UnsetType = UNSET
    is_spot: bool | UnsetType = UNSET


class InstrumentChanged(Event, frozen=True, kw_only=True):
    """a venue changed what prices and sizes it takes: what was and what is; orders follow at once"""

    LEVELS = ("warning",)
    venue: str
    symbol: Text
    was: dict[str, int | None]
    now: dict[str, int | None]


class ProcessStarted(Event, frozen=True, kw_only=True):
    """a process runs its loop"""

    idle: str | UnsetType = UNSET
    venue: str | UnsetType = UNSET
    instruments: int | UnsetType = UNSET
    pairs: tuple[str, ...] | UnsetType = UNSET
    is_native: bool | UnsetType = UNSET
    restored: tuple[str, ...] | UnsetType = UNSET
    http_connections: int | UnsetType = UNSET
    kill_file: Text | UnsetType = UNSET
    pause_file: Text | UnsetType = UNSET
    targets: tuple[str, ...] | UnsetType = UNSET


class ProcessStateChanged(Event, frozen=True, kw_only=True, tag="process_state"):
    """the supervisor's view of a process changed"""

    LEVELS = ("info", "warning")
    process: str
    state: str
    was: str
    child_pid: int | UnsetType = UNSET
    boot_ms: float | UnsetType = UNSET
    exit_code: int | UnsetType | None = UNSET
    lived_s: float | UnsetType = UNSET
    retry_in_s: float | UnsetType = UNSET
    detail: Text | UnsetType = UNSET

    @property
    def level(self) -> Level:
        """A warning when the process is to be restarted or is given up."""
        return "warning" if self.state in ("backoff", "fatal") else "info"


class ProcessStderr(Event, frozen=True, kw_only=True):
    """a process wrote this to its standard error"""

    LEVELS = ("warning",)
    FLOOD_BY = ("process",)
    process: str
    detail: Text


class PinRefused(Event, frozen=True, kw_only=True):
    """the kernel did not allow a process on its core"""

    LEVELS = ("warning",)
    core: int
    detail: Text


class TuningRefused(Event, frozen=True, kw_only=True):
    """the kernel did not allow what is configured for speed; which, and what would allow it"""

    LEVELS = ("warning",)
    what: str
    wanted: bool | int
    detail: Text


class NativeAbsent(Event, frozen=True, kw_only=True):
    """a compiled part cannot be used, and its Python twin serves; why, and what would mend it"""

    LEVELS = ("warning",)
    part: str
    detail: Text


class NotifyRefused(Event, frozen=True, kw_only=True):
    """the service manager's socket does not take what it is sent"""

    LEVELS = ("warning",)
    detail: Text


class Running(Event, frozen=True, kw_only=True):
    """everything is up: trading may begin"""

    mode: str
    detail: Text


class SecretsExposed(Event, frozen=True, kw_only=True):
    """another user of this machine can read the file of secrets; mode live refuses to start"""

    LEVELS = ("warning",)
    file: Text
    detail: Text


class CostsAboveThresholds(Event, frozen=True, kw_only=True):
    """a round trip of this pair costs more than its thresholds earn, by the venues' fees"""

    LEVELS = ("warning",)
    pair: str
    fees_bps: float
    slippage_bps: float
    entry_bps: float
    exit_bps: float
    detail: Text


class ConfigError(Event, frozen=True, kw_only=True):
    """the configuration or the environment does not allow a start; says the remedy"""

    LEVELS = ("error",)
    key: Text | UnsetType = UNSET
    value: Text | UnsetType = UNSET
    detail: Text


class ShutdownStarted(Event, frozen=True, kw_only=True):
    """a stop was asked for; what happens next"""

    patience_s: float
    on_shutdown: str
    detail: Text


class ShutdownStep(Event, frozen=True, kw_only=True):
    """one step of the shutdown is done"""

    LEVELS = ("info", "warning", "error")
    step: str | UnsetType = UNSET
    process: str | UnsetType = UNSET
    exit_code: int | UnsetType | None = UNSET
    cancelled: Mapping[str, int] | UnsetType = UNSET
    foreign_orders: int | UnsetType = UNSET
    positions_e8: Mapping[str, int] | UnsetType = UNSET
    unanswered: tuple[str, ...] | UnsetType = UNSET
    unconfirmed: tuple[str, ...] | UnsetType = UNSET
    detail: Text

    @property
    def level(self) -> Level:
        """By what the step left undone: a process ended badly, an order was not confirmed."""
        if self.process is not UNSET:  # it did not end in order, or was killed
            return "warning" if self.exit_code is UNSET else "error"
        return "warning" if self.unanswered or self.unconfirmed else "info"


class ProcessesStopped(Event, frozen=True, kw_only=True):
    """every process but persistence has ended; with which exit code the run will end"""

    exit_code: int


class ShutdownDone(Event, frozen=True, kw_only=True):
    """nothing is left running; what remains open, and what the venues did not confirm"""

    LEVELS = ("info", "error")
    exit_code: int
    unconfirmed: tuple[str, ...] = ()
    detail: Text

    @property
    def level(self) -> Level:
        """An error unless the run ended with exit code 0."""
        return "error" if self.exit_code else "info"


class ProcessStopped(Event, frozen=True, kw_only=True):
    """a process ended its loop"""

    venue: str | UnsetType = UNSET
    journalled: int | UnsetType = UNSET
    stored: int | UnsetType = UNSET


class PairSuspended(Event, frozen=True, kw_only=True):
    """its contracts do not fit its settings and something may be held: it opens nothing, exits go on"""

    LEVELS = ("error",)
    pair: str
    detail: Text
