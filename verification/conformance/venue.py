"""The venues the clients are let loose on: simulated, on ports of the system's choice.

``hyperliquid`` is one on which every account has traded enough for a dead man's switch.

``json`` serves JSON and SBE, as the venue did until 21 September 2026; ``sbe`` refuses sockets that do
not ask for SBE and encodes the private channels too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fast_stark_crypto import get_public_key

from simulator.config import SimulatorConfig
from simulator.hyperliquid import HyperliquidSettings
from simulator.paradex.session import address_of
from simulator.paradex.settings import ParadexSettings
from simulator.process import RunningSimulator, serve
from venues.contract import E8
from verification.conformance.clients.accounts import MAIN_KEY, SUBKEY


@asynccontextmanager
async def simulated_venues() -> AsyncIterator[dict[str, str]]:
    """Serve all; yields their base URLs by name."""
    subkeys = {get_public_key(SUBKEY): address_of(get_public_key(MAIN_KEY))}
    # The clients sign a batch within one millisecond: orders that are alike then share one hash.
    settings = {
        "json": ParadexSettings(takes_replays=True, subkeys=subkeys),
        "sbe": ParadexSettings(takes_replays=True, subkeys=subkeys, require_sbe=True, sbe_private=True),
    }
    async with AsyncExitStack() as stack:
        urls = {}
        for name, front_settings in settings.items():
            running: RunningSimulator = await serve(
                SimulatorConfig(venues=("paradex",), source="synthetic"), settings={"paradex": front_settings}
            )
            stack.push_async_callback(running.stop)
            urls[name] = f"http://{running.host}:{running.ports['paradex']}/v1"
        experienced = HyperliquidSettings(
            ack_latency_ms=20.0,
            starting_volume_e8=2_000_000 * E8,
            ip_weight_per_minute=100_000,  # every client comes from one address here
        )
        running = await serve(
            SimulatorConfig(venues=("hyperliquid",), source="synthetic"),
            settings={"hyperliquid": experienced},
        )
        stack.push_async_callback(running.stop)
        urls["hyperliquid"] = f"http://{running.host}:{running.ports['hyperliquid']}"
        yield urls
