"""What the operator sees: everything that needs a look, in the space there is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import pytest
from rich.console import Console

from monitoring.snapshot import Watcher
from runtime.operator_ack import Acknowledgement, write_acknowledgement
from shm.records import PairPhase, QuoteFlags
from tests.reported import blanks
from tests.tools.shown import Shown, shown_instance
from tools.screen import draw
from venues.contract import E8


@pytest.fixture
def shown() -> Iterator[Shown]:
    with shown_instance() as instance:
        for venue in instance.settings.venue_names:
            instance.count(f"feed-{venue}", connected=1)
        yield instance


def event(name: str, *, level: str = "info", **fields: object) -> bytes:
    head = {"ts": "2026-11-21T05:55:46.491000Z", "event": name, "level": level, "proc": "p", "run_id": "r"}
    return json.dumps({**head, **blanks(name), **fields}).encode()


def screen(shown: Shown, width: int = 80, height: int = 24, events: Sequence[bytes] = ()) -> list[str]:
    snapshot = Watcher(shown.settings, shown.directory).read()
    console = Console(file=io.StringIO(), width=width, height=height, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(draw(snapshot, snapshot, events, width, height))
    return captured.get().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50), (40, 12), (200, 15)])
def test_it_fits_whatever_terminal_there_is(shown: Shown, width: int, height: int) -> None:
    """A line too many scrolls the header away, a column too many wraps every line."""
    for instrument_id in range(4):
        shown.quote(instrument_id, 61_809.0, 61_809.1)
    events = [event("leg_filled", pair="btc", venue="vest", detail="x" * 300)] * 60

    lines = screen(shown, width, height, events)

    assert len(lines) == height
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("tandem demo sim")
    assert "leg_filled" in lines[-1]


def test_both_books_and_the_gap_both_ways_stand_against_the_threshold(shown: Shown) -> None:
    """10 000 × (99 − 101) / 101 one way, (100 − 100) / 100 the other."""
    shown.quote(0, 100.0, 101.0)
    shown.quote(1, 99.0, 100.0)
    shown.view(0)

    text = "\n".join(screen(shown))

    assert "btc    FLAT      gap -198.02 / +0.00 bps  in at +1.50" in text
    assert "100.00 × 0.5" in text
    assert "101.00 × 2 " in text


def test_an_open_pair_shows_its_legs_and_what_closing_gives_back(shown: Shown) -> None:
    """Long the first leg at 100, short the second: closing sells 100 and buys back 101."""
    shown.quote(0, 100.0, 100.5)
    shown.quote(1, 100.5, 101.0)
    shown.view(0, phase=PairPhase.HEDGED, direction=1, size_e8=2 * E8 // 100, entry_spread_bps=1.62)

    text = "\n".join(screen(shown))

    assert "0.02 +vest −paradex" in text
    assert "in +1.62 out +100.00 at +0.00" in text


@pytest.mark.parametrize("height", [24, 12])
def test_what_needs_a_look_comes_first_however_little_room(shown: Shown, height: int) -> None:
    """A halted pair below the edge of a phone's screen would be no alarm."""
    shown.view(0)
    shown.view(1, phase=PairPhase.HALTED, naked_e8=-3 * E8 // 10, entries_allowed=0)

    lines = screen(shown, height=height)

    assert "1 PAIR HALTED" in lines[0]
    pairs = [line for line in lines[1:] if not line.startswith("!")]
    assert pairs[0].startswith("eth    HALTED")
    assert "NAKED -0.3 ETH" in pairs[0]


@pytest.mark.parametrize(
    ("process", "counters", "logged"),
    [
        ("supervisor", {"heartbeat_mono_ns": 1}, "SUPERVISOR SILENT"),
        ("supervisor", {"stopping": 1}, "STOPPING"),
        ("supervisor", {"entries_paused": 1}, "ENTRIES PAUSED"),
        ("executor", {"ready": 0}, "NOT READY"),
        ("executor", {"orders_in_doubt": 2}, "in doubt 2"),
        ("executor", {"net_e8_total": -123_456_789_00}, "net -123.46"),
    ],
)
def test_the_first_line_says_how_the_whole_is(
    shown: Shown, process: str, counters: dict[str, int], logged: str
) -> None:
    assert logged not in screen(shown)[0]
    shown.count(process, **counters)
    assert logged in screen(shown)[0]


def test_what_the_operator_keeps_closed_is_said_by_name(shown: Shown) -> None:
    write_acknowledgement(shown.directory, Acknowledgement(instructions=1, forced=["btc"]))
    assert "KEPT CLOSED" in screen(shown)[0]
    assert "! kept closed: btc" in "\n".join(screen(shown))
    write_acknowledgement(
        shown.directory, Acknowledgement(instructions=2, paused_by=["file"], forced=["btc"])
    )
    assert "ENTRIES PAUSED" in screen(shown)[0]


def test_a_process_that_is_not_well_and_a_venue_that_is_away_are_said_in_words(shown: Shown) -> None:
    """NO_COLOR and grey terminals lose nothing."""
    shown.count("supervisor", **{"state.detector": 3, "restarts.detector": 2})
    shown.count("feed-vest", connected=0)
    shown.quote(0, 100.0, 101.0, flags=QuoteFlags.VALID | QuoteFlags.STALE)

    text = "\n".join(screen(shown, height=40))

    assert "detector BACKOFF ↻2" in text
    assert "vest     AWAY" in text
    assert "not usable" in text
    assert "no quote yet" in text


def test_refusals_are_shares_of_what_was_evaluated(shown: Shown) -> None:
    shown.count(
        "detector", **{"evaluations.btc": 10, "signals.btc": 1, "gate.btc.edge": 6, "gate.btc.size": 3}
    )
    assert "btc    1 signals of 10: edge 67 %  size 33 %" in "\n".join(screen(shown, height=40))


def test_the_newest_events_stand_last_and_repetitions_are_left_out(shown: Shown) -> None:
    """``fill`` says again what ``leg_filled`` has said."""
    facts = [
        event("leg_filled", pair="btc", venue="vest", side="BUY", purpose="entry", filled_e8=E8 // 4),
        event("fill", pair="btc", venue="vest"),
        event("naked_start", level="warning", pair="btc", net_notional_e8=1_234 * E8),
    ]

    lines = screen(shown, height=40, events=facts)

    assert lines[-2].split() == ["05:55:46.491", "leg_filled", "btc", "vest", "BUY", "entry", "filled=0.25"]
    assert lines[-1].split() == ["05:55:46.491", "naked_start", "btc", "net=0", "net_notional=1234"]
