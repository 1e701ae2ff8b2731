"""Fits texts to the database's encoding: not every database can hold every character."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg

# https://www.postgresql.org/docs/current/multibyte.html; SQL_ASCII stores bytes as they come.
_TAKES_ALL: Final = frozenset({"UTF8", "SQL_ASCII"})
_ISO_PARTS: Final = (1, 2, 3, 4, 9, 10, 13, 14, 15, 16)  # of ISO 8859, for LATIN1 to LATIN10
_CODECS: Final = {
    **{f"LATIN{number}": f"iso8859-{part}" for number, part in enumerate(_ISO_PARTS, 1)},
    **{f"ISO_8859_{part}": f"iso8859-{part}" for part in (5, 6, 7, 8)},
    **{f"WIN{page}": f"cp{page}" for page in (866, 874, *range(1250, 1259))},
    "EUC_JP": "euc_jp",
    "EUC_CN": "gb2312",
    "EUC_KR": "euc_kr",
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
}
_DEPTH_MAX: Final = 200  # orjson writes no more than 254


def fitting(connection: psycopg.Connection) -> Callable[[str], str] | None:
    """A function that replaces what this database cannot hold by ?; None where it can hold everything."""
    encoding = connection.info.parameter_status("server_encoding") or "UTF8"
    if encoding in _TAKES_ALL:
        return None
    codec = _CODECS.get(encoding, "ascii")
    return lambda text: text.encode(codec, "replace").decode(codec)


def with_texts(value: Any, change: Callable[[str], str], depth: int = 0) -> Any:
    """The same value with every text in it changed; beyond a depth of 200 it is cut off."""
    match value:
        case str():
            return change(value)
        case dict() | list() if depth == _DEPTH_MAX:
            return None
        case dict():
            return {change(key): with_texts(item, change, depth + 1) for key, item in value.items()}
        case list():
            return [with_texts(item, change, depth + 1) for item in value]
    return value
