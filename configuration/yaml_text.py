"""Reads YAML without surprises: text stays text, and every error names its line.

YAML 1.1 reads ``on`` and ``NO`` as booleans, ``017`` as fifteen, ``4:30`` as 270 and ``2026-11-30`` as a
date. A library's reader fails on ``2026-13-45``, a number of 5,000 digits or 1,000 brackets with errors of
its own. Here a plain scalar is null, true, false, a decimal number, or text (YAML 1.2's core schema without
hexadecimal and octal), and a key is always text. What no configuration needs (tags, several documents,
endless nesting) is refused. Anchors, aliases and ``<<`` work, up to a sensible size.

PyYAML parses the grammar; this module makes values of its events.
"""

from __future__ import annotations

import copy
import math
import re
from typing import Any, Final, NamedTuple

import yaml

from observability.plain_text import plain

_HEIGHT_MAX: Final = 24  # of nesting; the deepest setting lies at 4
_NODES_MAX: Final = 20_000  # values and keys, each alias counted as often as it is used
_DIGITS_MAX: Final = 18  # of a whole number: it fits 64 bits
_MERGE: Final = "<<"
_TEXT_TAGS: Final = (None, "!", "tag:yaml.org,2002:str")

_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    # Numbers that no setting takes; as such they are refused by name.
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION: Final = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class YamlError(Exception):
    """The text cannot be used; ``line`` counts from 1."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(line, detail)
        self.line = line
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.detail} (line {self.line})"


def read_yaml(text: str) -> Any:
    """The one document of ``text``: dictionaries with text for keys, lists, texts, numbers, booleans, None.

    Raises YamlError, and nothing else whatever the text is.
    """
    try:
        reader = _Reader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise YamlError(line, f"holds the character U+{code:04X}, which no text has: remove it") from None
    try:
        return reader.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(mark.line + 1 if mark else reader.line, plain(detail)) from None
    except (ValueError, OverflowError):  # an escape that names no character
        raise YamlError(reader.line, "holds an escape that names no character: remove it") from None
    finally:
        reader.close()


class _Built(NamedTuple):
    """A value with how much there is of it."""

    value: Any
    nodes: int
    height: int


class _Reader:
    """Values from the events of one text."""

    def __init__(self, text: str) -> None:
        self._events: Any = yaml.SafeLoader(text)  # its methods have no types
        self._anchors: dict[str, _Built] = {}

    @property
    def line(self) -> int:
        return int(self._events.line) + 1

    def close(self) -> None:
        self._events.dispose()

    def document(self) -> Any:
        self._next()  # the stream begins
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        built = self._value(self._next(), 1)
        self._next()  # the document ends
        if not isinstance(end := self._next(), yaml.StreamEndEvent):
            raise _error(end, "a second document begins here; there may be one alone")
        return built.value

    def _next(self) -> Any:
        return self._events.get_event()

    def _value(self, event: Any, depth: int) -> _Built:
        if depth > _HEIGHT_MAX:
            raise _error(event, f"is nested more than {_HEIGHT_MAX} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            built = _Built(_scalar(event), 1, 1)
        elif event.tag not in (None, "!"):
            raise _error(event, f"has the tag {plain(event.tag)}; tags are not read here: remove it")
        elif isinstance(event, yaml.SequenceStartEvent):
            built = self._sequence(event, depth)
        else:
            built = self._mapping(event, depth)
        if built.nodes > _NODES_MAX:
            raise _error(event, f"holds more than {_NODES_MAX} values")
        if event.anchor is not None:
            self._anchors[event.anchor] = built
        return built

    def _alias(self, event: Any, depth: int) -> _Built:
        built = self._anchors.get(event.anchor)
        if built is None:
            raise _error(event, f"*{plain(event.anchor)} refers to nothing that is complete above it")
        if depth + built.height > _HEIGHT_MAX:
            raise _error(event, f"is nested more than {_HEIGHT_MAX} deep")
        return built._replace(value=copy.deepcopy(built.value))

    def _sequence(self, begin: Any, depth: int) -> _Built:
        values: list[Any] = []
        nodes, height = 1, 0
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            item = self._value(event, depth + 1)
            values.append(item.value)
            nodes, height = _grown(begin, nodes, height, item)
        return _Built(values, nodes, height + 1)

    def _mapping(self, begin: Any, depth: int) -> _Built:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        nodes, height = 1, 0
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event)
            item = self._value(self._next(), depth + 1)
            nodes, height = _grown(begin, nodes + 1, height, item)
            if key == _MERGE and event.style is None:
                for mapping in item.value if isinstance(item.value, list) else [item.value]:
                    if not isinstance(mapping, dict):
                        raise _error(event, "<< takes a mapping, or a list of them")
                    merged = {**mapping, **merged}
            elif key in own:
                raise _error(event, f"key {key!r} is given twice")
            else:
                own[key] = item.value
        return _Built({**merged, **own}, nodes, height + 1)

    def _key(self, event: Any) -> str:
        """A key as it is written, whatever YAML would take it for."""
        if isinstance(event, yaml.AliasEvent):
            key = self._alias(event, 0).value
            if isinstance(key, str):
                return key
        elif isinstance(event, yaml.ScalarEvent) and event.tag in _TEXT_TAGS:
            return _text(event)
        raise _error(event, "a key must be a text")


def _grown(begin: Any, nodes: int, height: int, item: _Built) -> tuple[int, int]:
    if nodes + item.nodes > _NODES_MAX:
        raise _error(begin, f"holds more than {_NODES_MAX} values")
    return nodes + item.nodes, max(height, item.height)


def _scalar(event: Any) -> Any:
    if event.tag not in _TEXT_TAGS:
        raise _error(event, f"has the tag {plain(event.tag)}; tags are not read here: remove it")
    text = _text(event)
    if event.style is not None or event.tag is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        if len(text) > _DIGITS_MAX:
            raise _error(event, f"{text[:20]}… has more digits than any number here; a text is quoted")
        return int(text)
    return float(text) if _FRACTION.fullmatch(text) else text


def _text(event: Any) -> str:
    text: str = event.value
    if plain(text) != text:
        shown = plain(text)[:40]
        raise _error(event, f"{shown!r} holds a line break or a character that is not seen: remove it")
    return text


def _error(event: Any, detail: str) -> YamlError:
    return YamlError(event.start_mark.line + 1, detail)
