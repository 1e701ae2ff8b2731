"""A recording of which not everything arrived: the file is named, and no figure goes without that."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.recorded import a_session
from tools.__main__ import main
from tools.record.reader import Recording
from tools.record.recorder import Limits, Recorder


@pytest.fixture(scope="module")
def whole() -> Iterator[Path]:
    with a_session(Limits(flush_s=1.0, piece_s=15.0)) as session:
        session.swing(40)
        yield session.close()


@pytest.fixture
def directory(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def a_piece(directory: Path, table: str) -> Path:
    return max(directory.glob(f"{table}.*.parquet"), key=lambda path: path.stat().st_size)


def forget_list(directory: Path) -> None:
    manifest = json.loads((directory / "manifest.json").read_text())
    del manifest["pieces"]
    (directory / "manifest.json").write_text(json.dumps(manifest))


def damage(path: Path, how: str) -> None:
    size = path.stat().st_size
    match how:
        case "cut in half":
            os.truncate(path, size // 2)
        case "cut by a byte":
            os.truncate(path, size - 1)
        case "empty":
            os.truncate(path, 0)
        case "another table's":
            shutil.copy(a_piece(path.parent, "feeds"), path)
        case "something else":
            path.write_text("<html>404</html>")
        case "a bit":
            with path.open("r+b") as file:
                file.seek(size // 3)
                byte = file.read(1)
                file.seek(size // 3)
                file.write(bytes([byte[0] ^ 0xFF]))


@pytest.mark.parametrize(
    "how", ["cut in half", "cut by a byte", "empty", "another table's", "something else", "a bit"]
)
@pytest.mark.parametrize("table", ["quotes.vest", "depth"])
@pytest.mark.parametrize("words", [["replay"], ["why", "--recording"]])
@pytest.mark.parametrize("keeps_list", [True, False])
def test_a_damaged_file_ends_it_with_its_name(
    directory: Path,
    capsys: pytest.CaptureFixture[str],
    how: str,
    table: str,
    words: list[str],
    keeps_list: bool,
) -> None:
    """An older recording has no list: there the file is found where it is read."""
    path = a_piece(directory, table)
    damage(path, how)
    if not keeps_list:
        forget_list(directory)
    assert main([*words, str(directory)]) == 2
    logged = capsys.readouterr()
    assert path.name in logged.err
    assert "cannot be read" in logged.err
    assert logged.out == ""


@pytest.mark.parametrize("table", ["depth", "views", "feeds", "signals", "events", "quotes.paradex"])
@pytest.mark.parametrize("keeps_list", [True, False])
def test_what_is_missing_stands_beside_the_figures(
    directory: Path, capsys: pytest.CaptureFixture[str], table: str, keeps_list: bool
) -> None:
    """Every file of a table is gone; an older recording has no list of what there was."""
    if not keeps_list:
        if table in ("signals", "events"):
            pytest.skip("a recording may be without any")
        forget_list(directory)
        assert Recording(directory).missing == ()
    gone = list(directory.glob(f"{table}.*"))
    if not gone:
        pytest.skip("the session had none")
    for path in gone:
        path.unlink()
    main(["replay", str(directory)])
    text = capsys.readouterr().out
    assert "INCOMPLETE" in text
    assert f"{table}." in text or f"{table}:" in text
    main(["replay", "--json", str(directory)])
    assert any(table in item for item in json.loads(capsys.readouterr().out)["recording"]["missing"])


def test_one_missing_hour_of_many_is_named(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = sorted(directory.glob("quotes.vest.*.parquet"))
    second.unlink()
    assert main(["replay", str(directory)]) == 0
    assert f"{second.stem}: the file is missing" in capsys.readouterr().out
    shutil.copy(first, second)
    assert main(["replay", str(directory)]) == 2
    assert second.name in capsys.readouterr().err


def test_all_there_says_nothing_and_strangers_are_passed_over(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy beside it would otherwise be replayed twice."""
    piece = a_piece(directory, "depth")
    shutil.copy(piece, directory / "depth.000001 (copy).parquet")
    shutil.copy(piece, directory / "depth.backup.parquet")
    assert Recording(directory).missing == ()
    assert main(["replay", str(directory)]) == 0
    assert "INCOMPLETE" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", ["", "{", '{"format": 1}', '{"format": 1, "run_id": "x", "settings": 7}', "[]"]
)
def test_a_manifest_that_did_not_arrive_whole_is_named(
    directory: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (directory / "manifest.json").write_text(content)
    assert main(["replay", str(directory)]) == 2
    assert str(directory) in capsys.readouterr().err


def test_a_killed_recorder_s_last_file_is_said_to_have_no_end() -> None:
    """And what it left is listed by its successor, so that nothing is missed that never was."""
    with a_session(Limits(flush_s=1.0, piece_s=1e9)) as session:
        session.swing(10)
        directory = session.recorder.directory
        assert any("its end is not written" in item for item in Recording(directory).missing)
        os.close(session.recorder._place)  # its death
        session.recorder = Recorder(session.directory, session.recordings, Limits(), session.clock)
        session.swing(2)
        assert Recording(session.close()).missing == ()
