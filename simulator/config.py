"""Configuration of one run of the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from simulator.fault_scripts import AnyScript
from simulator.front import FrontSettings
from simulator.market import MarketSource, Together
from simulator.orders import SimInstrument
from simulator.recorded import SHIPPED, RecordedMarket
from simulator.synthetic import EVERYWHERE, UNRECORDED, QuietMarket, SyntheticMarket
from venues.contract import E8

SettingsT = TypeVar("SettingsT", bound=FrontSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """All venues at once. None leaves a venue's own published or documented value."""

    host: str = "127.0.0.1"
    venues: tuple[str, ...] = ()  # those to serve; empty: all
    ports: Mapping[str, int] = field(default_factory=dict)  # by venue; absent or 0: the system chooses
    source: Literal["recorded", "synthetic"] = "recorded"
    seed: int = 1  # of the synthetic market
    speed: float = 1.0  # times market time
    start_s: float = 0.0  # where the recording begins
    taker_fee_bps: float | None = None
    maker_fee_bps: float | None = None
    published_fees: frozenset[str] = frozenset()  # "venue:SYMBOL": what its venue publishes all the same
    ack_latency_ms: float | None = None
    execution_latency_ms: float | None = None
    collateral_e8: int = 100_000 * E8  # of every account that registers
    faults: tuple[AnyScript, ...] = ()  # begin once all venues answer

    def market(self) -> MarketSource:
        """The market of this run, from its beginning. Raises RecordingDamaged."""
        if self.source == "synthetic":
            return Together(SyntheticMarket(self.seed, coins=EVERYWHERE), QuietMarket())
        tracks = tuple(track for track in SHIPPED if self.serves(track.venue))
        recorded = RecordedMarket(tracks, start_s=self.start_s)
        recorded.check()
        return Together(recorded, SyntheticMarket(self.seed, coins=UNRECORDED), QuietMarket())

    def serves(self, venue: str) -> bool:
        return not self.venues or venue in self.venues

    def instrument(self, venue: str, listed: SimInstrument) -> SimInstrument:
        """A contract with the fees of this run."""
        if f"{venue}:{listed.symbol}" in self.published_fees:
            return listed
        return replace(
            listed,
            taker_fee_bps=listed.taker_fee_bps if self.taker_fee_bps is None else self.taker_fee_bps,
            maker_fee_bps=listed.maker_fee_bps if self.maker_fee_bps is None else self.maker_fee_bps,
        )

    def front(self, settings: SettingsT) -> SettingsT:
        """A front's settings with the latencies and the collateral of this run."""
        ack_ms, execution_ms = self.ack_latency_ms, self.execution_latency_ms
        return replace(
            settings,
            starting_collateral_e8=self.collateral_e8,
            ack_latency_ms=settings.ack_latency_ms if ack_ms is None else ack_ms,
            execution_latency_ms=settings.execution_latency_ms if execution_ms is None else execution_ms,
        )
