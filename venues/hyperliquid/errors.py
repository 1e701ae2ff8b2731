"""What Hyperliquid's answers mean for us. It has no error codes, only texts; the codes here are ours.

A refusal comes with HTTP 200: ``{"status":"err","response":text}`` for the whole action, ``{"error":text}``
for one order. Texts end in details and are compared by their beginning.

Source: the venue's documentation ("Error responses", "Nonces and API wallets"), read in November 2026, and
the texts that several clients have recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from venues.contract import HttpResponse, OrderAck, Outcome, TransportError, VenueError
from venues.hyperliquid.assumptions import (
    BUDGET_MENDS_AFTER_MS,
    BUDGET_RETRY_AFTER_MS,
    EXPIRED_TEXT,
    POST_ONLY_RETRY_AFTER_MS,
    RETRY_AFTER_MS,
)
from venues.hyperliquid.hosts import NAME
from venues.hyperliquid.messages import T, decode

_TEXT_LIMIT: Final = 200
_UNREADABLE: Final = 422
_UNREADABLE_TEXT: Final = "Failed to deserialize the JSON body into the target type"
# A wrong signature is not called wrong: some other address is recovered from it.
_WALLET_REMEDY: Final = (
    " That address was recovered from the signature: either it is no agent of this account (approve it, or"
    " correct HYPERLIQUID_PRIVATE_KEY), or what was signed is not what was sent (wrong network, for one)."
)


class Rule(NamedTuple):
    """What a text says about the request that met it."""

    begins: str
    code: str
    outcome: Outcome
    retry_after_ms: int | None = None
    remedy: str = ""
    mends_after_ms: int | None = None


_REFUSED, _DOUBT = Outcome.REFUSED, Outcome.IN_DOUBT
DUPLICATE_NONCE: Final = "DUPLICATE_NONCE"
NONCE_TOO_LOW: Final = "NONCE_TOO_LOW"

# The whole action. What is not listed settles nothing and is asked for.
_OF_ACTIONS: Final[Sequence[Rule]] = (
    Rule("User or API Wallet", "SIGNATURE_OR_WALLET", _REFUSED, remedy=_WALLET_REMEDY),
    Rule("Must deposit before", "NO_DEPOSIT", _REFUSED, remedy=" Deposit USDC on the venue first."),
    Rule("Unable to recover signer", "SIGNATURE", _REFUSED),
    Rule("Invalid nonce: duplicate nonce", DUPLICATE_NONCE, _DOUBT),  # the same bytes arrived before
    Rule("Invalid nonce", NONCE_TOO_LOW, _DOUBT),  # not now; an earlier copy may have been executed
    Rule(
        "Too many cumulative requests sent",
        "REQUEST_BUDGET",
        _REFUSED,
        BUDGET_RETRY_AFTER_MS,
        mends_after_ms=BUDGET_MENDS_AFTER_MS,
    ),
    Rule("Only post-only orders allowed", "POST_ONLY", _REFUSED, POST_ONLY_RETRY_AFTER_MS),
    Rule(EXPIRED_TEXT, "EXPIRED", _REFUSED),
    Rule("Signed action over weight limit", "TOO_MANY_ORDERS", _REFUSED),
    Rule("Action disabled when unified account is active", "UNIFIED_ACCOUNT", _REFUSED),
    Rule("Builder fee has not been approved", "BUILDER_FEE", _REFUSED),
    Rule("Vault not registered", "VAULT_UNKNOWN", _REFUSED),
    Rule("Cannot set scheduled cancel time", "NO_SCHEDULE_CANCEL", _REFUSED),
)

# One order or cancel. Whatever the text, there is no order; what is listed may be told apart.
IOC_FOUND_NOTHING: Final = "NO_LIQUIDITY"
_OF_ORDERS: Final[Sequence[Rule]] = (
    Rule("Order could not immediately match", IOC_FOUND_NOTHING, _REFUSED),
    Rule("No liquidity available", IOC_FOUND_NOTHING, _REFUSED),
    Rule("Order has invalid price", "PRICE_OFF_GRID", _REFUSED),
    Rule("Price must be divisible by tick size", "PRICE_OFF_GRID", _REFUSED),
    Rule("Order has invalid size", "SIZE_OFF_GRID", _REFUSED),
    Rule("Order has zero size", "SIZE_OFF_GRID", _REFUSED),
    Rule("Order must have minimum value", "NOTIONAL_TOO_SMALL", _REFUSED),
    Rule("Insufficient margin", "INSUFFICIENT_MARGIN", _REFUSED),
    Rule("Reduce only order would increase", "REDUCE_ONLY", _REFUSED),
    Rule("Order price cannot be more than", "PRICE_BAND", _REFUSED),
    Rule("Order price too far", "PRICE_BAND", _REFUSED),
    Rule("Post only order would have", "POST_ONLY_CROSSES", _REFUSED),
    Rule("Only post-only orders allowed", "POST_ONLY", _REFUSED, POST_ONLY_RETRY_AFTER_MS),
    Rule("Order was never placed, already canceled, or filled", "NOT_OPEN", _REFUSED),
)
# What an order met that is off the contract's grid, or below what the venue takes.
_OF_GRID: Final = frozenset({"PRICE_OFF_GRID", "SIZE_OFF_GRID", "NOTIONAL_TOO_SMALL"})
_UNKNOWN_ACTION: Final = Rule("", "REFUSED", _DOUBT)
_UNKNOWN_ORDER: Final = Rule("", "REFUSED", _REFUSED)


def of_action(text: str) -> Rule:
    return next((rule for rule in _OF_ACTIONS if text.startswith(rule.begins)), _UNKNOWN_ACTION)


def of_order(text: str) -> Rule:
    return next((rule for rule in _OF_ORDERS if text.startswith(rule.begins)), _UNKNOWN_ORDER)


def ack_of(client_order_id: int, rule: Rule, text: str) -> OrderAck:
    """The refusal or doubt that a text means for one order."""
    text = f"{text[:_TEXT_LIMIT]}{rule.remedy}"
    is_of_grid = rule.code in _OF_GRID
    return OrderAck(
        client_order_id,
        rule.outcome,
        code=rule.code,
        text=text,
        retry_after_ms=rule.retry_after_ms,
        mends_after_ms=rule.mends_after_ms,
        is_of_grid=is_of_grid,
    )


class Resting(msgspec.Struct):
    oid: int


class Filled(msgspec.Struct):
    totalSz: str
    avgPx: str
    oid: int


class Status(msgspec.Struct):
    """What became of one order or cancel of an action."""

    resting: Resting | None = None
    filled: Filled | None = None
    error: str | None = None


class _Data(msgspec.Struct):
    statuses: list[Status | str] = []


class _Response(msgspec.Struct):
    type: str
    data: _Data | None = None


class ActionAnswer(msgspec.Struct):
    """``POST /exchange``, or the payload of a post's answer."""

    status: str
    response: _Response | str

    @property
    def refusal(self) -> str:
        """Why the whole action was refused; empty when it was not. ValueError for an unknown shape."""
        if self.status == "err" and isinstance(self.response, str):
            return self.response or "no reason given"
        if self.status != "ok" or isinstance(self.response, str):
            raise ValueError(f"status {self.status[:20]!r} is not documented")
        return ""

    def only_status(self) -> Status | str:
        """What became of the one order or cancel of an action. ValueError if it does not say."""
        data = self.response.data if isinstance(self.response, _Response) else None
        if data is None or len(data.statuses) != 1:
            raise ValueError("the answer does not name the fate of one order")
        return data.statuses[0]


ANSWER_DECODER: Final = msgspec.json.Decoder(ActionAnswer)


def http_ack(client_order_id: int, status: int, text: str, retry_after_ms: int | None = None) -> OrderAck:
    """What an HTTP status other than 2xx means for the order it answers: doubt, for it may be the edge's,
    unless the venue itself says that it could not read the request."""
    outcome = Outcome.REFUSED if is_unreadable(status, text) else Outcome.IN_DOUBT
    return OrderAck(client_order_id, outcome, "", str(status), text, retry_after_ms)


def post_error_ack(client_order_id: int, text: str) -> OrderAck:
    """What an error in answer to a post means for the order it names: a status and its reason, as text.

    Doubt, whatever the status: section 11.6 gives the shape, and nothing says that the action was not
    executed before. After 429 the venue wants to be left alone for a while.
    """
    status = text.partition(" ")[0]
    code = status if status.isascii() and status.isdigit() and len(status) == 3 else "500"
    wait_ms = RETRY_AFTER_MS if code == "429" else None
    return OrderAck(client_order_id, Outcome.IN_DOUBT, "", code, text[:_TEXT_LIMIT], wait_ms)


def is_unreadable(status: int, text: str) -> bool:
    """The one refusal that is documented with a status of its own: 422 and this text. Section 7.2."""
    return status == _UNREADABLE and text.startswith(_UNREADABLE_TEXT)


def read(response: HttpResponse, decoder: msgspec.json.Decoder[T], what: str) -> T:
    """Return the decoded body of a successful answer.

    Raises VenueError when the venue said no, TransportError when the answer settles nothing: a failure
    behind the door (500 ``null`` during upgrades), or a body that is not as documented.
    """
    excerpt = excerpt_of(response)
    if 200 <= response.status < 300:
        try:
            return decode(decoder, response.body)
        except ValueError as error:
            raise TransportError(f"{NAME}: the answer to {what} is not as documented: {error}") from None
    if not is_unreadable(response.status, excerpt):
        raise TransportError(f"{NAME}: {what} got HTTP {response.status}: {excerpt}")
    code = str(response.status)
    raise VenueError(NAME, code, excerpt, status=response.status, retry_after_ms=retry_after_ms(response))


def excerpt_of(response: HttpResponse) -> str:
    return " ".join(response.body[:_TEXT_LIMIT].decode("utf-8", "replace").split())


def retry_after_ms(response: HttpResponse) -> int | None:
    """The wait after a 429; None for any other answer."""
    if response.status != 429:
        return None
    seconds = response.headers.get("retry-after", "")
    is_number = seconds.isascii() and seconds.isdigit() and len(seconds) <= 6
    return int(seconds) * 1_000 if is_number else RETRY_AFTER_MS


def venue_error(rule: Rule, text: str) -> VenueError:
    text = f"{text[:_TEXT_LIMIT]}{rule.remedy}"
    return VenueError(NAME, rule.code, text, status=200, retry_after_ms=rule.retry_after_ms)
