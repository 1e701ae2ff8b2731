"""The clients' calls as lines to read, and the sum of them."""

from __future__ import annotations

import json
from dataclasses import dataclass

GREEN, RED, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One call of one client, or the end of a client that did not end well."""

    client: str
    call: str
    expectation: str
    ok: bool
    ms: float = 0.0
    detail: str = ""

    def line(self, *, is_coloured: bool) -> str:
        word = "ok    " if self.ok else "FAILED"
        if is_coloured:
            word = f"{GREEN if self.ok else RED}{word}{PLAIN}"
        line = f"  {word} {self.ms:8.1f} ms  {self.call:26} {self.expectation}"
        return line if self.ok else f"{line}\n         {self.detail}"


def parse(line: str) -> Outcome:
    """Read a line of a client's standard output. Raises ValueError for anything else."""
    try:
        return Outcome(**json.loads(line))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"not an outcome: {line[:100]!r}") from error


class Report:
    """Collects outcomes; clients run side by side, so they are printed client by client at the end."""

    def __init__(self) -> None:
        self._outcomes: dict[str, list[Outcome]] = {}

    def add(self, outcome: Outcome) -> None:
        self._outcomes.setdefault(outcome.client, []).append(outcome)

    @property
    def passed(self) -> int:
        return sum(outcome.ok for outcomes in self._outcomes.values() for outcome in outcomes)

    @property
    def failed(self) -> int:
        return sum(not outcome.ok for outcomes in self._outcomes.values() for outcome in outcomes)

    @property
    def exit_code(self) -> int:
        """0 if something was called and everything was green."""
        return 0 if self.passed and not self.failed else 1

    def text(self, *, is_coloured: bool) -> str:
        lines = []
        for client, outcomes in self._outcomes.items():
            green = sum(outcome.ok for outcome in outcomes)
            lines.append(f"{client}: {green} of {len(outcomes)}")
            lines += [outcome.line(is_coloured=is_coloured) for outcome in outcomes]
        lines.append(f"conformance: {self.passed} passed, {self.failed} failed")
        return "\n".join(lines)
