"""The keys the clients trade with: made up, worthless, one per client so that none sees another's orders.

The venue knows the subkey beforehand, as a venue does whose owner registered it in the web interface.
"""

from __future__ import annotations

BASE_KEY = 0x1234567890ABCDEF1234567890ABCDEF
MAIN_KEY = BASE_KEY + 0x100  # the account that ParadexL2 trades and the subkey is registered under
SUBKEY = BASE_KEY + 0x101
L1_KEY = "0x" + "11" * 32
CCXT_L1_KEY = "0x" + "22" * 32
L1_ADDRESS = "0x1111111111111111111111111111111111111111"
HYPERLIQUID_KEY = "0x" + "33" * 32
HYPERLIQUID_AGENT_KEY = "0x" + "44" * 32
CCXT_HYPERLIQUID_KEY = "0x" + "55" * 32
MINIMAL_HYPERLIQUID_KEY = "0x" + "66" * 32
MINIMAL_HYPERLIQUID_AGENT_KEY = "0x" + "77" * 32
