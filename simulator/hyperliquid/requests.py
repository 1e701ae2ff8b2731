"""Actions as clients may write them: strict, because what they are signed over is their very text.

Source: hyperliquid-python-sdk 0.24.0 and the venue's documentation. Everything here raises NotParsed, which
is HTTP 422.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulator.hyperliquid.errors import NotParsed
from venues.contract import parse_e8

_NUMBER: Final = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]*[1-9])?")  # as float_to_wire writes it
_CLOID: Final = re.compile("0x[0-9a-fA-F]{32}")
_ADDRESS: Final = re.compile("0x[0-9a-fA-F]{40}")
TIFS: Final = ("Gtc", "Ioc", "Alo")


def fields(
    value: Any, needed: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """An object with exactly these members, in this order, each of its type."""
    optional = optional or {}
    if not isinstance(value, dict):
        raise NotParsed
    order = [name for name in (*needed, *optional) if name in value]
    if list(value) != order or any(name not in value for name in needed):
        raise NotParsed
    kinds = {**needed, **optional}
    for name, item in value.items():
        # bool is an int to Python and not to JSON.
        if kinds[name] is not object and type(item) is not kinds[name]:
            raise NotParsed
    return value


def unsigned(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise NotParsed
    return value


def number_e8(text: str) -> int:
    """A canonical decimal text in e8."""
    if not _NUMBER.fullmatch(text):
        raise NotParsed
    try:
        return parse_e8(text)
    except ValueError:
        raise NotParsed from None


def cloid(value: Any) -> str:
    if type(value) is not str or not _CLOID.fullmatch(value):
        raise NotParsed
    return value.lower()


def order_name(value: Any) -> int | str:
    """The venue's number of an order, or the client's text."""
    return cloid(value) if isinstance(value, str) else unsigned(value)


def address(value: Any) -> str:
    if type(value) is not str or not _ADDRESS.fullmatch(value):
        raise NotParsed
    return value.lower()


def one_or_more(value: Any) -> Sequence[Any]:
    if not isinstance(value, list) or not value:
        raise NotParsed
    return value


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds an action. Its members have no order."""

    action: dict[str, Any]
    nonce: int
    signature: Any
    vault: str | None
    expires_after: int | None

    @property
    def kind(self) -> str:
        return str(self.action["type"])

    @classmethod
    def parse(cls, body: Any) -> Envelope:
        if not isinstance(body, dict):
            raise NotParsed
        action, vault, expires = body.get("action"), body.get("vaultAddress"), body.get("expiresAfter")
        if not isinstance(action, dict) or type(action.get("type")) is not str or "signature" not in body:
            raise NotParsed
        return cls(
            action,
            unsigned(body.get("nonce")),
            body["signature"],
            None if vault is None else address(vault),
            None if expires is None else unsigned(expires),
        )


@dataclass(frozen=True, slots=True)
class OrderSpec:
    """One order of an action."""

    asset: int
    is_buy: bool
    price_e8: int
    size_e8: int
    reduce_only: bool
    tif: str
    cloid: str | None

    @property
    def takes(self) -> bool:
        return self.tif != "Alo"

    @classmethod
    def parse(cls, value: Any) -> OrderSpec:
        order = fields(value, {"a": int, "b": bool, "p": str, "s": str, "r": bool, "t": dict}, {"c": str})
        limit = fields(order["t"], {"limit": dict})["limit"]  # triggers are not simulated
        tif = fields(limit, {"tif": str})["tif"]
        if tif not in TIFS:
            raise NotParsed
        return cls(
            unsigned(order["a"]),
            order["b"],
            number_e8(order["p"]),
            number_e8(order["s"]),
            order["r"],
            tif,
            cloid(order["c"]) if "c" in order else None,
        )


def orders(action: dict[str, Any]) -> list[OrderSpec]:
    """The orders of an ``order`` action. A builder is accepted and ignored."""
    fields(action, {"type": str, "orders": list, "grouping": object}, {"builder": dict})
    grouping = action["grouping"]
    if isinstance(grouping, dict):
        unsigned(fields(grouping, {"p": int})["p"])
    elif grouping not in ("na", "normalTpsl", "positionTpsl"):
        raise NotParsed
    if "builder" in action:
        fields(action["builder"], {"b": str, "f": int})
    return [OrderSpec.parse(item) for item in one_or_more(action["orders"])]


def _flag(action: dict[str, Any], name: str) -> None:
    """A flag is written only where it is set."""
    if action.get(name, True) is not True:
        raise NotParsed


def cancels(action: dict[str, Any]) -> list[tuple[int, int | str]]:
    """(asset, order) of a ``cancel`` or ``cancelByCloid`` action."""
    fields(action, {"type": str, "cancels": list}, {"f": bool})
    _flag(action, "f")
    found: list[tuple[int, int | str]] = []
    for item in one_or_more(action["cancels"]):
        if action["type"] == "cancel":
            row = fields(item, {"a": int, "o": int})
            found.append((unsigned(row["a"]), unsigned(row["o"])))
        else:
            row = fields(item, {"asset": int, "cloid": str})
            found.append((unsigned(row["asset"]), cloid(row["cloid"])))
    return found


def modifies(action: dict[str, Any]) -> list[tuple[int | str, OrderSpec]]:
    """(order, what it becomes) of a ``modify`` or ``batchModify`` action."""
    if action["type"] == "modify":
        fields(action, {"type": str, "oid": object, "order": dict}, {"a": bool})
        items = [{"oid": action["oid"], "order": action["order"]}]
    else:
        fields(action, {"type": str, "modifies": list}, {"a": bool})
        items = [fields(item, {"oid": object, "order": dict}) for item in one_or_more(action["modifies"])]
    _flag(action, "a")
    return [
        (
            cloid(item["oid"]) if isinstance(item["oid"], str) else unsigned(item["oid"]),
            OrderSpec.parse(item["order"]),
        )
        for item in items
    ]
