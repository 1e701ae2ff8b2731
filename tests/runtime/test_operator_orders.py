"""The operator's orders on disk are obeyed whatever their texts were written with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runtime import kill_switch
from runtime.operator_orders import Order, read_standing

LATIN1 = "Pause für José".encode("iso8859-1")


@pytest.mark.parametrize(
    "reason", [LATIN1, json.dumps(os.fsdecode(LATIN1))[1:-1].encode(), b"\\u001b[2J", b"\\ud800"]
)
def test_an_order_is_obeyed_and_its_reason_can_be_shown(reason: bytes, tmp_path: Path) -> None:
    """Bytes of another encoding, and what Python made of them when it wrote them as JSON."""
    path = tmp_path / "standing-demo.json"
    order = b'{"by": "ada", "since": "2026-11-30T12:00:00Z", "reason": "' + reason + b'"}'
    path.write_bytes(b'{"number": 7, "paused": ' + order + b', "forced": {"btc": ' + order + b"}}")

    standing = read_standing(path)

    assert standing.number == 7
    for kept in (standing.paused, standing.forced["btc"]):
        assert isinstance(kept, Order)
        kept.reason.encode("utf-8")
        assert kept.reason.isprintable()


def test_the_kill_latch_is_pulled_whatever_the_reason_is_written_in(tmp_path: Path) -> None:
    """A reason that cannot be encoded was an error before anything had been closed."""
    path = tmp_path / "kill-demo"

    kill_switch.pull(path, None, os.fsdecode(LATIN1) + "\x1b[2J")

    assert path.read_text(encoding="utf-8") == "Pause f\ufffdr Jos\ufffd[2J\n"
