"""The ``jq`` lines of docs/log.md, run as they stand there against a real run's log."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from settings import PROJECT
from tests.waiting import DEADLINE_S

Line = Mapping[str, Any]


def jq_lines() -> dict[str, str]:
    """The commands of the section on the log, by the comment above each."""
    section = (PROJECT / "docs" / "log.md").read_text()
    block = section.partition("```sh\n")[2].partition("```")[0]
    parts = re.split(r"^# (.*)\n", block, flags=re.MULTILINE)[1:]
    return {comment: text.strip() for comment, text in zip(parts[::2], parts[1::2], strict=True)}


def check_lines_of_the_readme(lines: Sequence[Line], directory: Path) -> None:
    """Fail if one of them does not do what is said above it. ``lines``: of a run with a closed trade."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    (directory / "tandem.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    commands = jq_lines()
    assert len(commands) == 6
    outputs = {comment: _run(text, directory) for comment, text in commands.items()}

    each, by_pair, refusals, outcomes, trouble, timeline = outputs.values()
    closed = [line for line in lines if line["event"] == "trade_closed"]
    assert [row["net"] for row in map(json.loads, each)] == pytest.approx(
        [line["net_e8"] / 1e8 for line in closed]
    )
    assert sum(row["trades"] for row in map(json.loads, by_pair)) == len(closed)
    assert len(refusals) == sum(line["event"] == "refusals" for line in lines)
    assert len(outcomes) == sum(line["event"] in ("trade_opened", "trade_closed") for line in lines)
    assert all(row["why"] for row in map(json.loads, outcomes) if row["event"] == "trade_closed")
    assert len(trouble) == sum(line["level"] != "info" for line in lines)
    _check_timeline(timeline, lines, closed[-1]["trade_id"])


def _check_timeline(rows: Sequence[str], lines: Sequence[Line], trade_id: int) -> None:
    """Every line about the trade and its orders, in order, from the first order to the result."""
    orders = {line["client_order_id"] for line in lines if _is_order_of(line, trade_id)}
    about = [
        line
        for line in lines
        if line.get("trade_id") == trade_id
        or line.get("client_order_id") in orders
        or orders.intersection(line.get("client_order_ids", ()))
    ]
    about.sort(key=lambda line: int(line["mono_ns"]))
    assert [row.split("\t")[:2] for row in rows] == [[line["ts"], line["event"]] for line in about]
    events = [line["event"] for line in about]
    # An entry and an exit of two legs each, from the decision to the money.
    assert events.count("leg_sent") >= 4
    assert events.count("fill") >= 4
    assert events.index("intent_written") < events.index("leg_sent") < events.index("leg_filled")
    assert events.index("trade_opened") < events.index("trade_closed")
    assert "signal_stages" in events
    venues = {row.split("\t")[3] for row in rows if row.split("\t")[1] == "leg_sent"}
    assert venues == {"vest", "paradex"}


def _is_order_of(line: Line, trade_id: int) -> bool:
    return line.get("trade_id") == trade_id and "client_order_id" in line


def _run(command: str, directory: Path) -> list[str]:
    """A line that would go on for ever reads what is there."""
    done = subprocess.run(
        ["bash", "-c", "set -o pipefail; " + command.replace("tail -f ", "cat ")],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout.splitlines()
