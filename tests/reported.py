"""Events for tests that care for some of their fields: the others are blank."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from events.codec import EVENTS
from events.event import Event

Line = dict[str, Any]


def an_event(name: str, **fields: Any) -> Event:
    """The event of a name; fields that are not given and that it must have are blank."""
    event: Event = msgspec.convert({**blanks(name), **fields, "event": name}, EVENTS[name])
    return event


def blanks(name: str) -> Line:
    """A blank for each field that an event must have."""
    info = inspect.type_info(EVENTS[name])
    assert isinstance(info, inspect.StructType)
    return {field.name: _blank(field.type) for field in info.fields if field.required}


def _blank(kind: inspect.Type) -> Any:
    match kind:
        case inspect.IntType():
            return 0
        case inspect.FloatType():
            return 0.0
        case inspect.BoolType():
            return False
        case inspect.LiteralType():
            return kind.values[0]
        case inspect.Metadata():
            return _blank(kind.type)
        case inspect.TupleType():
            return [_blank(one) for one in kind.item_types]
        case inspect.VarTupleType():
            return []
        case inspect.DictType():
            return {}
        case inspect.UnionType():
            return None if kind.includes_none else _blank(kind.types[0])
        case inspect.StructType():
            return {field.name: _blank(field.type) for field in kind.fields if field.required}
        case inspect.AnyType():
            return None
    return ""
