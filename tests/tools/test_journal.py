"""``python -m tools journal``: everything the journal holds, filtered, and whether it is whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from persistence.journal import Journal, files
from tests.reported import blanks
from tools.__main__ import main


def ago(**since: float) -> datetime:
    """Of the test, not of the module: the suite runs for longer than ten minutes."""
    return datetime.now(UTC) - timedelta(**since)


def a_line(event: str, *, age_s: float = 0.0, **fields: Any) -> bytes:
    ts = ago(seconds=age_s).isoformat(timespec="microseconds").replace("+00:00", "Z")
    head = {"ts": ts, "level": "info", "event": event, "proc": "executor", "run_id": "r"}
    return orjson.dumps({**head, **blanks(event), **fields, "mono_ns": 1})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three files over two lives."""
    for epoch in (1, 2):
        journal = Journal(tmp_path, f"run-{epoch}", epoch, file_bytes=700)
        for number in range(5):
            journal.append(
                "executor",
                number,
                a_line("signal", age_s=3_600 * (2 - epoch), pair="btc", trade_id=10 * epoch + number),
            )
            journal.sync()
        journal.append("executor", 9, a_line("halted", pair="eth", trade_id=0))
        journal.close()
    assert len(files(tmp_path)) >= 3
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], directory: Path, *arguments: str) -> list[Any]:
    assert main(["journal", "--directory", str(directory), *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_line_comes_with_its_number(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, directory)

    assert [line["number"] >> 24 for line in lines] == [1] * 6 + [2] * 6
    assert [line["event"] for line in lines] == (["signal"] * 5 + ["halted"]) * 2


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--event", "halted"], 2),
        (["--event", "halted", "--event", "signal"], 12),
        (["--trade", "12"], 1),
        (["--pair", "eth"], 2),
        (["--since", "10m"], 7),
        (["--since", "10m", "--event", "signal"], 5),
        (["--since", "{two_hours_ago}"], 12),
        (["--since", "0s"], 0),
    ],
)
def test_filters_narrow_it_down(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], count: int
) -> None:
    typed = [word.format(two_hours_ago=ago(hours=2).isoformat()) for word in arguments]
    assert len(shown(capsys, directory, *typed)) == count


def test_a_whole_journal_is_verified(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (findings,) = shown(capsys, directory, "--verify")

    assert findings["events"] == 12
    assert findings["problems"] == []
    assert findings["unfinished_bytes"] == 0


def problems(capsys: pytest.CaptureFixture[str], directory: Path) -> list[str]:
    assert main(["journal", "--directory", str(directory), "--verify"]) == 1
    found: list[str] = json.loads(capsys.readouterr().out)["problems"]
    return found


def test_every_flipped_bit_is_found(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for the last record of all, which may be one that is being written."""
    path = files(directory)[0]
    content = path.read_bytes()

    for place in range(0, len(content), 17):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        assert problems(capsys, directory), place


def test_a_missing_or_shortened_file_is_found(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Oldest files are removed by design; one from the middle, or the end of one, is not."""
    oldest, middle, *_ = files(directory)
    content = middle.read_bytes()
    middle.write_bytes(content[:-200])
    assert any("is damaged at byte" in line for line in problems(capsys, directory))

    middle.unlink()
    (problem,) = problems(capsys, directory)
    assert "a file is missing" in problem

    oldest.unlink()
    assert main(["journal", "--directory", str(directory), "--verify"]) == 0


def test_an_end_that_is_being_written_is_no_damage(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with files(directory)[-1].open("ab") as file:
        file.write(b"\x10\x00\x00\x00half a record")

    (findings,) = shown(capsys, directory, "--verify")

    assert findings["problems"] == []
    assert findings["unfinished_bytes"] == 17


def test_what_is_held_is_shown_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path, "run", 1)
    legs = [
        {"leg": 0, "venue": "vest", "symbol": "A", "size_e8": 5, "entry_price_e8": 7, "fee_e8": 1},
        {"leg": 1, "venue": "paradex", "symbol": "B", "size_e8": -5, "entry_price_e8": 8, "fee_e8": 2},
    ]
    journal.append(
        "executor",
        8,
        a_line(
            "holding", pair="btc", trade_id=77, direction=1, layers=2, legs=legs, opened_mono_ns=0,
            is_estimated=False,
        ),
    )  # fmt: skip
    journal.close()

    (pair,) = shown(capsys, tmp_path, "--held")

    assert (pair["pair"], pair["trade_id"], pair["sizes_e8"], pair["is_held"]) == ("btc", 77, [5, -5], True)


def test_no_journal_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "--directory", str(tmp_path / "none")]) == 2
    assert "is no journal" in capsys.readouterr().err


def test_a_time_that_is_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["journal", "--directory", str(tmp_path), "--since", "yesterday"])
    assert "'yesterday' is no time: write 2026-01-02T12:00:00Z" in capsys.readouterr().err
