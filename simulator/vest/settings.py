"""Settings of the simulated Vest."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.front import FrontSettings

# Contract of the development deployment, part of what a registration proof signs: a proof made for
# the simulator must be worthless in production.
# Source: Vest v2 API documentation, "Register", read late 2025.
DEVELOPMENT_CONTRACT = "0x8E4D87AEf4AC4D5415C35A12319013e34223825B"


@dataclass(frozen=True, slots=True, kw_only=True)
class VestSettings(FrontSettings):
    """Defaults follow the public documentation; where it is silent, the comment says so."""

    verifying_contract: str = DEVELOPMENT_CONTRACT
    network_type: int = 0  # 0 on production; clients of the development host send 1
    account_group: int = 0  # given to every account that registers
    account_groups: frozenset[int] = frozenset(range(10))  # the shards that exist
    strict_padding: bool = True  # size and price text exactly padded; the real tolerance is unknown
    detail_errors: bool = True  # {"detail": {"code", "msg"}}, as live clients parse; False: flat
    binary_frames: bool = True  # JSON in binary WebSocket frames, as the live service sends it
    listen_key_life_s: int = 3_600
    recv_window_ms: int = 5_000  # when the request names none
    # Per hour; 10.95 % a year, the class of crypto contracts (documentation, "Funding"). The venue's
    # own moves with a premium this simulator does not have.
    funding_rate_e12: int = 12_500_000
    # Push rates of v2 are unmeasured; these are ours.
    depth_levels: int = 20
    depth_interval_ms: int = 50  # a change is pushed at once, but no sooner than this after the last
    depth_refresh_ms: int = 250  # pushed again by then even if nothing changed
    ticker_interval_ms: int = 1_000
