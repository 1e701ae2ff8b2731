"""The types of events are what the code reports, and the page is what the types say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from events import catalogue
from events.codec import EVENTS, EVERY_LINE, Encoder, NotAnEvent, UnknownEvent, decode, fields_of, from_fields
from events.event import ENDED, FLOOD_BURST, Event, OrderStateName, PhaseName, PurposeName, SideName
from events.orders import LegAcked, OrderChanged
from events.persistence import CheckpointOrder, CheckpointPair, CheckpointResult
from executor.pair.order import ENDED as ENDED_IN_THE_MACHINE
from executor.pair.order import OrderState, Purpose
from observability.logs import RateLimit
from runtime.carried_positions import CarriedOrder, CarriedPair, CarriedResult
from settings import PROJECT
from shm.records import PairPhase
from tests.events.catalogue import check
from tests.reported import an_event
from venues.contract import Side

NOT_OURS = {"tests", "benchmarks", "var"}
UNITS = ("e8", "bps", "us", "ms", "s", "ns")
# What decides, keeps, counts or restores: none of it may go by an event's name.
GO_BY_TYPES = (
    *("executor", "persistence", "monitoring", "tools/replay", "tools/record", "tools/why.py"),
    *("tools/screen.py", "tools/monitor.py"),
)


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Every module that may report something."""
    for path in sorted(PROJECT.rglob("*.py")):
        parts = path.relative_to(PROJECT).parts
        if not any(part.startswith(".") for part in parts) and parts[0] not in NOT_OURS:
            yield path, ast.parse(path.read_text())


def test_every_event_is_reported_somewhere() -> None:
    """What is reported no more is documented no more."""
    used: set[str] = set()
    for path, tree in sources():
        if path.relative_to(PROJECT).parts[0] != "events":
            used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {cls.__name__ for cls in EVENTS.values()} - used == set()


def compared(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text, with its line, that something is compared with or looked up by."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                parts: list[ast.expr | None] = [node.left, *node.comparators]
            case ast.MatchValue():
                parts = [node.value]
            case ast.Dict():
                parts = node.keys
            case _:
                continue
        for part in parts:
            if part is not None:
                for one in ast.walk(part):
                    if isinstance(one, ast.Constant) and isinstance(one.value, str):
                        yield one.lineno, one.value


def test_no_event_s_name_decides_anything() -> None:
    """A name is for people. In code that keeps, counts or decides it would be a second catalogue."""
    found = [
        f"{path.relative_to(PROJECT)}:{line} {text}"
        for path, tree in sources()
        if str(path.relative_to(PROJECT)).startswith(GO_BY_TYPES)
        for line, text in compared(tree)
        if text in EVENTS and "_" in text
    ]
    assert found == []


def test_every_field_has_its_meaning_or_its_unit_at_one_place() -> None:
    fields = {name for cls in EVENTS.values() for name in cls.__struct_fields__}
    assert set(catalogue.FIELDS) - fields - {*EVERY_LINE, "kept_back", "cut"} == set()


def test_what_an_event_is_limited_by_is_among_its_fields() -> None:
    for name, event in EVENTS.items():
        assert set(event.FLOOD_BY or ()) <= set(event.__struct_fields__), name
    assert sum(map(len, catalogue.groups().values())) == len(EVENTS)


def test_the_page_is_what_the_types_say() -> None:
    """Made anew with: python -m events.catalogue > docs/events.md"""
    assert (PROJECT / "docs" / "events.md").read_text() == catalogue.page()


def test_the_page_gives_the_type_of_every_field_and_the_unit_of_every_amount() -> None:
    page = catalogue.page()
    for cls in EVENTS.values():
        (row,) = re.findall(rf"^\| `{cls.name()}` \|.*$", page, re.MULTILINE)
        for name in cls.__struct_fields__:
            assert re.search(rf"`{name}`\?? [\w{{\[]", row), f"{cls.name()} {name}"
            if name.rpartition("_")[2] in UNITS and "_" in name:
                assert re.search(rf"^\| `{name}` \| \w", page, re.MULTILINE), name


def test_every_event_has_a_sentence() -> None:
    for cls in EVENTS.values():
        assert (cls.__doc__ or "").strip(), cls
        assert cls.LEVELS, cls


def test_the_words_of_events_are_those_of_the_machine() -> None:
    """Events are read by processes that know nothing of the pair machine."""

    def words(kind: object) -> set[str]:
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.LiteralType)
        return {str(value) for value in info.values}

    assert words(SideName) == {side.name for side in Side}
    assert words(PurposeName) == {purpose.name.lower() for purpose in Purpose}
    assert words(OrderStateName) == {state.name.lower() for state in OrderState}
    assert words(PhaseName) == {phase.name for phase in PairPhase}
    assert {state.name.lower() for state in ENDED_IN_THE_MACHINE} == ENDED
    assert CheckpointPair.__struct_fields__ == CarriedPair._fields
    assert CheckpointResult.__struct_fields__ == CarriedResult._fields
    assert CheckpointOrder.__struct_fields__ == CarriedOrder._fields


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_read_as_it_was_written(name: str) -> None:
    event = an_event(name)
    encoded = Encoder("executor", 7, "run-1").encode(event)
    reported = decode(encoded)

    assert reported.event == event
    assert (reported.level, reported.proc, reported.pid, reported.run_id) == (
        event.level,
        "executor",
        7,
        "run-1",
    )
    assert from_fields(msgspec.json.decode(encoded)) == reported
    check(msgspec.json.decode(encoded))
    assert reported.unix_ms > 1_700_000_000_000


def test_an_event_of_another_version_is_read_as_far_as_it_is_known() -> None:
    """A newer one has more fields, an older one has not yet those that have a default."""
    line = msgspec.json.decode(Encoder("executor", 7, "run-1").encode(an_event("leg_acked", pair="btc")))
    assert decode(msgspec.json.encode({**line, "colour": "red"})).event == an_event("leg_acked", pair="btc")
    with pytest.raises(UnknownEvent, match="leg_painted"):
        decode(msgspec.json.encode({**line, "event": "leg_painted"}))
    with pytest.raises(NotAnEvent, match=r"leg_acked.*filled_e8"):
        decode(msgspec.json.encode({**line, "filled_e8": "a lot"}))
    for broken in (b"", b"{not json", b"7", b'{"event":"leg_acked"}', b"\xff\xfe"):
        with pytest.raises(NotAnEvent):
            decode(broken)


def test_an_order_that_an_older_version_ended_without_its_pair_is_read() -> None:
    """Before 0.2 an order of a pair that is configured no more ended in an event of a few fields."""
    older = {
        "ts": "2026-01-02T03:04:05.000006Z", "level": "info", "event": "leg_resolved", "proc": "executor",
        "pid": 1, "run_id": "r", "mono_ns": 1, "pair": "sol", "client_order_id": 9, "order_state": "absent",
        "venue_order_id": "", "filled_e8": 0, "average_price_e8": 0, "fee_e8": 0,
    }  # fmt: skip
    event = decode(msgspec.json.encode(older)).event
    assert isinstance(event, OrderChanged)
    assert (event.pair, event.client_order_id, event.is_ended) == ("sol", 9, True)


def test_what_a_field_does_not_say_is_left_out() -> None:
    fields = fields_of(an_event("leg_acked", text="", venue_order_id=""))
    assert not {"text", "code", "reason", "ack_us"} & set(fields)
    assert "venue_order_id" in fields
    acked = an_event("leg_acked")
    assert isinstance(acked, LegAcked)
    assert fields_of(msgspec.structs.replace(acked, ack_us=None))["ack_us"] is None


def test_an_event_cannot_be_changed() -> None:
    event = an_event("leg_acked")
    with pytest.raises(AttributeError):
        event.pair = "eth"  # type: ignore[attr-defined]


def test_a_line_beside_its_type_is_found() -> None:
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
    for change in ({"event": "venue_raedy"}, {"level": "error"}, {"colour": "red"}, {"venue": 7}):
        with pytest.raises((AssertionError, msgspec.ValidationError)):
            check({**line, "venue": "vest", **change})


class Limited:
    """A limit by a clock that the test moves, and what it let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
        self.now_s = 1_000.0
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)
        self._limit = RateLimit(times)
        self.passed: list[tuple[str, int]] = []

    def take(self, event: Event) -> None:
        held_back = self._limit.held_back(event)
        if held_back is not None:
            self.passed.append((event.name(), held_back))


def lost(venue: str, what: str) -> Event:
    return an_event("venue_lost", venue=venue, what=what)


@pytest.mark.parametrize("times", [1, 10])
def test_of_a_flood_a_few_pass_and_the_others_are_counted(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    limited = Limited(monkeypatch, times)
    for _ in range(10_000):
        limited.take(lost("vest", "order"))
        limited.now_s += 0.001

    passed = limited.passed
    assert (
        times * (FLOOD_BURST + 10) - 1 <= len(passed) <= times * (FLOOD_BURST + 10) + 1
    )  # ten seconds of it
    limited.now_s += 5
    limited.take(lost("vest", "order"))
    assert len(passed) + sum(held_back for _, held_back in passed) == 10_001


def test_a_flood_of_one_kind_keeps_no_other_back(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = Limited(monkeypatch)
    for _ in range(1_000):
        limited.take(lost("vest", "order"))
    limited.take(lost("paradex", "order"))
    limited.take(lost("vest", "status"))
    limited.take(an_event("leg_sent"))

    assert limited.passed == [("venue_lost", 0)] * (FLOOD_BURST + 2) + [("leg_sent", 0)]


def test_what_a_trade_is_made_of_is_never_limited() -> None:
    for title in ("Orders", "Fills and funding", "Trades", "Positions"):
        for cls in catalogue.groups()[title]:
            if cls.name() not in ("venue_ready", "venue_lost", "venue_status", "answer_disowned"):
                assert cls.FLOOD_BY is None, cls
