"""Fault scripts: what can go wrong at a venue, one small YAML file each, by name.

A file under ``scripts/`` says in a sentence what happens, what the venue does (``does``), and the
values it begins with. Those values, and the ones every script of its kind has, are its parameters::

    load("reply_lost", venue="vest", count=3)
    parse("reply_lost:venue=vest,count=3")  # the same, as the command line has it

Every mistake is a ScriptError that names the file or script, the key, and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import yaml

from simulator.faults import Misread
from simulator.front import Mode, Which
from simulator.orders import Reason
from simulator.registry import simulated_venues

SCRIPTS: Final = Path(__file__).with_name("scripts")
ALL: Final = "all"
# Points that know which instrument they are about: only there can a script be limited to some.
_SYMBOL_KNOWN: Final = (
    *("rest.orders.create", "ws.order.create", "admit.replay", "execute.", "read.positions"),
    *("push.depth.", "push.trades.", "push.order_book.", "push.bbo.", "push.orders.", "push.fills."),
    *("push.positions", "push.account_private"),
)

_REASONS: Final = tuple(name.lower() for name in Reason.__members__)

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=600_000)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
ByVenue = str | dict[str, str]  # one text for all venues, or one each


class ScriptError(ValueError):
    """A fault script or its parameters cannot be used; says which, and what would be right."""

    def __init__(self, script: str, key: str, problem: str) -> None:
        super().__init__(script, key, problem)
        self.script = script
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.script}: {self.key}: {self.problem}" if self.key else f"{self.script}: {self.problem}"


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="does"):
    """What every script has. ``for_s`` None: until the simulator ends."""

    COMMON: ClassVar[tuple[str, ...]] = ("venue", "after_s", "for_s")  # parameters of every such script

    name: str = ""
    description: str
    venues: tuple[str, ...] = ()  # where it can happen; empty: everywhere
    venue: str = ALL
    after_s: Seconds = 0.0
    for_s: Seconds | None = None

    @property
    def chosen_venues(self) -> tuple[str, ...]:
        """The venues it is to happen at."""
        possible = self.venues or tuple(simulated_venues())
        return possible if self.venue == ALL else (self.venue,)

    def check(self) -> None:
        """Raise ScriptError for values that do not go together."""
        known = tuple(simulated_venues())
        for key, names in (("venues", self.venues), ("venue", () if self.venue == ALL else (self.venue,))):
            for name in names:
                if name not in known:
                    raise ScriptError(self.name, key, f"{name!r} is unknown; known are {', '.join(known)}")
        if self.venue not in (ALL, *(self.venues or known)):
            raise ScriptError(self.name, "venue", f"happens at {', '.join(self.venues)} only")


class Strike(Script, frozen=True, kw_only=True, tag="strike"):
    """Arms a fault at points; see ``faults`` for what is understood where. ``count`` is per venue."""

    COMMON = (*Script.COMMON, "symbol", "count", "probability", "seed")

    at: tuple[str, ...]
    symbol: str = "*"
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    probability: Share = 1.0
    seed: int = 1
    delay_ms: Milliseconds = 0.0
    drop: bool = False
    drop_reply: bool = False
    duplicate: bool = False
    answers_last: bool = False
    is_crossed: bool = False
    garble: bool = False
    code: ByVenue = ""
    status: Literal[0] | Annotated[int, msgspec.Meta(ge=200, le=599)] = 0
    body: ByVenue = ""
    retry_after_s: Annotated[int, msgspec.Meta(ge=0, le=3_600)] | None = None
    is_carried_out: bool = False
    steps: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    share: Share = 1.0
    reason: str = ""
    misread: Misread = ""

    def check(self) -> None:
        Script.check(self)
        if self.symbol != "*" and not _knows_symbol(self.at):
            raise ScriptError(self.name, "symbol", "it happens where no symbol is known; leave it out")
        if self.reason and self.reason not in _REASONS:
            known = ", ".join(_REASONS)
            raise ScriptError(self.name, "reason", f"{self.reason!r} is unknown; known are {known}")
        for key, texts in (("code", self.code), ("body", self.body)):
            if isinstance(texts, dict) and set(texts) != set(self.venues or simulated_venues()):
                raise ScriptError(self.name, key, "must be one text, or one for each venue it happens at")

    def of(self, texts: ByVenue, venue: str) -> str:
        """The text that holds for a venue."""
        return texts if isinstance(texts, str) else texts[venue]


class SkewClock(Script, frozen=True, kw_only=True, tag="skew_clock"):
    """Sets the venue's clock ahead of the real one; a negative number sets it behind."""

    ahead_ms: Annotated[float, msgspec.Meta(ge=-86_400_000, le=86_400_000)]


class Restrict(Script, frozen=True, kw_only=True, tag="restrict"):
    """Takes only some orders, or none."""

    mode: Mode


class ExpireSessions(Script, frozen=True, kw_only=True, tag="expire_sessions"):
    """Lets every token die once."""


class Mute(Script, frozen=True, kw_only=True, tag="mute"):
    """Leaves the connections that stand half-open, once. New connections work."""

    sockets: Which


class Restart(Script, frozen=True, kw_only=True, tag="restart"):
    """Closes the venue's port, cuts every connection, and serves again, once."""

    down_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)]


class CloseOut(Script, frozen=True, kw_only=True, tag="close_out"):
    """Closes a part of the first position there is, once: against the book, or at the mark past it."""

    COMMON = (*Script.COMMON, "symbol")

    symbol: str = "*"
    share: Share
    against: Literal["book", "mark"]


class Relist(Script, frozen=True, kw_only=True, tag="relist"):
    """Makes contracts' price and size steps coarser, once; they stay so."""

    COMMON = (*Script.COMMON, "symbol")

    symbol: str = "*"
    tick_factor: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    lot_factor: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1


class Delist(Script, frozen=True, kw_only=True, tag="delist"):
    """Lets contracts take no orders, as long as it runs; the venue's listing says so."""

    COMMON = (*Script.COMMON, "symbol")

    symbol: str = "*"


AnyScript = Strike | SkewClock | Restrict | ExpireSessions | Mute | Restart | CloseOut | Relist | Delist
_KINDS: Final[dict[str, type[AnyScript]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (Strike, SkewClock, Restrict, ExpireSessions, Mute, Restart, CloseOut, Relist, Delist)
}
# What makes a script what it is: not for the caller to change.
_FIXED: Final = frozenset({"name", "description", "does", "venues", "at", "body", "is_carried_out"}) | {
    *("drop", "drop_reply", "duplicate", "answers_last", "garble", "is_crossed")
}


def names() -> list[str]:
    """Every script there is, in alphabetical order."""
    return sorted(path.stem for path in SCRIPTS.glob("*.yaml"))


def load(name: str, **parameters: Any) -> AnyScript:
    """The script of this name with these parameters in place of its own. Raises ScriptError."""
    if name not in names():
        raise ScriptError(name[:60], "", f"no fault script has this name; there are {', '.join(names())}")
    written = _written(name)
    allowed = parameters_of(name)
    for key in parameters:
        if key not in allowed:
            raise ScriptError(name, key, f"is no parameter of it; it has {', '.join(allowed)}")
    return _build(name, {**written, **parameters}, strict=False)


def parse(text: str) -> AnyScript:
    """The script ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE`` means; ``none``: no limit. Raises ScriptError."""
    name, colon, rest = text.partition(":")
    parameters: dict[str, str | None] = {}
    for part in rest.split(",") if colon else ():
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ScriptError(name, part or "?", "write NAME:KEY=VALUE,KEY=VALUE")
        if key in parameters:
            raise ScriptError(name, key, "is given twice")
        parameters[key] = None if value == "none" else value
    return load(name, **parameters)


def parameters_of(name: str) -> dict[str, Any]:
    """A script's parameters and their defaults. Raises ScriptError."""
    written = _written(name)
    kind = _KINDS[written["does"]]
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    common = {key: written.get(key, defaults[key]) for key in kind.COMMON}
    if not _knows_symbol(written.get("at", ())):
        common.pop("symbol", None)
    if len(written.get("venues", ())) == 1:
        common["venue"] = written["venues"][0]
    return {**common, **{key: value for key, value in written.items() if key not in _FIXED}}


def _knows_symbol(points: Iterable[str]) -> bool:
    return all(point.startswith(_SYMBOL_KNOWN) for point in points)


def read(path: Path) -> AnyScript:
    """The script in a file. Raises ScriptError naming the file and the key."""
    return _build(path.name, _mapping(path), strict=True)


@cache
def _written(name: str) -> dict[str, Any]:
    """What a script's file says, known to be usable."""
    path = SCRIPTS / f"{name}.yaml"
    read(path)
    return _mapping(path)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ScriptError(path.name, "", f"is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ScriptError(path.name, "", "must be a mapping of keys to values")
    if value.get("does") not in _KINDS:
        raise ScriptError(path.name, "does", f"must be one of {', '.join(_KINDS)}")
    return value


def _build(name: str, values: Mapping[str, Any], *, strict: bool) -> AnyScript:
    kind = _KINDS[values["does"]]
    for key in values:
        if key not in (*kind.__struct_fields__, "does") or key == "name":
            known = ", ".join(sorted({*kind.__struct_fields__} - {"name"}))
            raise ScriptError(name, key, f"is unknown; a script that does {values['does']} has {known}")
    try:
        script = msgspec.convert({**values, "name": name}, kind, strict=strict)
    except msgspec.ValidationError as error:
        text, _, where = str(error).partition(" - at `$.")
        raise ScriptError(name, where.rstrip("`"), text) from None
    script.check()
    return script
