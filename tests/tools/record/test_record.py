"""A recording holds everything, in order, and says what it does not hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from settings import PROJECT, SettingsError
from shm.records import Quote
from tests.tools.recorded import a_session
from tests.waiting import wait_until
from tools.__main__ import main
from tools.record.files import read_batches
from tools.record.reader import Kind, Recording
from tools.record.recorder import Limits, Recorder
from tools.record.tables import quotes_table, tables

QUOTES = (quotes_table("paradex"), quotes_table("vest"))


def quotes_of(recording: Recording) -> list[Quote]:
    return [Quote(*row.values) for row in recording.rows(with_views=False) if row.kind is Kind.QUOTE]


def test_every_quote_and_signal_comes_back_as_it_was() -> None:
    """To the last digit and in the order in which they were published."""
    with a_session() as session:
        session.swing(30)
        recording = Recording(session.close())
        coverage = recording.coverage()
        assert sorted(quotes_of(recording), key=lambda quote: quote.publish_mono_ns) == session.published
        assert list(recording.signals()) == session.signals
        assert len(session.signals) > 3
        assert (coverage.quotes, coverage.lost_quotes) == (3_000, 0)
        assert session.recorder.missed == {"quotes": 0, "depth": 0, "views": 0, "signal_bytes": 0}
        assert not list(recording.directory.glob("*.arrows"))


def test_a_recorder_that_dies_has_written_all_but_the_last_moments() -> None:
    """Nothing is closed and the last write is torn: only what that write held is gone."""
    limits = Limits(flush_s=1.0, piece_s=1e9)
    with a_session(limits) as session:
        session.swing(10.5)
        directory = session.recorder.directory
        stream = next(directory.glob("quotes.vest.*.arrows"))
        whole = sum(batch.num_rows for batch in read_batches(directory, QUOTES[1]))
        assert 480 <= whole <= 525
        os.truncate(stream, stream.stat().st_size - 7)
        torn = sum(batch.num_rows for batch in read_batches(directory, QUOTES[1]))
        assert whole - 60 <= torn < whole


def test_pieces_become_parquet_and_a_successor_goes_on() -> None:
    """By time; what a dead recorder left growing is made whole by the next, and its own comes after."""
    with a_session(Limits(flush_s=1.0, piece_s=4.0)) as session:
        session.swing(10.5)
        directory = session.recorder.directory
        assert len(list(directory.glob("quotes.vest.*.parquet"))) == 2
        os.close(session.recorder._place)  # its death gives the place free
        recorder = session.recorder = Recorder(session.directory, session.recordings, Limits(), session.clock)
        assert recorder.directory == directory
        session.swing(2)
        recording = Recording(session.close())
        assert not list(directory.glob("*.arrows"))
        coverage = recording.coverage()
        assert coverage.quotes + coverage.lost_quotes == 1_250
        assert 0 < coverage.lost_quotes <= 100  # passed between the last write and the successor


def test_two_recorders_of_one_run_are_refused() -> None:
    """They would write the same files."""
    with (
        a_session() as session,
        pytest.raises(SettingsError, match="is being recorded already: stop the other"),
    ):
        Recorder(session.directory, session.recordings, Limits(), session.clock)


def test_a_recorder_that_is_too_slow_says_how_many_quotes_it_lost() -> None:
    """The ring is as short as it may be, and nobody reads for two seconds."""
    with a_session(ring_cells=16) as session:
        session.swing(1)
        session.swing(2, records=False)
        session.swing(1)
        recording = Recording(session.close())
        lost = recording.coverage().lost_quotes
        assert lost == session.recorder.overtaken
        assert 150 <= lost <= 200
        assert recording.coverage().quotes == 400 - lost


def test_what_is_no_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path)]) == 2
    assert "python -m tools record" in capsys.readouterr().err


def test_the_command_records_beside_the_instance_and_survives_kill_9() -> None:
    """The process as an operator runs it; nothing of it is needed to read what it has written."""
    with a_session() as session:
        session.clock.set(time.monotonic_ns())
        session.recorder.close()
        arguments = ["--memory", str(session.directory), "--out", str(session.recordings), "--flush-s", "0.1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tools", "record", *arguments], cwd=PROJECT, stderr=subprocess.DEVNULL
        )
        try:
            directory, before = session.recorder.directory, len(session.published)
            wait_until(lambda: list(directory.glob("*.arrows")), "the first piece")

            def has_twenty() -> bool:
                session.publish(0, 50_000.0)
                return rows_in(directory) >= 20

            wait_until(has_twenty, "twenty rows on disk")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        coverage = Recording(directory).coverage()
        assert 20 <= coverage.quotes <= len(session.published) - before
        assert coverage.lost_quotes == 0


def rows_in(directory: Path) -> int:
    return sum(batch.num_rows for table in QUOTES for batch in read_batches(directory, table))


def test_every_table_has_a_name_of_its_own() -> None:
    names = [table.name for table in tables(("vest", "paradex"))]
    assert len(set(names)) == len(names)
