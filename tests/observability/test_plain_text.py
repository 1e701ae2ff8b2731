"""No text from outside drives a terminal, reorders what is read, or ends who encodes it."""

from __future__ import annotations

import json
import unicodedata

import pytest

from events.instance import ConfigError, Starting
from observability.logs import Reporter
from observability.plain_text import plain, plain_lines
from observability.redaction import redact, register_secret
from venues.contract import FrameError, TransportError, VenueError

HOSTILE = (
    "1130 \x1b]0;title\x07\x1b[2J\x1b[1;1H ALL FLAT\x9b31m\x7f\r\n2026 forged\u2028line\u2029\x85"
    "\u202eTALF\u2066\u2069\u200b\ufeff\udce9\u061c\U000e0041 € 漢"
)


def is_harmless(text: str) -> bool:
    """Whether no character controls, formats or breaks a line, and all of it is UTF-8."""
    return not any(unicodedata.category(mark) in ("Cc", "Cf", "Cs", "Zl", "Zp") for mark in text)


def test_what_drives_a_terminal_is_lost_and_what_is_read_is_kept() -> None:
    assert is_harmless(plain(HOSTILE))
    assert plain(HOSTILE) == "1130 ]0;title[2J[1;1H ALL FLAT31m 2026 forged line TALF\ufffd € 漢"


@pytest.mark.parametrize("text", ["", "plain", "a b", "Zürich", "€ 漢", "price × size → 3 %", "😀"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert plain(text) == text


def test_no_character_at_all_gets_through_that_controls_or_formats() -> None:
    """Every code point there is, so that no range was forgotten."""
    for code in range(0x110000):
        assert is_harmless(plain(f"a{chr(code)}b")), f"U+{code:04X}"


def test_lines_of_ours_stay_apart() -> None:
    assert plain_lines("a\x1b[2J\nb\u2028c\n") == "a[2J\nb c\n"


def test_a_secret_that_unseen_characters_cut_in_two_is_masked() -> None:
    register_secret("0x5afec0ffee5afec0ffee5afe")

    assert redact("key 5afec0ff\x1b\u200bee5afec0ffee5afe!") == "key ***!"


@pytest.mark.parametrize(
    "error",
    [
        VenueError("vest", HOSTILE, HOSTILE, status=400),
        TransportError(HOSTILE),
        FrameError("vest", HOSTILE, HOSTILE.encode("utf-8", "surrogatepass")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_venue_said_is_plain_from_the_moment_it_is_an_error(error: Exception) -> None:
    assert is_harmless(str(error))


def test_every_text_of_an_event_is_plain_in_journal_and_log() -> None:
    kept: list[bytes] = []

    def keep(line: bytes) -> bool:
        kept.append(line)
        return True

    reporter = Reporter("executor", run_id="r", to_queue=keep, level=None)
    reporter.report(ConfigError(key=HOSTILE, value=HOSTILE, detail=HOSTILE))
    reporter.report(Starting(version="1", mode="sim", config=HOSTILE, memory=HOSTILE))

    for line in kept:
        assert all(is_harmless(str(value)) for value in json.loads(line).values())
