"""The monitor's screen: a snapshot drawn into exactly the width and height there is.

What is open and what stands in the way comes first; what does not fit falls away from the end.
Pure: nothing is read here, so that a test draws what an operator sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from events.codec import NotAnEvent, decode, fields_of
from events.decisions import Refusals
from events.fills import FillReported
from events.orders import IntentWritten, LegAcked
from events.positions import PositionReported
from events.trades import SlippageMeasured
from monitoring.obstacles import Obstacle, obstacles_of
from monitoring.snapshot import LegShown, PairShown, ProcessShown, Snapshot
from observability.plain_text import plain
from settings import E8
from shm.counter_names import DATABASE_AWAY, DATABASE_UP
from shm.records import PairPhase

_WIDE: Final = 144  # columns from which figures stand beside the pairs
_EVENTS_MIN: Final = 4  # lines the last events keep, whatever else there is
_ALERTING: Final = (PairPhase.REPAIRING, PairPhase.HALTED)
_SIDE_COLUMNS: Final = 62
_OBSTACLES_MAX: Final = 4  # lines for what stops entries, so that pairs stay in sight
# Fields of an event that say most, in this order; the rest is in the log.
_SHOWN_FIELDS: Final = (
    *("pair", "kind", "venue", "process", "state", "side", "purpose", "filled_e8", "price_e8", "phase"),
    *("gate", "value", "limit", "spread_bps", "entry_spread_bps", "exit_spread_bps", "net_e8", "naked_ms"),
    *("net_notional_e8", "reason", "detail"),
)
# Said again by another event of the same instant.
_LEFT_OUT: Final = (FillReported, PositionReported, LegAcked, IntentWritten, SlippageMeasured, Refusals)

Lines = list[Text]


def draw(now: Snapshot, before: Snapshot, events: Sequence[bytes], width: int, height: int) -> Group:
    """The screen. ``before`` is the last look: refusals are shown for the time in between."""
    obstacles = obstacles_of(now)
    head = [_header(now, obstacles, width), *_obstacles(obstacles)]
    pairs = [line for pair in _by_urgency(now.pairs) for line in _pair(pair, now)]
    room = height - len(head) - _EVENTS_MIN - 1
    if width >= _WIDE:
        figures = [
            *_section("result", _result(now)),
            *_section("processes", _processes(now)),
            *_section("refusals", _refusals(now, before)),
            *_section("latency, µs p50 / p99", _latency(now)),
        ]
        used = min(room, max(len(pairs), len(figures)))
        body: list[Text | Table] = [_beside(pairs[:used], figures[:used], width - _SIDE_COLUMNS - 2)]
    else:
        lines = _fitted(pairs, [*_result(now), *_refusals(now, before), *_processes(now)], room)
        used = len(lines)
        body = [*_cut(lines, width)]
    shown = _event_lines(events, max(0, height - len(head) - used - 1))
    return Group(*_cut(head, width), *body, *_cut(_section("events", shown), width))


def _event_lines(events: Sequence[bytes], count: int) -> Lines:
    """The last events worth a line, oldest first."""
    lines: Lines = []
    for payload in reversed(events):
        if len(lines) == count:
            break
        try:
            reported = decode(payload)
        except NotAnEvent:
            continue  # persistence says so in an event of its own
        if not isinstance(reported.event, _LEFT_OUT):
            head = {"ts": reported.ts, "level": reported.level, "event": reported.event.name()}
            lines.append(_event({**head, **fields_of(reported.event)}))
    return lines[::-1]


def _fitted(pairs: Lines, figures: Lines, room: int) -> Lines:
    """Pairs first, but a screen full of them leaves the figures half of it."""
    if len(pairs) + len(figures) <= room:
        return [*pairs, *figures]
    kept = pairs[: max(room - len(figures), room // 2)]
    return [*kept, *figures[: room - len(kept)]]


def _beside(left: Lines, right: Lines, left_columns: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=left_columns, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=_SIDE_COLUMNS, no_wrap=True, overflow="ellipsis")
    for number in range(max(len(left), len(right))):
        grid.add_row(*(side[number] if number < len(side) else Text() for side in (left, right)))
    return grid


def _cut(lines: Iterable[Text], width: int) -> Lines:
    cut = []
    for line in lines:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
        cut.append(line)
    return cut


def _section(title: str, lines: Lines) -> Lines:
    return [Text(title, style="bold"), *lines]


def _header(now: Snapshot, obstacles: Sequence[Obstacle], width: int) -> Text:
    line = Text("tandem ", style="bold")
    line.append(f"{now.bot_id} {now.mode}  up {_duration(now.up_s)}  ")
    if obstacles:
        more = f" +{len(obstacles) - 1}" if len(obstacles) > 1 else ""
        state, style = f"{obstacles[0].short.upper()}{more}", _style(obstacles[0])
    else:
        state, style = "RUNNING", "bold green"
    line.append(state, style=style)
    line.append(f"  net {_money(now.executor['net_e8_total'])}  in doubt {now.executor['orders_in_doubt']}")
    line.append("  q leaves".rjust(max(0, width - line.cell_len)), style="dim")
    return line


def _obstacles(obstacles: Sequence[Obstacle]) -> Lines:
    """What stops entries or waits for a person, each on its line."""
    shown = obstacles if len(obstacles) <= _OBSTACLES_MAX else obstacles[: _OBSTACLES_MAX - 1]
    lines = [Text(plain(f"! {item.short}: {item.text}"), style=_style(item)) for item in shown]
    if left := obstacles[len(shown) :]:
        lines.append(Text(plain(f"! and {', '.join(item.short for item in left)}"), style="bold yellow"))
    return lines


def _style(obstacle: Obstacle) -> str:
    return "bold red" if obstacle.needs_person else "bold yellow"


def _by_urgency(pairs: Iterable[PairShown]) -> list[PairShown]:
    """What needs a look first, then what is open, then the rest."""
    return sorted(pairs, key=lambda pair: (pair.phase not in _ALERTING, pair.phase is PairPhase.FLAT))


def _pair(pair: PairShown, now: Snapshot) -> Lines:
    strategy, view = pair.settings.strategy, pair.view
    line = Text(f"{pair.settings.id:<6} ", style="bold")
    style = "bold red" if pair.phase in _ALERTING else "green" if pair.phase is PairPhase.HEDGED else ""
    line.append(f"{pair.phase.name:<9} ", style=style)
    if view is not None and view.size_e8:
        long, short = pair.settings.legs if view.direction > 0 else pair.settings.legs[::-1]
        held_s = (now.taken_mono_ns - view.opened_mono_ns) / 1e9
        line.append(
            f"{view.size_e8 / E8:g} +{long.venue} −{short.venue}  {_duration(held_s)}  "
            f"in {view.entry_spread_bps:+.2f} out {_bps(pair.exit_bps)} at {strategy.exit_bps:+.2f}"
        )
    else:
        line.append(f"gap {_bps(pair.forward_bps)} / {_bps(pair.backward_bps)} bps  ")
        line.append(_level(pair))
    if pair.quote_rate is not None:
        line.append(f"  rate {pair.quote_rate:.5f}", style="" if pair.is_rate_usable else "yellow")
    if view is not None and view.naked_e8:
        line.append(f"  NAKED {view.naked_e8 / E8:+g} {pair.settings.base}", style="bold red")
    if view is not None and not view.entries_allowed and pair.phase is PairPhase.FLAT:
        line.append("  no entries", style="yellow")
    return [line, *(_leg(leg) for leg in pair.legs)]


def _level(pair: PairShown) -> str:
    """The gap at which it would enter, whatever makes it so, and the widest one since the start."""
    if pair.gap is None:
        return f"in at {pair.settings.strategy.entry_bps:+.2f}"
    direction = pair.gap.nearest
    return f"in at {pair.gap.needed_bps[direction]:+.2f} best {_bps(pair.gap.best_bps[direction])}"


def _leg(shown: LegShown) -> Text:
    line = Text(f"  {shown.leg.venue:<8} {shown.leg.symbol:<14} ")
    if shown.quote is None or shown.age_ms is None:
        return line.append("no quote yet", style="yellow")
    quote, age = shown.quote, _age(shown.age_ms / 1e3)
    if not shown.is_usable:
        line.append("not usable", style="bold yellow")
        return line.append(f"  last {quote.bid_e8 / E8:,.2f} {quote.ask_e8 / E8:,.2f}  {age} ago")
    sides = ((quote.bid_e8, quote.bid_size_e8), (quote.ask_e8, quote.ask_size_e8))
    touches = " ".join(f"{price_e8 / E8:>12,.2f} × {size_e8 / E8:<8.4g}" for price_e8, size_e8 in sides)
    return line.append(f"{touches} {age:>6}")


def _result(now: Snapshot) -> Lines:
    executor = now.executor
    armed, fresh = executor["template_hits_total"], executor["template_misses_total"]
    estimated = " (estimated)" if executor["estimated_today"] else ""
    return [
        Text(
            f"  gross {_money(executor['gross_e8_total'])}  fees {executor['fees_e8_total'] / E8:,.2f}  "
            f"net {_money(executor['net_e8_total'])}{estimated}  "
            f"naked {executor['naked_us_total'] / 1e6:.3f} s"
        ),
        Text(
            f"  trades {executor['trades_opened_total']} hedged {executor['trades_closed_total']} closed  "
            f"legs closed alone {executor['legs_closed_total']}"
        ),
        Text(
            f"  orders {executor['orders_sent_total']} sent {executor['orders_rejected_total']} rejected  "
            f"armed {armed} of {armed + fresh}  signals {executor['signals_total']}"
        ),
    ]


def _processes(now: Snapshot) -> Lines:
    cells = [_process(process) for process in now.processes]
    lines = [Text("  ").append_text(Text("  ").join(cells[at : at + 3])) for at in range(0, len(cells), 3)]
    for feed in now.feeds:
        age = "none" if feed.data_age_ms is None else _age(feed.data_age_ms / 1e3)
        line = Text(f"  {feed.venue:<8} ")
        line.append(*("connected" if feed.is_connected else "AWAY", "" if feed.is_connected else "bold red"))
        line.append(
            f"  data {age}  {feed.counters['quotes_total']:,} quotes  {feed.counters['gaps_total']} gaps  "
            f"{feed.counters['reconnects_total']} reconnects"
        )
        lines.append(line)
    stored = now.persistence
    database = {DATABASE_UP: "up", DATABASE_AWAY: "AWAY"}.get(stored["database_state"], "not tried yet")
    journal_mb = stored["journal_bytes_total"] / 1e6
    lines.append(
        Text(f"  database {database}  backlog {stored['backlog']:,}  journal {journal_mb:,.1f} MB written")
    )
    return lines


def _process(process: ProcessShown) -> Text:
    well = process.state == "running"
    beat = "" if process.beat_age_s is None else f" {_age(process.beat_age_s)}"
    again = f" ↻{process.restarts}" if process.restarts else ""
    shown = "ok" if well else process.state.upper()
    return Text(f"{process.name} {shown}{beat}{again}", style="" if well else "bold yellow")


def _refusals(now: Snapshot, before: Snapshot) -> Lines:
    """Shares by gate since the last look, or since the start where nothing was evaluated since."""
    lines = []
    for pair, earlier in zip(now.pairs, before.pairs, strict=True):
        since = _difference(pair.gates, earlier.gates)
        if not sum(since.values()):
            since = dict(pair.gates)
        total = sum(since.values())
        shares = sorted(((count, gate) for gate, count in since.items() if count), reverse=True)
        text = "  ".join(f"{gate} {100 * count / total:.0f} %" for count, gate in shares[:4])
        lines.append(
            Text(
                f"  {pair.settings.id:<6} {pair.signals:,} signals of {pair.evaluations:,}: {text or 'none'}"
            )
        )
    return lines


def _difference(later: Mapping[str, int], earlier: Mapping[str, int]) -> dict[str, int]:
    return {name: count - earlier[name] for name, count in later.items()}


def _latency(now: Snapshot) -> Lines:
    names = [
        f"{row.stage}{' ' + row.process.removeprefix('feed-') if row.process.startswith('feed-') else ''}"
        for row in now.stages
    ]
    return [
        Text(f"  {name:<24}{row.p50_us:>7,.0f} / {row.p99_us:<7,.0f}")
        for name, row in zip(names, now.stages, strict=True)
    ]


def _event(line: Mapping[str, Any]) -> Text:
    """A line of the log. Journals of before may hold a venue's text as it came: it is made plain here."""
    style = {"warning": "yellow", "error": "bold red"}.get(line["level"], "")
    shown = " ".join(_field(key, line[key]) for key in _SHOWN_FIELDS if line.get(key) not in (None, ""))
    return Text(plain(f"  {line['ts'][11:23]} {line['event']:<14} {shown}"), style=style)


def _field(key: str, value: object) -> str:
    """Names and words stand for themselves; figures need their name."""
    if key.endswith("_e8") and isinstance(value, int):
        return f"{key.removesuffix('_e8')}={value / E8:g}"
    return f"{key}={value:.3g}" if isinstance(value, (int, float)) else str(value)


def _money(value_e8: int) -> str:
    return f"{value_e8 / E8:+,.2f}"


def _bps(value: float | None) -> str:
    return "—" if value is None else f"{value:+.2f}"


def _age(age_s: float) -> str:
    if age_s < 1:
        return f"{age_s * 1e3:.0f}ms"
    return f"{age_s:.1f}s" if age_s < 60 else _duration(age_s)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=max(0, int(seconds))))
