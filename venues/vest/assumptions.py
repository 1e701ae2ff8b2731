"""Our assumptions about Vest v2: each point that its documentation leaves open, beside our choice.

Nothing here is proven against the live venue. When a doubt is settled, this is the file to change.
"Protocol notes" are the notes on Vest's wire protocol this package was written from.
"""

from __future__ import annotations

from typing import Final

from venues.contract import RateLimit

# Doubt: no list of network types is published. Every client seen sends 0 on production; one sends
# 1 on development. Protocol notes, section 3.2.
NETWORK_TYPE: Final = 0

# Doubt: no maximum for a signing key's life is documented. Four clients use seven days; the API
# key's own lifetime is unknown and assumed to end with it. Protocol notes, section 3.2.
REGISTRATION_VALID_MS: Final = 7 * 24 * 3_600_000

# Register again when less than this is left: the last day of seven, so that a week-long run
# never meets the end of its key even if renewal fails for hours.
REGISTRATION_RENEW_BEFORE_MS: Final = 24 * 3_600_000

# A listen key is documented to live 60 minutes; clients renew every 30 to 45. Section 6.2.
LISTEN_KEY_RENEW_MS: Final = 30 * 60_000

# Doubt: the server's idle limit is unknown. Clients ping every 15 to 30 s; the shortest is the
# safest and costs nothing. Section 8.
PING_INTERVAL_NS: Final = 15 * 1_000_000_000

# Doubt: IOC is not a documented time in force (only GTC and FOK are), and a client that sent it on
# LIMIT orders would not show whether it was honoured. A MARKET order with a limit price, the worst
# acceptable one, takes what is there within the limit and cancels the rest: the same promise, and
# live-proven. timeInForce is then left out: it is documented for LIMIT alone. Section 5.1.
IOC_ORDER_TYPE: Final = "MARKET"

# Doubt: whether text must be padded to exactly sizeDecimals/priceDecimals, or may only not exceed
# them, is not documented. We always pad, which satisfies both readings. Section 2.

# Doubt: the order of arrival of orders dated in our past is bounded by recvWindow, but how far a
# venue clock ahead of ours eats into it is unknown. An order stops being sendable this long before
# its window ends, or half of a window that is shorter than twice this.
SEND_MARGIN_MS: Final = 500

# Doubt: no rate limit figures are published, and Retry-After only "may" accompany a 429. Without
# the header we wait this long. Sections 2 and 10.
RETRY_AFTER_MS: Final = 1_000
ORDER_LIMITS: Final[tuple[RateLimit, ...]] = ()

# Doubt: the documentation's sample spells this "websocketserver"; every working client uses the
# name below. Section 9.
ROUTING_PARAMETER: Final = "xwebsocketserver"

# Doubt: "tradingStatus" is sent by the live service but documented nowhere. A row without it is
# taken as trading: an order on a halted market is refused by code 1148. Section 7.
TRADING_STATUS_WHEN_ABSENT: Final = "TRADING"

# Doubt: price step is deduced from priceDecimals and size step and minimum from sizeDecimals; no
# maximum size or minimum notional is documented. Sections 5.1 and 7.
MAX_SIZE_E8: Final = 0
MIN_NOTIONAL_E8: Final = 0

# Doubt: of all filters of GET /orders only "id" and "time" are known to work live. We send the
# documented ones and filter the rows again ourselves. Section 5.3.
ORDERS_PAGE_ROWS: Final = 1_000

# Doubt: the meaning of "withdrawable" is not documented; it is the nearest thing to margin
# available for new orders that GET /account reports, and is what ``Account.free_e8`` holds. Section 6.1.

# Doubt: FILLED is taken to mean the whole size, for MARKET orders too; a MARKET order that ends
# part-filled is expected as CANCELLED, which has no filled size. Sections 5.3 and 9.

# Doubt: whether PARTIALLY_FILLED is sent at all, and with which members, is not documented; it is
# read like FILLED. Its "lastFilledSize" is one execution, so the sum so far stays untold. Section 9.

# Doubt: executions have no id of their own. Ours is made of the order, the time, the amounts and the
# fees so far, so that a repeated report of one execution is recognised. Section 9.

# Doubt: the depth of a v2 snapshot is unmeasured, v3 sends 20 to 40 levels. Best first is
# documented for REST and seen on v3; a snapshot in another order is refused, not sorted. Section 8.

# Doubt: a subscription the server dislikes (equity depth, December 2025) has blocked the other
# channels of the same request. Every channel therefore travels in a request of its own. Section 8.

# Doubt: payloads of 2024 were Brotli-compressed; none has been seen since. Such a frame is refused
# as not being JSON. Section 8.
