"""Orders that stand, from a file that anything may have happened to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.operator_orders import Order, Standing, read_standing, write_standing

AN_ORDER = {"by": "me", "since": "2026-01-02T03:04:05Z", "reason": "lunch"}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    standing = Standing(3, Order(**AN_ORDER), {"btc": Order(**AN_ORDER)})
    write_standing(tmp_path / "runtime.operator_orders.json", standing)
    assert read_standing(tmp_path / "runtime.operator_orders.json") == standing
    assert read_standing(tmp_path / "another.json") == Standing()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\0" * 40,
        b"\xff\xfe",
        "[]",
        "null",
        {"number": 1},
        {"number": "one", "paused": None, "forced": {}},
        {"number": float("inf"), "paused": None, "forced": {}},
        {"number": 1, "paused": None, "forced": []},
        {"number": 1, "paused": None, "forced": {"btc": None}},
        {"number": 1, "paused": {"by": 5, "since": None}, "forced": {}},
        {"number": 1, "paused": {**AN_ORDER, "more": 1}, "forced": {}},
    ],
)
def test_a_file_that_cannot_be_read_pauses_and_ends_nobody(content: Any, tmp_path: Path) -> None:
    """What it says may be just that."""
    path = tmp_path / "runtime.operator_orders.json"
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    standing = read_standing(path)
    assert not standing.is_known
    assert standing.paused is not None
    assert "resume writes it anew" in standing.paused.reason


def test_a_folder_in_its_place_pauses_too(tmp_path: Path) -> None:
    (tmp_path / "runtime.operator_orders.json").mkdir()
    assert not read_standing(tmp_path / "runtime.operator_orders.json").is_known
