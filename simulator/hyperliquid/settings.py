"""What the simulated Hyperliquid can be told."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.front import FrontSettings
from venues.contract import E8


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperliquidSettings(FrontSettings):
    """Defaults follow the documentation; where it is silent, the comment says so.

    Whatever arrives within ``ack_latency_ms`` of the first is one block, and is executed and answered with
    it: first actions that take nothing, then cancels, then those that may take.
    """

    ack_latency_ms: float = 100.0
    is_mainnet: bool = False  # which network's signatures are taken; clients sign for the testnet on loopback
    # On the live venue an address exists once it has received something. Here one does that is asked about
    # (its account, not its role), as if somebody had just deposited for it.
    opens_accounts: bool = True
    book_interval_ms: float = 500.0  # between two whole books
    sends_greeting: bool = False  # some servers begin with a line that is no JSON
    idle_close_s: float = 60.0  # a connection to which nothing was pushed for so long is closed
    funding_rate_e12: int = 12_500_000  # per hour and unit of value; positive: longs pay
    request_budget: int = 10_000  # of every address, and one more for each USDC traded
    starting_volume_e8: int = 0  # what an account has traded before: a million allows scheduleCancel
    schedule_cancel_volume_e8: int = 1_000_000 * E8
    ip_weight_per_minute: int = 1_200
    nonces_kept: int = 100
