"""A replay decides as it was decided, and the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from detector.native_strategy import NativeStrategy, strategy_kind
from detector.strategy import PairStrategy
from runtime import native
from settings import PROJECT, SettingsError, parse_settings
from tests.tools.recorded import a_session, lines_of
from tools.__main__ import main
from tools.record.files import Piece, read_batches, read_manifest, write_manifest
from tools.record.integrity import PIECES
from tools.record.reader import Recording
from tools.record.tables import SIGNALS, VIEWS, Table
from tools.replay.overrides import changed, parse_set, parse_sweep
from tools.replay.simulate import simulate
from tools.replay.verify import verify


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    with a_session() as session:
        session.swing(48)
        yield session.close()


def rewritten(directory: Path, table: Table, rows: pa.Table) -> None:
    """Exchange what a finished recording holds of a table."""
    for path in directory.glob(f"{table.name}.*"):
        path.unlink()
    piece = Piece(directory, table, 1)
    for batch in rows.to_batches():
        piece.append(batch)
    piece.finish()
    manifest = read_manifest(directory)
    manifest.pop(PIECES, None)
    write_manifest(directory, manifest)


def rows_of(directory: Path, table: Table) -> pa.Table:
    return pa.Table.from_batches(list(read_batches(directory, table)))


def test_the_recorded_signals_are_given_again(directory: Path) -> None:
    """Every field that is not a number or a time of the life that gave them."""
    found = verify(Recording(directory))
    assert found.is_identical
    assert found.recorded == found.same > 5


def test_a_signal_that_would_not_be_given_again_is_found() -> None:
    """One was another one, one is missing, one is too many: each is told."""
    with a_session() as session:
        session.swing(40)
        directory = session.close()
        rows = rows_of(directory, SIGNALS)
        sizes = rows["size_e8"].to_pylist()
        sizes[0] += 1
        place = rows.schema.get_field_index("size_e8")
        field = rows.schema.field(place)
        rewritten(directory, SIGNALS, rows.set_column(place, field, pa.array(sizes, pa.int64())).slice(0, 2))
        found = verify(Recording(directory))
        assert len(found.different) == 1
        assert found.extra
        assert main(["replay", str(directory), "--json"]) == 0
        assert main(["replay", str(directory), "--json", "--strict"]) == 1


def test_what_the_executor_said_matters(capsys: pytest.CaptureFixture[str]) -> None:
    """Without its views nothing may be opened: the comparison is not one of the detector with itself."""
    with a_session() as session:
        session.swing(40)
        directory = session.close()
        rewritten(directory, VIEWS, rows_of(directory, VIEWS).slice(0, 0))
        found = verify(Recording(directory))
        assert found.same == 0
        assert len(found.missing) == found.recorded > 3


def test_two_replays_are_one_history(directory: Path) -> None:
    """Every evaluation and every line about a pair, in order; other settings give another."""
    recording = Recording(directory)
    first, second = (simulate(recording, recording.raw_settings) for _ in range(2))
    assert (first.head, first.trades) == (second.head, second.trades)
    assert len(first.trades) > 3
    assert first.links > first.quotes
    assert sum(first.evaluations.values()) == 2 * first.quotes
    wider = simulate(recording, changed(recording.raw_settings, {"entry_bps": 14.0}))
    assert wider.head != first.head


def test_no_hash_seed_changes_a_decision(directory: Path) -> None:
    """Two interpreters whose sets and dictionaries of text are ordered differently."""
    reported = []
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "tools", "replay", str(directory), "--json"]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, check=True)
        reported.append(lines_of(done.stdout.decode()))
    chains = [(logged["signals"]["chain"], logged["replays"][0]["chain"]) for logged in reported]
    assert chains[0] == chains[1]


def test_the_accounts_say_what_the_trades_say(directory: Path) -> None:
    """Two ways of counting: each trade's result, and what both accounts are worth in the end."""
    recording = Recording(directory)
    course = simulate(recording, recording.raw_settings)
    assert course.open_pairs == 0
    assert abs(course.equity_change_e8 - course.net_e8) <= len(course.trades) * 8  # fees are rounded up
    assert course.fees_e8 > 0


def test_what_if_is_answered_in_trades_and_money(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(directory), "--set", "entry_bps=30", "--json"]) == 0
    reported = lines_of(capsys.readouterr().out)
    unchanged, never = reported["table"][1:]
    assert never["trades"] == 0
    assert unchanged["trades"] > 3
    assert float(never["versus"]) == -float(unchanged["result"])
    assert (
        reported["replays"][1]["gates"]["btc"]["threshold"]
        > reported["replays"][0]["gates"]["btc"]["threshold"]
    )


def test_a_sweep_is_a_table_and_a_picture(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "sweep.png"
    arguments = ["--sweep", "entry_bps=8:12:4", "--plot", str(picture)]
    assert main(["replay", str(directory), *arguments]) == 0
    out = capsys.readouterr().out
    assert [f"entry_bps={value}" in out for value in (8, 12, 16)] == [True, True, False]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("wish", "logged"),
    [
        ("entry=2", "entry: unknown key"),
        ("entry_bps", "must be key=value"),
        ("entry_bps=-2000", "entry_bps"),
        ("pairs.btc=1", "<pair id>.<key>"),
        ("size_base=0.00001", "below the minimum"),
    ],
)
def test_a_wish_that_cannot_be_is_said_before_anything_is_done(
    directory: Path, wish: str, logged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(directory), "--set", wish]) == 2
    assert logged in capsys.readouterr().err


def test_settings_are_changed_for_all_pairs_one_pair_or_by_path() -> None:
    raw = {
        "pairs": [{"id": "btc", "strategy": {"exit_bps": 1.0}, "size_base": "1"}, {"id": "eth"}],
        "risk": {"max_daily_loss_quote": "5"},
    }
    changes = dict(
        parse_set(text)
        for text in (
            "entry_bps=3",
            "eth.exit_bps=-1.5",
            "risk.max_daily_loss_quote=7",
            "btc.size_base=0.1",
            "execution.max_retries=2",
        )
    )
    assert changed(raw, changes) == {
        "pairs": [
            {"id": "btc", "strategy": {"exit_bps": 1.0, "entry_bps": 3}, "size_base": "0.1"},
            {"id": "eth", "strategy": {"entry_bps": 3, "exit_bps": -1.5}},
        ],
        "risk": {"max_daily_loss_quote": "7"},
        "execution": {"max_retries": 2},
    }
    assert "execution" not in raw


def test_a_sweep_holds_both_ends_exactly() -> None:
    """Decimal steps: no value is 0.30000000000000004."""
    assert parse_sweep("entry_bps=0.1:0.4:0.1").values == (0.1, 0.2, 0.3, 0.4)
    with pytest.raises(SettingsError, match="first:last:step"):
        parse_sweep("entry_bps=1:2")
    with pytest.raises(SettingsError, match="first:last:step"):
        parse_sweep("entry_bps=1:2:0")


def test_python_and_c_decide_one_history(directory: Path) -> None:
    """The hash covers every evaluation with both its numbers."""
    if native.no_compiler():
        pytest.skip(native.no_compiler())
    assert native.main() == 0
    recording = Recording(directory)
    settings = [changed(recording.raw_settings, {"runtime.native": wanted}) for wanted in (False, True)]
    assert [strategy_kind(parse_settings(raw, "test")) for raw in settings] == [PairStrategy, NativeStrategy]

    python, compiled = (simulate(recording, raw) for raw in settings)

    assert (compiled.head, compiled.links, compiled.trades) == (python.head, python.links, python.trades)
    assert len(python.trades) > 3
