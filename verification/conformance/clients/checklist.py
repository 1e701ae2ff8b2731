"""Records what a foreign client did and how it went: one JSON object per call on standard output.

Standard library only: this runs in the clients' own environment, where nothing of ours can be imported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

DEADLINE_S = 10.0
POLL_S = 0.05  # below the venue's budget of 600 private reads a minute even when a wait lasts


class Unexpected(Exception):
    """A call returned something else than the venue's documentation says."""


class SectionEnded(Exception):
    """A call failed, and what follows it in its section rests on it. The call is recorded."""


class Checklist:
    """The calls of one client. ``client`` names it and the encoding it speaks."""

    def __init__(self, client: str) -> None:
        self.client = client

    def __call__(self, name: str, expectation: str) -> Call:
        """Record one call: ``with calls("submit_order", "is accepted as NEW") as call: ...``."""
        return Call(self.client, name, expectation)

    def section(self) -> Section:
        """Calls that rest on one another: the first that fails ends the section, not the client."""
        return Section()


class Section:
    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return isinstance(error, SectionEnded)


class Call:
    """One call: green if its block ends, red with the reason if it raises."""

    def __init__(self, client: str, name: str, expectation: str) -> None:
        self._client = client
        self._name = name
        self._expectation = expectation
        self._began_s = 0.0

    def __enter__(self) -> Self:
        self._began_s = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, Exception):
            return  # interrupted: that says nothing about the call
        line = {
            "client": self._client,
            "call": self._name,
            "expectation": self._expectation,
            "ok": error is None,
            "ms": round((time.monotonic() - self._began_s) * 1000, 1),
            "detail": "" if error is None else f"{type(error).__name__}: {error}",
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if error is not None:
            raise SectionEnded from error

    def expect(self, holds: bool, seen: object) -> None:
        """Raise Unexpected with what was seen unless the expectation holds."""
        if not holds:
            raise Unexpected(repr(seen)[:400])

    def eventually(self, read: Callable[[], object], what: str) -> None:
        """Read until it gives something true. Raises Unexpected at the deadline."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not (seen := read()):
            if time.monotonic() > deadline_s:
                raise Unexpected(f"not within {DEADLINE_S:g} s: {what}; last {seen!r:.200}")
            time.sleep(POLL_S)

    def refused(self, attempt: Callable[[], object], error: type[Exception], code: str) -> None:
        """Expect that an attempt is refused with the venue's code in the error's text."""
        try:
            answer = attempt()
        except error as refusal:
            self.expect(code in str(refusal), refusal)
        else:
            raise Unexpected(f"not refused: {answer!r:.200}")
