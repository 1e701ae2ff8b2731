"""Carries the operator's reconcile requests to the executor and its answers back.

They are two small files in the instance's memory. The newest request replaces an older one that the
executor has not read yet. The directory is the operator's own (0700), so whoever can write here may decide.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from runtime.atomic_file import write_atomically

_REQUEST, _ANSWER = "request.json", "answer.json"


class ReconcileRequest(NamedTuple):
    """One request; ``number`` names it in the answer."""

    number: int  # of this request, larger than of every one before
    action: str


def ask(directory: Path, action: str) -> int:
    """Write a request for the executor; return its number."""
    request = ReconcileRequest(time.time_ns(), action)
    write_atomically(directory / _REQUEST, json.dumps(request._asdict()))
    return request.number


def asked(directory: Path) -> ReconcileRequest | None:
    """The newest request, answered or not; None before the first."""
    content = _read(directory / _REQUEST)
    return None if content is None else ReconcileRequest(**content)


def answer(directory: Path, number: int, fields: dict[str, Any]) -> None:
    """Write what became of a request."""
    write_atomically(directory / _ANSWER, json.dumps({"number": number, **fields}))


def answered(directory: Path, number: int) -> dict[str, Any] | None:
    """The answer to the request of that number; None while there is none."""
    content = _read(directory / _ANSWER)
    return content if content is not None and content["number"] == number else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return content
