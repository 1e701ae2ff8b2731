"""Removes secrets from text: known ones by value, others by their shape.

The code that reads or is granted a key, password or token registers it. Signatures and bearer tokens are
also recognised by their shape: a venue that quotes the request it refuses quotes those.
Text from outside passes ``redact`` before it becomes an exception, a log line or standard error. ``plain``
is part of that: a secret cut in two by invisible characters is whole again, and so is found.
"""

from __future__ import annotations

import io
import re
import sys
from functools import lru_cache
from traceback import format_exception
from types import TracebackType
from typing import Final, TextIO

from observability.plain_text import plain

_MASK: Final = "***"
# A secret that a venue, or our own limit on lengths, has cut is known by this much of its beginning.
_HEAD: Final = 16
_SHORTEST: Final = 4  # characters; masking a shorter one would show it by what is missing from every line
_SHAPES_FROM: Final = 20  # characters; nothing shorter has one of the shapes
_SHAPES: Final = re.compile(
    r"eyJ[\w-]{16,}(?:\.[\w-]*){0,2}"  # JSON Web Tokens, also cut short
    r"|[0-9a-fA-F]{100,}"  # an Ethereum signature has 130 digits; an order id or a hash of 32 bytes has 64
    r"|[0-9]{60,}"  # one half of a Stark signature, decimal
)
_TEXT_MAX: Final = 4_000  # characters of one text: a venue may answer with a page, a queue refuses that
_ID_MAX: Final = 300  # characters of a venue's own name of something
_NAMED_KEPT: Final = 2  # the token that was replaced may still be quoted by an answer on its way

_values: list[str] = []
_named: dict[str, list[str]] = {}
_heads: re.Pattern[str] | None = None
_long_heads: re.Pattern[str] | None = None  # of those that are longer than their head: keys and tokens


def register_secret(value: str, name: str = "") -> None:
    """From now on ``redact`` masks ``value``, whatever the case of its letters, with and without ``0x``.

    One of fewer than four characters is passed over: it cannot be hidden, only make the log unreadable.
    Secrets that are replaced again and again are given a ``name``: only the last two of it are kept.
    """
    global _heads, _long_heads
    value = value.removeprefix("0x")
    if len(value) < _SHORTEST or value in _values:
        return
    if name:
        kept = _named.setdefault(name, [])
        kept.append(value)
        if len(kept) > _NAMED_KEPT:
            _values.remove(kept.pop(0))
    _values.append(value)
    _values.sort(key=len, reverse=True)
    heads = [re.escape(known[:_HEAD]) for known in _values]
    _heads = re.compile("|".join(heads), re.IGNORECASE)
    long_heads = [head for head, known in zip(heads, _values, strict=True) if len(known) >= _HEAD]
    _long_heads = re.compile("|".join(long_heads), re.IGNORECASE) if long_heads else None
    clean_id.cache_clear()


def redact(text: str) -> str:
    """The text on one line, with every secret masked and nothing in it that drives a terminal."""
    text = plain(text)
    if _heads is not None and _heads.search(text) is not None:
        text = _without_values(text)
    return _SHAPES.sub(_MASK, text) if len(text) >= _SHAPES_FROM else text


def clean(text: str) -> str:
    """Text from outside as it may be kept and shown: masked, plain, not too long."""
    text = redact(text)  # before it is cut: half a secret is not known by its value
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "…"


@lru_cache(4_096)  # an order is named in every event about it, a few in the same instant
def clean_id(name: str) -> str:
    """A venue's own name of an order or a payment, by which it is asked again: as it is, if it is one.

    What is short and happens to be part of it is no secret that got out; a whole key or token would be.
    """
    if name.isprintable() and len(name) <= _ID_MAX and not (_long_heads and _long_heads.search(name)):
        return _SHAPES.sub(_MASK, name) if len(name) >= _SHAPES_FROM else name
    return clean(name)[:_ID_MAX]


def _without_values(text: str) -> str:
    for value in _values:
        head = re.compile(re.escape(value[:_HEAD]), re.IGNORECASE)
        begin = 0
        while (found := head.search(text, begin)) is not None:
            end = found.end()
            for known, shown in zip(value[_HEAD:].lower(), text[end:].lower(), strict=False):
                if known != shown:
                    break
                end += 1
            text = text[: found.start()] + _MASK + text[end:]
            begin = found.start() + len(_MASK)
    return text


def guard_stderr() -> None:
    """From now on this process's standard error shows no secret and drives no terminal; a traceback is
    written in one piece."""
    sys.stderr = RedactedStream(sys.stderr)
    sys.excepthook = _write_traceback


def _write_traceback(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    sys.stderr.write("".join(format_exception(kind, error, traceback)))


class RedactedStream(io.TextIOBase):
    """A text stream that passes what is written to it through ``redact``: for tracebacks and warnings."""

    def __init__(self, stream: TextIO) -> None:
        self.unguarded = stream

    def write(self, text: str) -> int:
        self.unguarded.write("\n".join(map(redact, text.split("\n"))))
        return len(text)

    def flush(self) -> None:
        self.unguarded.flush()

    def fileno(self) -> int:
        return self.unguarded.fileno()

    def isatty(self) -> bool:
        return self.unguarded.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.unguarded.encoding
