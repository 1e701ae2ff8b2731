"""What processes start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runtime import bootstrap
from settings import PROJECT


@pytest.mark.parametrize(
    "name",
    ["executor/process.py", "executor/pair/order.py", "executor/recovery/state_store.py", "shm/records.py"],
)
def test_a_change_of_any_file_that_states_are_made_by_changes_the_code_s_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine had moved into a folder that was not looked into: a state that its old code had left
    was taken over by its new code, whatever that made of it."""
    for path in ("executor", "shm", "venues"):
        shutil.copytree(PROJECT / path, tmp_path / path, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(bootstrap, "PROJECT", tmp_path)
    before = bootstrap.machine_code_id()

    (tmp_path / name).write_text((tmp_path / name).read_text() + "\n# other code\n")

    assert bootstrap.machine_code_id() != before
