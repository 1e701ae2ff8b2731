"""``docs/events.md``, made of the event types: ``python -m events.catalogue > docs/events.md``."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, UnsetType

from events.codec import EVENTS, EVERY_LINE, MODULES
from events.event import FLOOD_BURST, FLOOD_INTERVAL_S, KEPT_TIMES, Event

FIELDS: Final[Mapping[str, str]] = {
    "ts": "when the line was made: UTC, RFC 3339, microseconds",
    "mono_ns": "the same moment on this host's monotonic clock: for durations, comparable between processes",
    "proc": "the process that reports",
    "run_id": "the instance's run: start time and the supervisor's pid",
    "pair": "the pair's id in config.yaml",
    "trade_id": "one number from entry to exit; 0 where no trade is concerned",
    "leg": "0 or 1, as listed in config.yaml",
    "client_order_id": "our number of an order, the key everywhere",
    "venue_order_id": "the venue's id of the order",
    "signal_id": "the detector's number of a signal, grows with every one",
    "direction": "1: bought on leg 0 and sold on leg 1; -1: the other way round",
    "layer": "which step into the position, from 0",
    "layers": "how many steps are open or were",
    "purpose": "entry, exit, complete (the missing leg) or unwind (the surviving one)",
    "attempt": "0, then one more with every retry",
    "order_state": "the order's state in the pair machine after this event",
    "code": "the venue's own code",
    "text": "the venue's own text, secrets masked; of alerts, the message",
    "gate": "which check refused; value and limit are what it compared",
    "gates": "refusals by gate since the last such line",
    "threshold_bps": "signal: what the spread has reached; refusals: what opens the first layer",
    "best_spreads_bps": "the widest gap of both directions since the last such line",
    "fees_bps": "in and out, both legs",
    "min_edge_bps": "what must be left of the gap after fees, slippage and funding",
    "buy_venue": "where the signal's orders buy",
    "sell_venue": "where they sell",
    "long_venue": "where the trade is long",
    "short_venue": "where it is short",
    "latency_us": "from the frame that decided it to both legs' bytes written",
    "why": "the reason in a sentence, with the figures that decided",
    "last": "the last refusal: gate, value, limit",
    "side": "BUY or SELL",
    "size_e8": "base currency times 10**8; signed for positions",
    "positions_e8": "signed size of each leg, or by venue:symbol",
    "under_way_e8": "of each leg, what may come on top from orders not known to be over",
    "net_e8": "naked events: sum of both legs; trade_closed: result after fees, quote currency",
    "net_notional_e8": "value of the naked size",
    "gross_e8": "result before fees",
    "legs": "both legs: venue and symbol, or what each holds",
    "live": "client order ids of orders that are not over",
    "remainders_e8": "what is left on each leg, below a lot",
    "reason": "why: of a close, a cancel, a disconnect, a halt, an order of the operator",
    "explained_by": "the order or cause that explains a difference; null: nothing does",
    "is_estimated": "a fee or price was not reported by the venue and is estimated",
    "complete_cost_e8": "expected cost of sending the missing leg again",
    "unwind_cost_e8": "expected cost of closing the surviving leg",
    "given_up": "true: no further retry, the pair stays as it is",
    "doubt_ms": "how long the outcome was unknown",
    "questions": "how often the venue was asked",
    "ack_us": "from the order's bytes to the venue's answer",
    "fill_us": "from the order's bytes to its fill",
    "detail": "a sentence for people; may change",
    "what": "what was asked or tried",
    "kind": "which sort of the event",
    "cut": "true: texts or lists in this line were cut, or left out, to keep it in one piece",
    "kept_back": "how many lines of this kind were suppressed since the last one",
    "stages_us": "percentiles of each stage since the start",
    "switch": "which switch paused entries: the control socket or the file",
    "by": "who gave the order",
    "generation": "how often the settings have been reloaded",
    "changes": "key, old and new value of each setting that changed",
    "keys": "settings by their names in the file",
    "problems": "what is wrong, a sentence each",
    "told_by": "where the state before the start was found: memory, journal or database",
    "waiting": "events not yet in the database",
    "number": "the event's number in the journal",
}

_PLAIN: Final[Mapping[object, str]] = {
    str: "text", int: "integer", float: "number", bool: "true or false", Any: "any", type(None): "null",
}  # fmt: skip
_QUOTE: Final = ("price", "fee", "gross", "cost", "notional", "amount", "balance", "equity", "result")
_UNITS: Final[Mapping[str, str]] = {
    "_bps": "1/10 000 of the price bought at",
    "_mono_ns": "ns of this host's monotonic clock",
    "_unix_ms": "ms since 1970",
    "_ms": "milliseconds",
    "_us": "microseconds",
    "_s": "seconds",
    "_price": "quote currency",
    "bytes": "bytes",
    "tick_e8": "quote currency × 10⁸",
    "size_base": "base currency",
}


def page() -> str:
    """``docs/events.md``."""
    return "\n".join(_lines()) + "\n"


def groups() -> Mapping[str, list[type[Event]]]:
    """The events by the title of their module, in the order of their declaration."""
    found: dict[str, list[type[Event]]] = {}
    for module in MODULES:
        title = (module.__doc__ or "").partition(":")[0]
        found[title] = [cls for cls in EVENTS.values() if cls.__module__ == module.__name__]
    return found


_INTRODUCTION: Final = f"""\
# Events

<!-- made by `python -m events.catalogue > docs/events.md`; the tests hold it against the code -->

One JSON object per line. Every line has {", ".join(f"`{name}`" for name in EVERY_LINE)}
around the event's own fields. Amounts end in `_e8`: integers scaled by 10⁸. A field marked `?` is left out
where it says nothing. An integer beyond 2⁵³ is text in the log, because `jq` 1.6 rounds it; the journal and
the database have the number.

The journal holds every event, whatever `log_level` says. Of an event marked *limited by* the log has
{FLOOD_BURST} at once and then one every {FLOOD_INTERVAL_S:g} s, for each value of the fields named; the next
line's `kept_back` counts what it left out. The journal takes {KEPT_TIMES} times as many, and counts what is
beyond them: a venue that has gone mad fills no disk.

A line longer than a pipe takes in one piece (4 KiB) has its texts and lists cut in the log and says so in
`cut`. Journal and database have it whole."""


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for title, events in groups().items():
        yield from ("", f"## {title}", "", "| event | level | what it says | fields |", "|---|---|---|---|")
        for cls in events:
            fields = " · ".join(
                f"`{name}`{'?' if name in _optional(cls) else ''} {_type_text(kind)}"
                for name, kind in _fields_of(cls).items()
            )
            says = (cls.__doc__ or "").strip()
            yield f"| `{cls.name()}` | {', '.join(cls.LEVELS)} | {says}{_limit_of(cls)} | {fields} |"
    yield from ("", "## Fields", "", "| field | unit | meaning |", "|---|---|---|")
    names = dict.fromkeys(
        [
            *EVERY_LINE,
            *(name for events in groups().values() for cls in events for name in _fields_of(cls)),
            *("kept_back", "cut"),
        ]
    )
    for name in names:
        unit, meaning = _unit_of(name), FIELDS.get(name, "")
        if unit or meaning:
            yield f"| `{name}` | {unit} | {meaning} |"


def _fields_of(cls: type[Struct]) -> Mapping[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in cls.__struct_fields__}


def _optional(cls: type[Event]) -> frozenset[str]:
    """The fields that are left out where they have no value."""
    return frozenset(field.name for field in msgspec.structs.fields(cls) if not field.required)


def _type_text(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " \\| ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_text(one) for one in arguments if one is not UnsetType)
    if origin is tuple:
        if arguments[1:] == (...,):
            return f"list of {_type_text(arguments[0])}"
        texts = [_type_text(one) for one in arguments]
        return f"{len(texts)} × {texts[0]}" if len(set(texts)) == 1 else f"[{', '.join(texts)}]"
    if isinstance(kind, type) and issubclass(kind, Struct):
        inside = ", ".join(f"`{name}` {_type_text(one)}" for name, one in _fields_of(kind).items())
        return f"{{{inside}}}"
    return f"{_type_text(arguments[1])} by name"  # a mapping


def _unit_of(name: str) -> str:
    if name in _UNITS:
        return _UNITS[name]
    if name.endswith("_e8"):
        return f"{'quote' if any(word in name for word in _QUOTE) else 'base'} currency × 10⁸"
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def _limit_of(cls: type[Event]) -> str:
    if cls.FLOOD_BY is None:
        return ""
    return f"; *limited by {' and '.join(cls.FLOOD_BY) or 'event'}*"


if __name__ == "__main__":
    sys.stdout.write(page())
