"""Everything about Hyperliquid that no source settles, each open point named beside our choice.

Nothing here is proven against the live venue. When a point is settled, this is the file to change.
"Protocol notes" are the notes on Hyperliquid's wire protocol this package was written from; the numbers
are those of their list of open points where they have one.
"""

from __future__ import annotations

from typing import Final

from venues.contract import E8, RateLimit, ReadBudget

# Uncertain (1): whether the venue hashes the JSON as posted or what it parsed. We always send the
# canonical form (key order, numbers without trailing zeros, lower-case hex), which satisfies both.

# Uncertain (2): whether a refused action uses its nonce up. Assumed: yes once its signature was known.
# A noop that meets a used nonce therefore proves nothing by itself: the order is asked for again.

# Uncertain (4, 9): the last word about an IOC that filled in part ("filled" or "canceled"), and the order
# of post answer, order update and fills. Every permutation is taken; sizes come from answer and fills.

# Uncertain (5): a GTC order that fills in part at once is answered "filled", with a smaller size, and stays.

# Uncertain (7): the text for a passed expiresAfter is seen by one source.
EXPIRED_TEXT: Final = "Action already expired"

# Uncertain (10): an unknown coin is acknowledged and then silent. A subscription that brings no data for
# so long is named and asked for again.
SUBSCRIPTION_TIMEOUT_NS: Final = 10 * 1_000_000_000

# Uncertain (11): 10, 15 or 100 connections an address. We hold two.

# Uncertain: the venue hangs up after 60 s without a push or a pong. Documented clients ping every 50 s;
# one source says that acknowledgements do not count.
PING_INTERVAL_NS: Final = 20 * 1_000_000_000

# Uncertain: a book whose time goes back comes from another server and is passed over [1 source]. By more
# than this it was not another server: the venue's clock was set, and the newest frame is believed.
TIME_BACK_NS_MAX: Final = 5 * 1_000_000_000

# Uncertain (15): the fee of the lowest tier is read from ``userFees`` of an account that does not trade; the
# documentation says 0.045 %. An account's own rate may be lower, and is shown by the doctor.
NOBODY: Final = "0x" + 40 * "0"

# Documented, and not among what ``meta`` says: ten dollars of value, whole closes excepted.
MIN_NOTIONAL_E8: Final = 10 * E8
SIGNIFICANT_FIGURES: Final = 5
MAX_DECIMALS: Final = 6  # of a perpetual's price, less the decimals of its sizes
MAX_SPOT_DECIMALS: Final = 8  # of a spot pair's price, less those of its base token

# Documented per IP: 1200 of weight a minute over HTTP and 2000 messages over sockets. One order weighs 1.
ORDER_LIMITS: Final[tuple[RateLimit, ...]] = (RateLimit(1_200, 60_000),)
# Reads share that weight. Documented: 2 for books, states, one order and the clock, 20 for whatever else we
# repeat. Each sum is of the dearest way its conversation can take.
READ_BUDGET: Final = ReadBudget(
    per_minute=1_200,
    open_orders=20,
    account=4,  # with one balance for everything the money is asked for besides
    positions=2,
    order=5,  # the order, an action with its nonce, the order once more
    instruments=40,  # listing and fees
    funding=20,
    status=2,
    server_time=2,
    warm=2,
    renewals_per_minute=61,  # budget, agents, listing; the dead man's switch
)
RETRY_AFTER_MS: Final = 1_000  # after a 429 without Retry-After

# Documented: beyond the address's budget about one action passes every ten seconds.
BUDGET_RETRY_AFTER_MS: Final = 10_000
# … and what is refused costs nothing. What mends a leg that stands alone is asked again this often, and is
# there when that one action passes. Not sooner: four tries last as long as the ten seconds, and a leg that
# the other venue can unwind at once is not waited for.
BUDGET_MENDS_AFTER_MS: Final = 3_000

# Uncertain: how long only post-only orders pass after an upgrade ("the first minutes").
POST_ONLY_RETRY_AFTER_MS: Final = 5_000

# Budget, agent and dead man's switch are looked at this often: together 60 of 1200 of weight a minute.
RENEW_MS: Final = 60_000

# Our own: the doctor warns so long before an agent ends, and below so many requests.
AGENT_WARNING_MS: Final = 14 * 86_400_000
REQUESTS_WARNING: Final = 1_000

# Two sources: ``scheduleCancel`` is refused below this volume, and may fire ten times a day.
SCHEDULE_CANCEL_VOLUME_E8: Final = 1_000_000 * E8
SCHEDULE_CANCEL_AFTER_MS: Final = 3 * RENEW_MS

# The way to the venue and its clock: an order stops being sendable this long before its expiresAfter, or
# when half of its validity is over, if that is less.
SEND_MARGIN_MS: Final = 500

# Uncertain: since when fills of an order are looked for, against clocks that differ between its servers.
FILLS_SINCE_MS: Final = 2_000
