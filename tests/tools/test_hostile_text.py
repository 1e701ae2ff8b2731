"""What a venue, a database or an operator wrote is shown by tools without driving the terminal."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
from rich.console import Console

from monitoring.alerts.book import Condition, Message, Severity, State
from monitoring.alerts.targets import Alert
from observability.plain_text import plain_lines
from observability.standard_streams import ToolOutput, for_drawing
from tests.observability.test_plain_text import HOSTILE, is_harmless
from tools.control_client import print_answer
from tools.doctor.command import _print
from tools.doctor.finding import problem
from tools.flatten import Flattening
from tools.kill import _summary
from tools.screen import _event
from tools.table import as_table
from venues.contract import VenueError


def a_kill() -> None:
    reported = Flattening("vest")
    reported.note(VenueError("vest", HOSTILE, HOSTILE, status=400))
    reported.reads.append({"positions_e8": {HOSTILE: 1}, "open_orders": [HOSTILE]})
    print(_summary({"latch": HOSTILE, "receipt": HOSTILE, "is_flat": False}, [reported]))


def a_doctor() -> None:
    _print([problem("vest account", f"does not take our keys: {HOSTILE}", HOSTILE)], as_json=False)


def an_answer() -> None:
    answer = {"ok": True, "summary": HOSTILE, "pairs": []}
    print_answer(argparse.Namespace(json=False), answer)


class Row(NamedTuple):
    venue: str


def a_table() -> None:
    sys.stdout.write(as_table([Row(HOSTILE)]))


@pytest.mark.parametrize("tool", [a_kill, a_doctor, an_answer, a_table])
def test_what_a_tool_prints_is_lines_of_plain_text(
    tool: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", ToolOutput(stream))
        tool()
        sys.stdout.flush()
    with os.fdopen(reader, "rb") as pipe:
        shown = pipe.read().decode()

    assert "ALL FLAT" in " ".join(shown.split())
    assert all(is_harmless(line) for line in shown.split("\n"))


def test_a_screen_that_is_drawn_here_keeps_its_own_sequences() -> None:
    """And a stream of a test's, which is none of ours, is drawn on as it is."""
    stream = io.StringIO()
    assert for_drawing(stream) is stream

    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as raw:
        output = ToolOutput(raw)
        Console(file=for_drawing(output), force_terminal=True).print("[bold]seen[/bold]")
        output.flush()
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"\x1b[1mseen\x1b[0m\n"


def test_a_line_of_an_alert_is_one_line() -> None:
    condition = Condition("venue", f"venue.{HOSTILE}", Severity.WARNING, HOSTILE)
    alert = Alert(Message(State.RAISED, condition, 0.0, 0), 0.0, "demo", "sim")

    assert is_harmless(alert.line)


def test_a_page_hides_and_reorders_nothing() -> None:
    assert all(map(is_harmless, plain_lines(f"<td>{HOSTILE}</td>\n<td>2</td>").split("\n")))


def test_a_line_of_an_old_journal_is_drawn_plain() -> None:
    """Case 07: what was kept before texts were made plain is drawn by the monitor all the same."""
    line = {"ts": "2026-11-30T19:00:00.000000Z", "level": "warning", "event": "venue_lost", "detail": HOSTILE}

    assert is_harmless(_event(line).plain)
