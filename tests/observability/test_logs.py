"""One line, one object, no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from observability import logs, redaction
from observability.redaction import register_secret
from settings import PROJECT


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(redaction, "_values", [])
    monkeypatch.setattr(redaction, "_heads", None)
    return []


def a_log(lines: list[bytes], accept: bool = True) -> logs.Log:
    def to_queue(line: bytes) -> bool:
        lines.append(line)
        return accept

    return logs.make_log("executor", run_id="r", to_queue=to_queue, to_stdout=False)


def test_a_line_is_one_object_with_when_who_and_what(lines: list[bytes]) -> None:
    a_log(lines).info("leg_sent", pair="btc", client_order_id=7)

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


def test_an_event_outside_the_catalogue_is_our_own_mistake(lines: list[bytes]) -> None:
    with pytest.raises(AssertionError, match="made_up"):
        a_log(lines).info("made_up")


def test_a_registered_secret_cannot_appear_in_any_field(lines: list[bytes]) -> None:
    """By value, not by field name: it may come back in a venue's error text."""
    register_secret("0xfeedbeef")

    a_log(lines).error("leg_rejected", text="bad key 0xfeedbeef!", nested={"a": ["0xfeedbeef"]})

    assert b"feedbeef" not in lines[0]
    assert lines[0].count(b"***") == 2


def test_an_object_shows_only_its_type(lines: list[bytes]) -> None:
    """A repr might hold a key."""

    class Credentials:
        def __repr__(self) -> str:
            return "key=abc"

    a_log(lines).info("leg_sent", credentials=Credentials())

    assert json.loads(lines[0])["credentials"] == "<Credentials>"


def test_a_full_queue_is_told_to_the_caller(lines: list[bytes]) -> None:
    assert a_log(lines, accept=True).info("leg_sent") is True
    assert a_log(lines, accept=False).info("leg_sent") is False


def test_a_text_as_long_as_a_page_is_cut(lines: list[bytes]) -> None:
    """A line longer than half a queue would be refused there with an error."""
    a_log(lines).error("leg_rejected", text="x" * 100_000, error=ValueError("y" * 100_000))

    assert len(lines[0]) < 10_000


def test_lines_of_several_processes_never_share_a_line() -> None:
    """Each line is one write to the shared pipe, whatever its length below the pipe's atomic size."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from observability import logs\n"
        "log = logs.make_log(sys.argv[1], run_id='r')\n"
        "for n in range(500): log.info('leg_sent', n=n, pad='x' * 700)\n"
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
        assert [line["n"] for line in received if line["proc"] == f"p{n}"] == list(range(500))


FLOOD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from observability import logs\n"
    "log = logs.make_log('executor', run_id='r')\n"
    "for n in range(30_000): log.info('leg_sent', n=n)\n"
    "sys.stderr.write('done')\n"
)


def test_a_reader_that_stopped_reading_holds_nobody_up() -> None:
    """A pager that is not scrolled must not keep a process from closing a naked leg."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOD, str(PROJECT)], stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    _, said = process.communicate(timeout=30)

    assert (process.returncode, said) == (0, b"done")
    with os.fdopen(reader, "rb") as pipe:
        assert json.loads(pipe.readline())["n"] == 0


LONG = (
    "import sys; sys.path.insert(0, sys.argv[1]); from observability import logs\n"
    "log = logs.make_log('executor', run_id='r')\n"
    "for n in range(300): log.warning('venue_lost', venue='vest', what='x' * (n * 13), detail='y' * 3_900)\n"
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
    assert json.loads(logs.fitting(json.dumps(line).encode())) == {
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
    _, said = process.communicate(timeout=30)

    assert (process.returncode, said) == (0, b"done")


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
