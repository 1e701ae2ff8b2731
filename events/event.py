"""The base of all events: a name that never changes, a level, a flood rule, and texts that are safe to keep.

An event's name in the journal and the log is its class's, in snake case. Fields of an event are what an
operator's ``jq`` lines depend on: they may be added, with a default, and are never renamed. The unit ends a
field's name: ``_e8`` (scaled by 10**8), ``_bps``, ``_us``, ``_ms``, ``_s``, ``_mono_ns``, ``_unix_ms``.

Text that comes from outside is declared ``Text``, or ``VenueId`` where it is a name that a venue gives: it is
masked, freed of control characters and cut when the event is made, so what is kept of it is what is shown.
"""

from __future__ import annotations

import re
from inspect import get_annotations
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from observability.redaction import clean, clean_id

Level = Literal["debug", "info", "warning", "error"]

Text = Annotated[str, Meta(description="text from outside, secrets masked")]
VenueId = Annotated[str, Meta(description="a venue's own name of something")]

SideName = Literal["BUY", "SELL"]
PurposeName = Literal["entry", "exit", "complete", "unwind"]
OrderStateName = Literal[
    "sent", "open", "in_doubt", "uncounted", "filled", "cancelled", "rejected", "unsent", "absent"
]
PhaseName = Literal["UNKNOWN", "FLAT", "OPENING", "HEDGED", "CLOSING", "REPAIRING", "HALTED"]

# After these the venue has answered an order, and after those nothing more comes of it.
UNANSWERED: Final[frozenset[OrderStateName]] = frozenset({"sent", "in_doubt", "unsent"})
ENDED: Final[frozenset[OrderStateName]] = frozenset({"filled", "cancelled", "rejected", "unsent", "absent"})


# Of a kind that could come a thousand times a second the log has so many at once, then one each interval …
FLOOD_BURST: Final = 10
FLOOD_INTERVAL_S: Final = 1.0
# … and the journal so many times as many: a venue that has gone mad must fill no disk.
KEPT_TIMES: Final = 100


def _name_of(cls: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls).lower()


class Event(Struct, frozen=True, omit_defaults=True, tag_field="event", tag=_name_of):
    """Something that has happened. A subclass's docstring says what, in one sentence."""

    # Every level the event may have; ``level`` is this one's.
    LEVELS: ClassVar[tuple[Level, ...]] = ("info",)
    # Of an event that could come a thousand times a second: the fields by whose values it is limited.
    # None: every one is logged.
    FLOOD_BY: ClassVar[tuple[str, ...] | None] = None
    _texts: ClassVar[tuple[str, ...]] = ()
    _ids: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **_: Any) -> None:
        own = get_annotations(cls)
        cls._texts += tuple(name for name, kind in own.items() if "Text" in kind and name not in cls._texts)
        cls._ids += tuple(name for name, kind in own.items() if "VenueId" in kind and name not in cls._ids)

    def __post_init__(self) -> None:
        for name in self._texts:
            if (given := getattr(self, name)) and (safe := _cleaned(given)) is not given:
                force_setattr(self, name, safe)
        for name in self._ids:
            if (given := getattr(self, name)) and (safe := clean_id(given)) is not given:
                force_setattr(self, name, safe)

    @property
    def level(self) -> Level:
        """How loud it is in the log. Nothing else goes by it but what a person is shown."""
        return self.LEVELS[0]

    @classmethod
    def name(cls) -> str:
        """Its name in the journal, the log and the database."""
        tag = cls.__struct_config__.tag
        assert isinstance(tag, str)
        return tag


def _cleaned(value: Any) -> Any:
    """The value with every text in it made safe; the value itself where all of it is."""
    if type(value) is str:
        return clean(value)
    if type(value) is tuple:
        safe = tuple(map(_cleaned, value))
        return value if all(map(_is_same, safe, value)) else safe
    if type(value) is dict:
        return {_cleaned(key): _cleaned(item) for key, item in value.items()}
    return value


def _is_same(one: object, other: object) -> bool:
    return one is other
