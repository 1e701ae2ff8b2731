"""The operator's orders on disk are obeyed whatever their texts were written with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from runtime import kill_switch
from runtime.operator_orders import Instruction, Instructions, read_instructions, write_instructions

LATIN1 = "Pause für José".encode("iso8859-1")


@pytest.mark.parametrize(
    "reason", [LATIN1, json.dumps(os.fsdecode(LATIN1))[1:-1].encode(), b"\\u001b[2J", b"\\ud800"]
)
def test_an_order_is_obeyed_and_its_reason_can_be_shown(reason: bytes, tmp_path: Path) -> None:
    """Bytes of another encoding, and what Python made of them when it wrote them as JSON."""
    path = tmp_path / "standing-demo.json"
    order = b'{"by": "ada", "since": "2026-11-30T12:00:00Z", "reason": "' + reason + b'"}'
    path.write_bytes(b'{"number": 7, "paused": ' + order + b', "forced": {"btc": ' + order + b"}}")

    instructions = read_instructions(path)

    assert instructions.number == 7
    for kept in (instructions.paused, instructions.forced["btc"]):
        assert isinstance(kept, Instruction)
        kept.reason.encode("utf-8")
        assert kept.reason.isprintable()


def test_the_kill_latch_is_pulled_whatever_the_reason_is_written_in(tmp_path: Path) -> None:
    """A reason that cannot be encoded was an error before anything had been closed."""
    path = tmp_path / "kill-demo"

    kill_switch.engage(path, None, os.fsdecode(LATIN1) + "\x1b[2J")

    assert path.read_text(encoding="utf-8") == "Pause f\ufffdr Jos\ufffd[2J\n"


AN_ORDER = {"by": "me", "since": "2026-01-02T03:04:05Z", "reason": "lunch"}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    instructions = Instructions(3, Instruction(**AN_ORDER), {"btc": Instruction(**AN_ORDER)})
    write_instructions(tmp_path / "runtime.operator_orders.json", instructions)
    assert read_instructions(tmp_path / "runtime.operator_orders.json") == instructions
    assert read_instructions(tmp_path / "another.json") == Instructions()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\0" * 40,
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
    instructions = read_instructions(path)
    assert not instructions.is_known
    assert instructions.paused is not None
    assert "resume writes it anew" in instructions.paused.reason


def test_a_folder_in_its_place_pauses_too(tmp_path: Path) -> None:
    (tmp_path / "runtime.operator_orders.json").mkdir()
    assert not read_instructions(tmp_path / "runtime.operator_orders.json").is_known
