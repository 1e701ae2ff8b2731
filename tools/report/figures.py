"""The report's pictures. Each function draws one and returns it as PNG bytes; nothing is shown."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Final

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as dates
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.report.queries import Facts, Trade

_GAIN, _LOSS, _MAIN, _SECOND, _GREY = "#2b8a5a", "#c0392b", "#1f4e8c", "#d98e04", "#8a8f98"
Column = npt.NDArray[np.float64]
_POINTS_MAX: Final = 20_000  # more cannot be distinguished on a screen and cost seconds


def draw_all(facts: Facts) -> Mapping[str, bytes]:
    """File name (without .png) -> picture, in the order of the page."""
    drawn: dict[str, Callable[[Facts], Figure | None]] = {
        "equity": _equity,
        "waterfall": _waterfall,
        "spread": _spread,
        "slippage": _slippage,
        "latency": _latency,
        "exposure": _exposure,
    }
    figures = {name: draw(facts) for name, draw in drawn.items()}
    return {name: _png(figure) for name, figure in figures.items() if figure is not None}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _figure(
    rows: int = 1, *, height: float = 3.2, ratios: Sequence[float] = (1,)
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(9.5, height), layout="constrained")
    grid = figure.subplots(rows, 1, sharex=rows > 1, squeeze=False, height_ratios=ratios)
    axes = [row[0] for row in grid]
    for axis in axes:
        axis.grid(visible=True, color="#e3e6ea", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _time_axis(axis: Axes) -> None:
    locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _times(moments: Iterable[datetime]) -> Column:
    return np.asarray(dates.date2num(list(moments)), dtype=np.float64)  # type: ignore[no-untyped-call]


def _column(values: Iterable[float]) -> Column:
    return np.fromiter(values, dtype=np.float64)


def _thinned(*columns: Column) -> list[Column]:
    """Every n-th point, the last one included, of columns too long to draw."""
    step = max(1, -(-len(columns[0]) // _POINTS_MAX))
    if step == 1:
        return list(columns)
    return [np.append(column[::step], column[-1]) for column in columns]


def _equity(facts: Facts) -> Figure | None:
    if not facts.trades:
        return None
    at = _times(trade.closed_at for trade in facts.trades)
    equity = _column(float(total) for total in accumulate(trade.net_quote for trade in facts.trades))
    drawdown = equity - np.maximum.accumulate(np.maximum(equity, 0.0))
    figure, (above, below) = _figure(2, height=4.2, ratios=(3, 1))
    at, equity, drawdown = _thinned(at, equity, drawdown)
    above.step(at, equity, where="post", color=_MAIN, linewidth=1.4)
    above.set_ylabel("net result, quote")
    below.fill_between(at, drawdown, step="post", color=_LOSS, alpha=0.35, linewidth=0)
    below.set_ylabel("drawdown")
    _time_axis(below)
    return figure


def steps_of(trades: Sequence[Trade]) -> list[tuple[str, float]]:
    """The waterfall: from what the detector saw to what was kept. They add up to the last one."""
    gross = sum(float(trade.gross_quote) for trade in trades)
    slipped = sum(float(trade.slippage_quote) for trade in trades)
    fees = sum(float(trade.fees_quote) for trade in trades)
    funding = sum(float(trade.funding_quote) for trade in trades)
    return [
        ("gap as seen", gross + slipped),
        ("slippage", -slipped),
        ("fees", -fees),
        ("funding", funding),
        ("net", gross - fees + funding),
    ]


def _waterfall(facts: Facts) -> Figure | None:
    if not facts.trades:
        return None
    figure, (axis,) = _figure(height=3.0)
    level = 0.0
    for place, (name, change) in enumerate(steps_of(facts.trades)):
        is_total = name in ("gap as seen", "net")
        base = 0.0 if is_total else level
        level = change if is_total else level + change
        color = _MAIN if is_total else _GAIN if change >= 0 else _LOSS
        axis.bar(place, change, bottom=base, color=color, width=0.6)
        axis.annotate(
            f"{change:+,.2f}",
            (place, max(base, base + change)),
            ha="center",
            va="bottom",
            xytext=(0, 2),
            textcoords="offset points",
        )
    axis.set_xticks(range(5), [name for name, _ in steps_of(facts.trades)])
    axis.axhline(0, color=_GREY, linewidth=0.8)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.12 * (high - low))  # room for the labels
    axis.set_ylabel("quote")
    return figure


def _spread(facts: Facts) -> Figure | None:
    pairs = sorted({row.pair for row in facts.spreads} | {trade.pair for trade in facts.trades})
    if not pairs:
        return None
    figure, axes = _figure(len(pairs), height=1.2 + 2.2 * len(pairs), ratios=[1] * len(pairs))
    for axis, pair in zip(axes, pairs, strict=True):
        seen = [row for row in facts.spreads if row.pair == pair]
        if seen:
            at, best = _thinned(
                _times(row.at for row in seen),
                _column(max(row.forward_bps, row.backward_bps) for row in seen),
            )
            axis.plot(at, best, color=_GREY, linewidth=0.7, label="gap, better direction")
        trades = [trade for trade in facts.trades if trade.pair == pair and trade.opened_at is not None]
        entries = _thinned(
            _times(trade.opened_at for trade in trades if trade.opened_at),
            _column(trade.entry_spread_bps for trade in trades),
        )
        exits = _thinned(
            _times(trade.closed_at for trade in trades), _column(trade.exit_spread_bps for trade in trades)
        )
        axis.plot(*entries, "^", color=_GAIN, markersize=5, label="entry, as filled")
        axis.plot(*exits, "v", color=_LOSS, markersize=5, label="exit, given back")
        axis.set_ylabel("bps")
        axis.set_title(pair, loc="left")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False, ncols=3)
    _time_axis(axes[-1])
    return figure


def _slippage(facts: Facts) -> Figure | None:
    costs = [
        value
        for row in facts.stages
        for value in (row.first_leg_bps, row.second_leg_bps)
        if value is not None
    ]
    if not costs:
        return None
    figure, (axis,) = _figure(height=2.6)
    axis.hist(np.clip(costs, *np.percentile(costs, [0.5, 99.5])), bins=60, color=_SECOND)
    axis.axvline(float(np.mean(costs)), color=_LOSS, linewidth=1.2, label=f"mean {np.mean(costs):+.3f} bps")
    axis.legend(frameon=False)
    axis.set_xlabel("fill against the price seen, bps per leg (positive = worse; outer 1 % clipped)")
    axis.set_ylabel("legs")
    return figure


def _latency(facts: Facts) -> Figure | None:
    shown = {
        "detector to both orders written": "executor_to_both_us",
        "frame received to both orders written": "recv_to_both_us",
    }
    series = {
        label: [value for row in facts.stages if (value := getattr(row, column))]
        for label, column in shown.items()
    }
    if not any(series.values()):
        return None
    figure, (axis,) = _figure(height=2.6)
    highest = max(max(values) for values in series.values() if values)
    lowest = min(min(values) for values in series.values() if values)
    bins = np.geomspace(lowest, highest * 1.01, 60)
    for (label, values), color in zip(series.items(), (_SECOND, _MAIN), strict=True):
        if values:
            axis.hist(
                values,
                bins=list(bins),
                alpha=0.6,
                color=color,
                label=f"{label}, p50 {np.median(values):,.0f} µs",
            )
    axis.set_xscale("log")
    axis.legend(frameon=False)
    axis.set_xlabel("µs, logarithmic")
    axis.set_ylabel("signals")
    return figure


def _exposure(facts: Facts) -> Figure | None:
    """What each venue held in quote currency, and what was left of both together."""
    if not facts.executions:
        return None
    held: dict[tuple[str, str], float] = defaultdict(float)
    price: dict[tuple[str, str], float] = {}
    venues = sorted({row.venue for row in facts.executions})
    series: dict[str, list[float]] = {venue: [] for venue in venues}
    for row in facts.executions:
        key = (row.venue, row.symbol)
        held[key] += row.size_base
        price[key] = row.price_quote
        for venue in venues:
            series[venue].append(sum(size * price[at] for at, size in held.items() if at[0] == venue))
    columns = [_column(values) for values in series.values()]
    at, net, *by_venue = _thinned(
        _times(row.at for row in facts.executions), np.sum(columns, axis=0), *columns
    )
    figure, (axis,) = _figure(height=3.0)
    for venue, values, color in zip(venues, by_venue, (_MAIN, _SECOND, _GAIN, _GREY), strict=False):
        axis.step(at, values, where="post", color=color, linewidth=0.9, label=venue)
    axis.fill_between(at, net, step="post", color=_LOSS, alpha=0.4, linewidth=0, label="net of both")
    axis.legend(frameon=False, ncols=3, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axis.set_ylabel("quote")
    _time_axis(axis)
    return figure
