"""One line, one object, no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from events.codec import Encoder, decode
from events.event import FLOOD_BURST, Level
from events.operator import Reloaded, SettingChange
from observability import logs, redaction
from observability.line_writer import fitting
from observability.redaction import register_secret
from settings import PROJECT
from tests.events.catalogue import check_readable
from tests.reported import an_event
from tests.waiting import DEADLINE_S


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(redaction, "_values", [])
    monkeypatch.setattr(redaction, "_heads", None)
    monkeypatch.setattr(redaction, "_long_heads", None)
    redaction.clean_id.cache_clear()
    return []


def a_reporter(lines: list[bytes], accept: bool = True, **options: Any) -> logs.Reporter:
    def to_queue(line: bytes) -> bool:
        lines.append(line)
        return accept

    return logs.Reporter("executor", run_id="r", to_queue=to_queue, level=None, **options)


def test_an_event_is_one_object_with_when_who_and_what(lines: list[bytes]) -> None:
    a_reporter(lines).report(an_event("leg_sent", pair="btc", client_order_id=7))

    line = json.loads(lines[0])
    assert {"ts", "mono_ns", "pid"} <= set(line)
    assert line["ts"].endswith("Z")
    assert (line["event"], line["level"], line["proc"], line["run_id"]) == (
        "leg_sent",
        "info",
        "executor",
        "r",
    )
    assert (line["pair"], line["client_order_id"]) == ("btc", 7)


def test_a_registered_secret_cannot_appear_in_any_text(lines: list[bytes]) -> None:
    """By value, not by field name: it may come back in a venue's error text."""
    register_secret("0xfeedbeef")

    reporter = a_reporter(lines)
    reporter.report(an_event("leg_rejected", text="bad key 0xfeedbeef!", code="feedbeef"))
    reporter.report(an_event("reload_refused", problems=["0xfeedbeef"]))

    assert all(b"feedbeef" not in line for line in lines)
    assert [line.count(b"***") for line in lines] == [2, 1]


def test_a_short_secret_that_is_part_of_a_venue_s_order_id_changes_no_order(lines: list[bytes]) -> None:
    """The order is asked for by this id after a restart; of a whole key nothing is kept."""
    register_secret("6477")
    register_secret("c0ffee" * 8)

    reporter = a_reporter(lines)
    reporter.report(an_event("leg_acked", venue_order_id="order-6477-1"))
    reporter.report(an_event("leg_acked", venue_order_id="c0ffee" * 8))

    assert [json.loads(line)["venue_order_id"] for line in lines] == ["order-6477-1", "***"]


def test_what_drives_a_terminal_is_taken_out_of_text_from_outside(lines: list[bytes]) -> None:
    """A venue's words: a title, a cleared screen, a colour, text written backwards, half a character."""
    hostile = "\x1b]0;title\x07\x1b[2J\x1b[1;1HALL FLAT\x9b31m\r\u202eback\ud800\x00 line\nend"
    a_reporter(lines).report(an_event("venue_lost", venue="vest", detail=hostile))

    logged = json.loads(lines[0])["detail"]
    assert "ALL FLAT" in logged
    assert logged.endswith("line end")
    assert all(character.isprintable() or character == "\n" for character in logged)


def test_an_object_shows_only_its_type(lines: list[bytes]) -> None:
    """A repr might hold a key."""

    class Credentials:
        def __repr__(self) -> str:
            return "key=abc"

    changes = (SettingChange(key="k", old=Credentials(), new=1),)
    a_reporter(lines).report(Reloaded(generation=1, by="u", changes=changes))

    assert json.loads(lines[0])["changes"] == [{"key": "k", "old": "<Credentials>", "new": 1}]


def test_a_full_queue_is_told_to_the_caller_and_counted(lines: list[bytes]) -> None:
    refused: list[int] = []
    assert a_reporter(lines, accept=True).report(an_event("leg_sent")) is True
    reporter = a_reporter(lines, accept=False, on_refused=lambda: refused.append(1))
    assert reporter.report(an_event("leg_sent")) is False
    assert refused == [1]


def test_a_text_as_long_as_a_page_is_cut(lines: list[bytes]) -> None:
    """An event longer than half a queue would be refused there with an error."""
    a_reporter(lines).report(an_event("leg_rejected", text="x" * 100_000, reason="y" * 100_000))

    assert len(lines[0]) < 10_000


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_is_kept_does_not_hang_on_what_is_printed(
    lines: list[bytes], level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet log is a quiet log: the journal has the fill."""
    printed: list[bytes] = []
    monkeypatch.setattr(logs, "print_line", printed.append)

    def to_queue(line: bytes) -> bool:
        lines.append(line)
        return True

    reporter = logs.Reporter("executor", run_id="r", to_queue=to_queue, level=level)
    for name in ("fill", "leg_unknown", "halted", "holding"):
        reporter.report(an_event(name))

    assert [json.loads(line)["event"] for line in lines] == ["fill", "leg_unknown", "halted", "holding"]
    shown = {"debug": 4, "info": 4, "warning": 2, "error": 1}[level]
    assert len(printed) == shown


def test_of_a_flood_the_journal_has_what_the_log_leaves_out(
    lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[bytes] = []
    monkeypatch.setattr(logs, "print_line", printed.append)
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)

    def to_queue(line: bytes) -> bool:
        lines.append(line)
        return True

    reporter = logs.Reporter("executor", run_id="r", to_queue=to_queue)
    for number in range(500):
        reporter.report(an_event("signal_refused", pair="btc", gate="edge", signal_id=number))

    assert len(printed) == FLOOD_BURST
    assert [json.loads(line)["signal_id"] for line in lines] == list(range(500))


def test_an_integer_that_jq_would_round_is_text_in_the_log_alone() -> None:
    big = 0x7564_1234_5678_9ABC
    encoder = Encoder("detector", 1, "r")
    encoded = encoder.encode(an_event("signal_refused", signal_id=big, value=big, limit=1, gate="edge"))
    line = json.loads(logs.render(encoded))

    check_readable(line)
    assert (line["signal_id"], line["value"], line["limit"]) == (str(big), str(big), 1)
    assert decode(encoded).event == an_event("signal_refused", signal_id=big, value=big, limit=1, gate="edge")
    with pytest.raises(AssertionError):
        check_readable(json.loads(encoded))


def test_lines_of_several_processes_never_share_a_line() -> None:
    """Each line is one write to the shared pipe, whatever its length below the pipe's atomic size."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from observability import logs\n"
        "from events.persistence import EventsLost\n"
        "report = logs.Reporter(sys.argv[1], run_id='r').report\n"
        "for n in range(500): report(EventsLost(process='p', count=n, detail='x' * 700))\n"
    )
    reader, writer = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", script, f"p{n}", str(PROJECT)], stdout=writer)
        for n in range(3)
    ]
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        received = [json.loads(line) for line in pipe]
    assert [process.wait() for process in writers] == [0, 0, 0]

    for n in range(3):
        assert [line["count"] for line in received if line["proc"] == f"p{n}"] == list(range(500))


FLOOD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from observability import logs\n"
    "from events.persistence import JournalWritable\n"
    "report = logs.Reporter('executor', run_id='r').report\n"
    "for n in range(30_000): report(JournalWritable(journalled=n))\n"
    "sys.stderr.write('done')\n"
)


def test_a_reader_that_stopped_reading_holds_nobody_up() -> None:
    """A pager that is not scrolled must not keep a process from closing a naked leg."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOD, str(PROJECT)], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    _, logged = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, logged) == (0, b"done")
    with os.fdopen(reader, "rb") as pipe:
        assert json.loads(pipe.readline())["journalled"] == 0


LONG = (
    "import sys; sys.path.insert(0, sys.argv[1]); from observability import logs\n"
    "from events.positions import VenueLost\n"
    "report = logs.Reporter('executor', run_id='r').report\n"
    "for n in range(300): report(VenueLost(venue='vest', what='x' * (n * 13), detail='y' * 3_900))\n"
)


def test_lines_of_several_processes_never_share_a_line_however_long_they_are() -> None:
    """A venue may answer with a page; behind a slow reader a pipe takes only so much in one piece."""
    reader, writer = os.pipe()
    command = [sys.executable, "-c", LONG, str(PROJECT)]
    processes = [subprocess.Popen(command, stdout=writer) for _ in range(3)]
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        lines = [json.loads(line) for line in pipe]
    assert [process.wait(30) for process in processes] == [0, 0, 0]

    assert len(lines) == 900
    assert all(line["event"] == "venue_lost" and line["venue"] == "vest" for line in lines)
    assert 0 < sum("cut" in line for line in lines) < 900


def test_a_line_that_cannot_be_made_short_says_at_least_what_it_was() -> None:
    line = {"ts": "now", "event": "counters", **{f"field_{n}": n for n in range(1_000)}}
    assert json.loads(fitting(json.dumps(line).encode())) == {
        "ts": "now",
        "event": "counters",
        "cut": True,
    }


def test_a_reader_that_is_gone_ends_nobody() -> None:
    """Ctrl-C ends the ``tee`` behind the log as well; the shutdown has only begun then."""
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOD, str(PROJECT)], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    _, logged = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, logged) == (0, b"done")


def test_dropped_lines_are_counted_once_the_reader_reads_again() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOD + "import time; time.sleep(60)\n", str(PROJECT)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stderr.read(4) == b"done"
    seen = 0
    for raw in process.stdout:
        line = json.loads(raw)
        if line["event"] == "log_dropped":
            break
        seen += 1
    process.kill()
    process.communicate()

    assert line["count"] > 0
    assert seen + line["count"] == 30_000
