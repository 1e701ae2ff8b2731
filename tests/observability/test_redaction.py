"""No secret in a text, however it came to be there."""

from __future__ import annotations

import io
import json

import pytest

from events.operator import ReloadRefused
from events.persistence import DatabaseAway
from observability import logs, redaction
from observability.redaction import RedactedStream, redact, register_secret
from tests.reported import an_event
from venues.contract import FrameError, TransportError, VenueError

KEY = "0x00c0ffee5afe" + "1234567890abcdef" * 3
TOKEN = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIweDEifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"


@pytest.mark.parametrize("shown", [KEY, KEY[2:], KEY.upper(), f"{KEY}{KEY}", f"a{KEY}b"])
def test_a_key_is_masked_in_every_spelling_of_hexadecimal(shown: str) -> None:
    register_secret(KEY)

    assert "C0FFEE5AFE" not in redact(f"bad key {shown}!").upper()
    assert "34567890ABCDEF" not in redact(f"bad key {shown}!").upper()


@pytest.mark.parametrize("length", [18, 30, 60])
def test_a_key_that_was_cut_is_masked_as_far_as_it_goes(length: int) -> None:
    """Excerpts of a venue's answer end somewhere."""
    register_secret(KEY)

    assert redact(f"bad key {KEY[:length]}") == "bad key 0x***"


def test_what_only_begins_like_a_secret_keeps_its_rest() -> None:
    register_secret("postgresql://tandem:hunter2@db/x")

    facts = redact("has the form postgresql://user:password@host:5432/database")

    assert facts == "has the form postgresql://user:password@host:5432/database"


@pytest.mark.parametrize(
    "secret",
    [TOKEN, TOKEN[:40], "9" * 75, "ab" * 65],
    ids=["token", "cut token", "Stark signature", "Ethereum signature"],
)
def test_tokens_and_signatures_are_known_by_their_looks(secret: str) -> None:
    """An order's signature is never registered: there is a new one with every order."""
    assert redact(f'{{"header": "Bearer {secret}"}}') == '{"header": "Bearer ***"}'


@pytest.mark.parametrize(
    "text",
    ["0x" + "ab" * 32, "order 17635000000000000 at 12345678901234567890 e8", "2026-11-21T09:00:00.000001Z"],
)
def test_order_ids_amounts_and_times_are_no_secrets(text: str) -> None:
    assert redact(text) == text


def test_a_secret_of_a_letter_leaves_the_text_readable() -> None:
    """A password of one letter would take that letter out of every line, and by that be told."""
    register_secret("t")

    assert redact("not as documented") == "not as documented"


def test_of_a_token_that_is_replaced_the_last_two_are_known() -> None:
    """A token lives for minutes: for every one of a year to be compared with every line would not do."""
    for number in range(100):
        register_secret(f"opaque-token-number-{number:03}-of-a-year", "venue token")

    assert "098" not in redact("opaque-token-number-098-of-a-year")
    assert "099" not in redact("opaque-token-number-099-of-a-year")
    assert len(redaction._values) == 2


def test_a_password_with_signs_that_json_escapes_is_masked() -> None:
    """The rendered line holds it with backslashes, so it is the value that is looked at."""
    password = 'pa"ss\\word-ü'
    register_secret(password)
    lines: list[bytes] = []

    def keep(line: bytes) -> bool:
        lines.append(line)
        return True

    reporter = logs.Reporter("persistence", run_id="r", to_queue=keep, level=None)
    reporter.report(DatabaseAway(detail=f"cannot connect with {password}"))
    reporter.report(ReloadRefused(by="u", problems=(f"a {password}", "b")))

    assert json.loads(lines[0])["detail"] == "cannot connect with ***"
    assert json.loads(lines[1])["problems"] == ["a ***", "b"]


def test_a_secret_at_the_end_of_what_is_kept_of_a_long_text_is_masked() -> None:
    register_secret(KEY)
    lines: list[bytes] = []

    def keep(line: bytes) -> bool:
        lines.append(line)
        return True

    reporter = logs.Reporter("executor", run_id="r", to_queue=keep, level=None)
    reporter.report(an_event("leg_rejected", text="x" * (4_000 - 12) + KEY))

    assert "c0ffee" not in json.loads(lines[0])["text"]


@pytest.mark.parametrize(
    "error",
    [
        lambda text: VenueError("vest", text, text),
        lambda text: TransportError(text),
        lambda text: FrameError("vest", text, b""),
    ],
)
def test_an_exception_about_a_venue_never_holds_the_secret(error: object) -> None:
    """Whoever prints it, logs it or lets it end a process: it is not in there."""
    register_secret(KEY)
    assert callable(error)

    raised = error(f"you sent X-API-KEY: {KEY}")

    for shown in (str(raised), repr(raised), repr(raised.args), repr(vars(raised))):
        assert "c0ffee" not in shown


def test_standard_error_shows_tracebacks_without_secrets() -> None:
    register_secret(KEY)
    behind = io.StringIO()
    stream = RedactedStream(behind)

    print("Traceback …", file=stream)
    print(f"ValueError: {KEY}", file=stream)

    assert behind.getvalue() == "Traceback …\nValueError: 0x***\n"
