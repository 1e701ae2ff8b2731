"""The catalogue of events is what the code tells, and the page is what the catalogue says."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import events
from events import EVENTS, FIELDS, FLOOD_BURST, GROUPS
from observability import logs
from settings import PROJECT
from tests.events.catalogue import check

NOT_OURS = {"tests", "benchmarks", "var"}
LEVELS = {"debug", "info", "warning", "error"}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Every module that may tell something."""
    for path in sorted(PROJECT.rglob("*.py")):
        parts = path.relative_to(PROJECT).parts
        is_hidden = any(part.startswith(".") for part in parts)
        if not is_hidden and parts[0] not in NOT_OURS and path.name != "events.py":
            yield path, ast.parse(path.read_text())


def literal_keys(node: ast.expr) -> set[str]:
    """Keys of a dictionary written out where it is used."""
    if isinstance(node, ast.BinOp):
        return literal_keys(node.left) | literal_keys(node.right)
    if not isinstance(node, ast.Dict):
        return set()
    return {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def tellings(tree: ast.Module) -> Iterator[tuple[int, str, set[str], set[str]]]:
    """(line, event, levels, fields) of every call that names an event, as far as they are written there."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = [
            arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        event = next((text for text in named if text in EVENTS), None)
        if event is None:
            continue
        called = node.func
        levels = {text for text in named if text in LEVELS}
        for part in (called, *node.args):
            if isinstance(part, ast.Attribute) and part.attr in LEVELS:
                levels.add(part.attr)
        is_telling = levels or (isinstance(called, ast.Name) and called.id in ("say", "level", "log"))
        if is_telling:
            fields = {word.arg for word in node.keywords if word.arg is not None}
            yield node.lineno, event, levels, fields.union(*map(literal_keys, node.args))


def test_every_call_that_tells_something_keeps_to_the_catalogue() -> None:
    """A new field or a louder level that nobody has written down fails here, without a run."""
    wrong, seen = [], 0
    for path, tree in sources():
        for line, name, levels, fields in tellings(tree):
            seen += 1
            event = EVENTS[name]
            where = f"{path.relative_to(PROJECT)}:{line} {name}"
            wrong += [f"{where}: {level}" for level in levels - set(event.levels.split())]
            allowed = {*event.fields.split(), "kept_back"}
            wrong += [f"{where}: field {field}" for field in sorted(fields - allowed)]

    assert seen > 80
    assert wrong == []


def test_every_event_and_every_field_of_the_catalogue_is_in_the_code() -> None:
    """What is told no more is documented no more."""
    words: set[str] = set()
    for path, _ in sources():
        words |= set(re.findall(r"\w+", path.read_text()))
    # An event's name may be put together, as alert_<outcome> is.
    unused = {name for name in EVENTS if name not in words and not name.startswith("alert_")}
    fields = {field for event in EVENTS.values() for field in event.fields.split()}

    assert unused == set()
    assert {field for field in fields if field not in words} == set()
    assert set(FIELDS) - fields - {*events.EVERY_LINE.split(), "kept_back", "cut"} == set()


def test_what_an_event_is_limited_by_is_among_its_fields() -> None:
    for name, event in EVENTS.items():
        assert set(event.flood_by or ()) <= set(event.fields.split()), name
    assert sum(map(len, GROUPS.values())) == len(EVENTS)


def test_the_page_is_what_the_catalogue_says() -> None:
    """Made anew with: python -m events > docs/events.md"""
    assert (PROJECT / "docs" / "events.md").read_text() == events.page()


def test_a_line_beside_the_catalogue_is_found() -> None:
    line = {
        "ts": "",
        "level": "info",
        "event": "venue_ready",
        "proc": "",
        "pid": 1,
        "run_id": "",
        "mono_ns": 1,
    }
    check({**line, "venue": "vest", "kept_back": 3})
    for change in ({"event": "venue_raedy"}, {"level": "error"}, {"colour": "red"}):
        with pytest.raises(AssertionError):
            check({**line, **change})


class Told:
    """A log whose lines are kept, and a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[dict[str, object]] = []
        self.now_s = 1_000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)
        self.log = logs.make_log("executor", run_id="r", to_queue=self._keep, to_stdout=False)

    def _keep(self, line: bytes) -> bool:
        self.lines.append(json.loads(line))
        return True


def test_of_a_flood_a_few_lines_are_told_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    for _ in range(10_000):
        told.log.warning("venue_lost", venue="vest", what="order", detail="away")
        told.now_s += 0.001

    lines = told.lines
    assert FLOOD_BURST + 9 <= len(lines) <= FLOOD_BURST + 11  # ten seconds of it
    told.now_s += 5
    told.log.warning("venue_lost", venue="vest", what="order", detail="away")
    assert len(lines) + sum(int(str(line.get("kept_back", 0))) for line in lines) == 10_001
    for line in lines:
        check(line)


def test_a_flood_of_one_kind_keeps_no_other_back(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(monkeypatch)
    for _ in range(1_000):
        told.log.warning("venue_lost", venue="vest", what="order", detail="away")
    told.log.warning("venue_lost", venue="paradex", what="order", detail="away")
    told.log.warning("venue_lost", venue="vest", what="status", detail="away")
    told.log.info("leg_sent", pair="btc")

    assert [line["event"] for line in told.lines] == ["venue_lost"] * (FLOOD_BURST + 2) + ["leg_sent"]
    assert "kept_back" not in told.lines[-2]


def test_what_a_trade_is_made_of_is_never_kept_back() -> None:
    """The journal and the database hold the same lines: what they reckon with must be all there."""
    for name in GROUPS["Orders and trades"]:
        if name not in ("venue_ready", "venue_lost", "venue_status"):
            assert EVENTS[name].flood_by is None, name


def test_a_replay_tells_every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decisions are compared line by line."""
    lines: list[bytes] = []

    def keep(line: bytes) -> bool:
        lines.append(line)
        return True

    log = logs.make_log("executor", run_id="r", to_queue=keep, to_stdout=False, is_limited=False)
    for number in range(500):
        log.info("signal_refused", pair="btc", gate="edge", signal_id=number)

    assert len(lines) == 500
