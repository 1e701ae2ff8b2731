"""The texts by which Hyperliquid refuses, and how an answer of each kind looks.

Source: the venue's documentation, "Error responses", and texts recorded by several clients in 2025 and 2026.
"""

from __future__ import annotations

from typing import Any, Final

from simulator.orders import Reason, SimOrder, SimOrderStatus

DESERIALIZE: Final = "Failed to deserialize the JSON body into the target type"


class ActionRefused(Exception):
    """The whole action is refused, with HTTP 200."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    @property
    def body(self) -> dict[str, Any]:
        return {"status": "err", "response": self.text}


class NotParsed(Exception):
    """HTTP 422 with a plain text: a wrong type, a missing field, an unknown kind."""


class TooManyRequests(Exception):
    """HTTP 429: the weight of an address's minute is used up."""


class OrderRefused(Exception):
    """One order of an action is refused: ``word`` is the status it is remembered with."""

    def __init__(self, text: str, word: str) -> None:
        super().__init__(text)
        self.text = text
        self.word = word


# How the engine's reasons are told to whoever sent the order, and what the order's status is called then.
_REFUSALS: Final = {
    Reason.MARKET_CLOSED: ("Order has invalid asset.", "rejected"),
    Reason.SIZE_OFF_GRID: ("Order has invalid size.", "rejected"),
    Reason.SIZE_TOO_SMALL: ("Order has invalid size.", "rejected"),
    Reason.SIZE_TOO_LARGE: ("Order has invalid size.", "rejected"),
    Reason.TOO_MANY_OPEN_ORDERS: ("Too many open orders", "rejected"),
    Reason.INSUFFICIENT_MARGIN: ("Insufficient margin to place order.", "perpMarginRejected"),
    Reason.REDUCE_ONLY_INCREASES: ("Reduce only order would increase position.", "reduceOnlyRejected"),
    Reason.REDUCE_ONLY_EXCEEDS_POSITION: ("Reduce only order would increase position.", "reduceOnlyRejected"),
    Reason.POSITION_LIMIT: (
        "Order would cause position to exceed margin tier limit at current leverage",
        "perpMaxPositionRejected",
    ),
    Reason.PRICE_BAND: (
        "Order price cannot be more than 80% away from the reference price",
        "oracleRejected",
    ),
    Reason.POST_ONLY_WOULD_CROSS: (
        "Post only order would have immediately matched, bbo was {bbo}.",
        "badAloPxRejected",
    ),
    Reason.NO_LIQUIDITY: (
        "Order could not immediately match against any resting orders.",
        "iocCancelRejected",
    ),
}
NEVER_PLACED: Final = "Order was never placed, already canceled, or filled."
CANNOT_MODIFY: Final = "Cannot modify canceled or filled order"
POST_ONLY_WINDOW: Final = "Only post-only orders allowed immediately after network upgrade"

_CANCEL_WORDS: Final = {
    Reason.USER_CANCELLED: "canceled",
    Reason.NO_LIQUIDITY: "canceled",
    Reason.SELF_TRADE: "selfTradeCanceled",
    Reason.LIQUIDATION: "liquidatedCanceled",
    Reason.REDUCE_ONLY_INCREASES: "reduceOnlyCanceled",
    Reason.REDUCE_ONLY_EXCEEDS_POSITION: "reduceOnlyCanceled",
}


def refusal(reason: Reason, *, bbo: str = "") -> OrderRefused:
    text, word = _REFUSALS.get(reason, (f"Order was refused: {reason.value}", "rejected"))
    return OrderRefused(text.format(bbo=bbo), word)


def status_word(order: SimOrder) -> str:
    """The venue's word for where an order stands."""
    match order.status:
        case SimOrderStatus.NEW | SimOrderStatus.OPEN:
            return "open"
        case SimOrderStatus.FILLED:
            return "filled"
    assert order.reason is not None
    if order.filled_e8 == 0 and order.reason in _REFUSALS:
        is_resting_end = order.reason in _CANCEL_WORDS and order.time_in_force == "GTC"
        if not is_resting_end:
            return _REFUSALS[order.reason][1]
    return _CANCEL_WORDS.get(order.reason, "canceled")


# What a fault may answer in place of the venue, by a name of our own: (kind, text). "order" refuses one
# order, "action" the whole, "http" with the status the text begins with.
_SOMEBODY: Final = "0x" + 38 * "0" + "aa"
CODES: Final[dict[str, tuple[str, str]]] = {
    "WALLET_UNKNOWN": (
        "action",
        "User or API Wallet 0x00000000000000000000000000000000000000aa does not exist.",
    ),
    "MUST_DEPOSIT": (
        "action",
        "Must deposit before performing actions. User: 0x00000000000000000000000000000000000000aa",
    ),
    "REQUEST_BUDGET": (
        "action",
        "Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.00. Place taker"
        " orders to free up 1 request per USDC traded.",
    ),
    "NONCE_TOO_LOW": ("action", "Invalid nonce: nonce too low 1 < 2"),
    "EXPIRED": ("action", "Action already expired"),
    "UNDOCUMENTED": ("action", "Validators are at lunch"),
    "INSUFFICIENT_MARGIN": ("order", "Insufficient margin to place order. asset=0"),
    "NO_LIQUIDITY": ("order", "Order could not immediately match against any resting orders. asset=0"),
    "POST_ONLY": ("order", POST_ONLY_WINDOW),
    "TOO_MANY_REQUESTS": ("http", "429 Too Many Requests"),
    "UPGRADE": ("http", "500 null"),
}
