"""What the operator asks of the executor, and its answer: two small files in the instance's memory.

One request at a time: the newest replaces an older one that has not been taken up. The directory is
the operator's own (0700), so whoever can write here may decide.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

_REQUEST, _ANSWER = "request.json", "answer.json"


class ReconcileRequest(NamedTuple):
    number: int  # of this request, larger than of every one before
    action: str


def ask(directory: Path, action: str) -> int:
    """Leave a request for the executor; return its number."""
    request = ReconcileRequest(time.time_ns(), action)
    _write(directory / _REQUEST, request._asdict())
    return request.number


def asked(directory: Path) -> ReconcileRequest | None:
    """The newest request, taken up or not."""
    content = _read(directory / _REQUEST)
    return None if content is None else ReconcileRequest(**content)


def answer(directory: Path, number: int, fields: dict[str, Any]) -> None:
    """Say what became of a request."""
    _write(directory / _ANSWER, {"number": number, **fields})


def answered(directory: Path, number: int) -> dict[str, Any] | None:
    """What was answered to the request of that number; None as long as nothing was."""
    content = _read(directory / _ANSWER)
    return content if content is not None and content["number"] == number else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(content))
    unfinished.rename(path)
