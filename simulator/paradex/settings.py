"""Settings of the simulated Paradex, and its ``GET /system/config``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from simulator.front import FrontSettings
from simulator.paradex.signing import Verification

SystemStatus = Literal["ok", "maintenance", "cancel_only", "post_only"]

SBE_VERSIONS: Final = (1, 2, 3)
FUNDING_PERIOD_S: Final = 8 * 3600
# Class hashes of the venue's test network: account addresses follow from them.
PROXY_CLASS_HASH: Final = 0x3530CC4759D78042F1B543BF797F5F3D647CDE0388C33734CF91B7F7B9314A9
ACCOUNT_CLASS_HASH: Final = 0x41CB0280EBADAA75F996D8D92C6F265F6D040BB3BA442E5F86A554F1765244E


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """The venue's published budgets as (calls, seconds); every pair of a group must have room."""

    public_rest: tuple[tuple[int, int], ...] = ((1500, 60),)  # per address
    onboarding: tuple[tuple[int, int], ...] = ((600, 60),)  # per address
    auth: tuple[tuple[int, int], ...] = ((600, 60),)  # per address
    orders: tuple[tuple[int, int], ...] = ((800, 1), (17_250, 60))  # per account, REST and WebSocket
    private_get: tuple[tuple[int, int], ...] = ((120, 1), (600, 60))  # per account
    private_rest: tuple[tuple[int, int], ...] = ((1500, 60),)  # per address
    connects: tuple[tuple[int, int], ...] = ((20, 1), (600, 60))  # per address


@dataclass(frozen=True, slots=True, kw_only=True)
class ParadexSettings(FrontSettings):
    """Everything that can differ between two runs of the simulated Paradex."""

    ack_latency_ms: float = 3.0  # the venue answers creates of API clients within 2 to 5 ms
    chain_id: str = "PRIVATE_SN_POTC_SEPOLIA"
    verification: Verification = Verification.ALL
    subkeys: dict[int, int] = field(default_factory=dict)  # subkey's public key -> main account
    token_life_s: int = 300
    retail_delay_ms: float = 300.0  # speed bump on create and cancel of tokens asked as interactive
    signature_skew_ms: int = 1_000  # how far ahead of the venue a signature's time may be
    batch_max: int = 10
    rate_limits: RateLimits = field(default_factory=RateLimits)
    takes_replays: bool = False  # a signed order sent again within its window is another order
    require_sbe: bool = False  # the live service answers 400 to a socket that asks for JSON
    sbe_versions: tuple[int, ...] = SBE_VERSIONS  # any other is answered with 400
    sbe_private: bool = False  # encode orders, fills, positions, account in SBE on SBE sockets
    book_levels: int = 50  # per side, what the deltas feed shows
    delta_interval_ms: float = 50.0  # longest a change below the top of book waits for its delta
    summary_interval_ms: float = 1_000.0
    funding_rate_e12: int = 100_000_000  # of the mark per 8 hours; positive: longs pay
    heartbeat_idle_s: float = 20.0
    ping_interval_s: float = 55.0
    pong_timeout_s: float = 5.0
    undelivered_max: int = 2_000  # messages a slow client may leave waiting


def system_config(chain_id: str) -> dict[str, Any]:
    """Body of ``GET /system/config``: every field the venue's own SDK insists on."""
    return {
        "starknet_gateway_url": "http://127.0.0.1/starknet-gateway",
        "starknet_fullnode_rpc_url": "http://127.0.0.1/starknet-rpc",
        "starknet_fullnode_rpc_base_url": "http://127.0.0.1/starknet-rpc",
        "starknet_chain_id": chain_id,
        "block_explorer_url": "http://127.0.0.1/explorer",
        "paraclear_address": "0x286003f7c7bfc3f94e8f0af48b48302e7aee2fb13c23b141479ba00832ef2c6",
        "paraclear_decimals": 8,
        "paraclear_account_proxy_hash": hex(PROXY_CLASS_HASH),
        "paraclear_account_hash": hex(ACCOUNT_CLASS_HASH),
        "oracle_address": "0x2c6a867917ef858d6b193a0ff9e62b46d0dc760366920d631715d58baeaca1f",
        "bridged_tokens": [
            {
                "name": "USD Coin",
                "symbol": "USDC",
                "decimals": 6,
                "l1_token_address": "0x29a873159d5e14acbd63913d4a7e2df04570c666",
                "l1_bridge_address": "0x8e0d5d20bb33c22ca0c9e6e2ce4fd5a3e1d8f3a2",
                "l2_token_address": "0x6f373b346561036d98ea10fb3e60d2f459c872b1933b50b21fe6ef4fda3b75e",
                "l2_bridge_address": "0x46e9237f5408b5f899e72125dd69bd55485a287aaf24663d3ebe00d237fc7ef",
            }
        ],
        "l1_core_contract_address": "0x582cc5d9b509391232cd544cdf9da036e55833af",
        "l1_operator_address": "0x11bacdfbbcd3febe5e8ceac75e0ef8fdb6c2d0d6",
        "l1_chain_id": "11155111",
        "liquidation_fee": "0.01",
    }
