"""How loud the log is touches the log alone.

One seeded session, the real detector and executor on a recorded market, at every ``log_level``: what
persistence makes of its events is the same to the byte.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from events.event import Level
from observability import logs
from observability.logs import Reporter
from persistence.journal import Journal, files
from persistence.restore import Holdings, holdings_of
from persistence.server import start_server, stop_server
from persistence.store import Store
from persistence.verify import read_all
from runtime.carried_positions import CarriedPair
from settings import Settings
from tests.instance import a_directory
from tests.tools.test_replay_before_types import LARGE, RECORDING
from tools.record.reader import Recording
from tools.replay import memory, simulate
from tools.replay.overrides import changed

LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
TABLES = ("events", "runs", "pairs", "orders", "fills", "trades", "slippage", "positions", "funding")
BIGGER = 10**9


class Kept(NamedTuple):
    journal: dict[str, bytes]
    database: dict[str, list[tuple[Any, ...]]]
    held: list[CarriedPair]
    results_e8: list[tuple[int, int, int, int]]  # the day's, as the executor keeps them for its successor
    trades: int
    printed: int


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with a_directory() as directory:
        yield start_server(directory / "var")
        stop_server(directory / "var")


def a_session(level: Level, directory: Path, server_url: str, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Traded, journalled and stored as persistence does it, with a log of this level."""
    recording = Recording(RECORDING)
    printed: list[bytes] = []
    holdings = Holdings()
    results: list[tuple[int, int, int, int]] = []
    journal = Journal(directory / level, "run", 1, file_bytes=BIGGER)
    (journal.directory / "id").write_text("the same journal")
    numbers = itertools.count(1)

    def reporter(replay: Any, process: str) -> Reporter:
        settings: Settings = replay._settings

        def to_queue(encoded: bytes) -> bool:
            replay._heard(encoded)
            journal.append(process, next(numbers), encoded)
            holdings.take_line(process, encoded)
            return True

        return Reporter(
            process,
            run_id="run",
            level=settings.log_level,
            to_queue=to_queue,
            mono_ns=replay._clock.mono_ns,
            unix_ns=replay._clock.unix_ns,
        )

    finish = simulate._Replay._finish

    def finished(replay: Any) -> None:
        results.extend(
            (pair.result.day, pair.result.result_e8, pair.result.best_e8, pair.result.naked_ns)
            for pair in replay._executor._pairs
        )
        finish(replay)

    @contextmanager
    def place(_: Settings) -> Iterator[Path]:
        """The same directory each time: where a switch's file would lie is part of an event."""
        made = directory / "replayed"
        made.mkdir()
        yield made
        shutil.rmtree(made)

    monkeypatch.setattr(memory, "_place", place)
    monkeypatch.setattr(logs, "print_line", printed.append)
    monkeypatch.setattr(simulate._Replay, "_reporter", reporter)
    monkeypatch.setattr(simulate._Replay, "_finish", finished)
    outcome = simulate.simulate(recording, changed(recording.raw_settings, {**LARGE, "log_level": level}))
    journal.close()
    assert holdings.broken == []
    assert holdings_of(journal.directory).held() == holdings.held()
    return Kept(
        {path.name: path.read_bytes() for path in files(journal.directory)},
        stored(journal.directory, level, server_url),
        holdings.held(),
        results,
        len(outcome.trades),
        len(printed),
    )


def stored(directory: Path, level: str, server_url: str) -> dict[str, list[tuple[Any, ...]]]:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database levels_{level}".encode())
    url = server_url.replace("/postgres?", f"/levels_{level}?")
    store = Store(url, "the same journal")
    store.migrate()
    store.write(list(read_all(directory)))
    store.close()
    with psycopg.connect(url) as connection:
        return {
            table: sorted(connection.execute(f"select * from {table}".encode()).fetchall(), key=repr)
            for table in TABLES
        }


def test_journal_database_holdings_and_result_are_the_same_at_every_level(
    tmp_path: Path, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {}
    for level in LEVELS:
        with monkeypatch.context() as patched:
            kept[level] = a_session(level, tmp_path, server_url, patched)

    loud = kept["debug"]
    assert loud.trades > 3
    assert sum(map(len, loud.database.values())) > 500
    assert loud.results_e8[0][1] != 0
    assert all(loud.database[table] for table in ("orders", "fills", "trades", "slippage", "positions"))
    for level in LEVELS[1:]:
        for name, content in loud.journal.items():
            assert kept[level].journal[name] == content, (level, name)
        assert kept[level]._replace(printed=0) == loud._replace(printed=0), level
    printed = [kept[level].printed for level in LEVELS]
    assert printed[0] >= printed[1] > printed[2] > printed[3]
