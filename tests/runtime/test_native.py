"""Building the compiled parts: where nothing can be built Python serves, and our own mistakes are errors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import native
from tests.waiting import DEADLINE_S


def test_without_a_compiler_the_python_way_serves(tmp_path: Path) -> None:
    """A machine with neither gcc nor headers runs all the same, and is told why it is slower."""
    for name in ("runtime", "feeds", "events", "observability", "venues", "shm"):
        shutil.copytree(native.PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so"))
    program = (
        "from runtime import native; print(native.main()); "
        "from feeds.listener import Listener; print(Listener.__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )

    assert done.stdout.split() == ["0", "PythonListener"]
    assert "no C compiler" in done.stderr


def test_our_code_that_does_not_compile_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if native.no_compiler():
        pytest.skip(native.no_compiler())
    source = tmp_path / "_wrong.c"
    source.write_text("this is not C\n")
    part = native.Part("wrong one", (source,), (), tmp_path / "_wrong.so")
    monkeypatch.setattr(native, "PARTS", (part,))

    assert native.main() == 1
    assert "the wrong one does not compile" in capsys.readouterr().err


def test_what_cannot_be_used_is_named_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A part that lies there may be another commit's; the doctor would have called it built."""
    compiler = native.compiler()
    if compiler is None:
        pytest.skip(native.no_compiler())
    made = native.reader("vest")._replace(path=tmp_path / "_frame.so")
    native.build(made, compiler)
    other_sources = made._replace(headers=())
    absent = native.reader("paradex")._replace(path=tmp_path / "none.so")
    monkeypatch.setattr(native, "PARTS", (made, other_sources, absent))

    stale, missing = native.unusable()

    assert stale.startswith("reader of vest: _frame.so was built from other sources")
    assert missing.startswith("reader of paradex: none.so is not built")
