"""The report as one HTML file that needs nothing else: pictures are inside, there is no script."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from itertools import groupby
from typing import Final

from tools.report.queries import Facts, Trade

_TRADES_SHOWN: Final = 200  # the CSV has them all
_STYLE: Final = """
:root { color-scheme: light; font: 15px/1.45 system-ui, sans-serif; color: #1c2430; background: #fff; }
body { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .4rem 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
img { width: 100%; height: auto; } .wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .45rem; text-align: right; border-bottom: 1px solid #e3e6ea; white-space: nowrap; }
th { color: #5a6270; font-weight: 600; } th:first-child, td:first-child, .text { text-align: left; }
.figures { display: flex; flex-wrap: wrap; gap: .6rem 2rem; margin: 1rem 0; }
.figures b { display: block; font-size: 1.35rem; } .loss { color: #c0392b; } .note { color: #5a6270; }
td.long { white-space: normal; text-align: left; min-width: 18rem; }
"""
_TITLES: Final = {
    "equity": "Equity and drawdown",
    "waterfall": "From gap to net",
    "spread": "Spread over time",
    "slippage": "Slippage",
    "latency": "Latency",
    "exposure": "Exposure",
}


def render(facts: Facts, pictures: Mapping[str, bytes]) -> str:
    """The whole page. Every text that came from outside is escaped."""
    begin, end = (f"{moment:%Y-%m-%d %H:%M} UTC" for moment in facts.period)
    parts = [
        f"<h1>Tandem {escape(facts.whose.bot_id)}, {begin} to {end}</h1>",
        _runs(facts),
        _figures(facts.trades),
        *(_picture(name, data) for name, data in pictures.items()),
        _section("Pairs", _pairs(facts.trades)),
        _section("Days", _days(facts.trades)),
        _section("Venues", _table(facts.venues)),
        _section("Slippage by venue", _table(facts.slippage)),
        _section("Funding", _table(facts.funding)),
        _section("Why it did not trade", _funnel(facts)),
        _section("Incidents", _table(facts.incidents)),
        _section(f"Last {min(_TRADES_SHOWN, len(facts.trades))} trades", _trades(facts.trades)),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Tandem {begin}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}"


def _picture(name: str, data: bytes) -> str:
    encoded = base64.b64encode(data).decode()
    title = _TITLES[name]
    return f'<h2>{title}</h2><img alt="{title}" src="data:image/png;base64,{encoded}">'


def _runs(facts: Facts) -> str:
    mode = facts.whose.mode
    warning = "" if mode == "live" else " Not real money: simulated and paper results are no forecast."
    estimated = sum(trade.is_estimated for trade in facts.trades)
    if estimated:
        warning += (
            f" {estimated:,} of these trades are estimates (marked ≈): a price, fee or amount was not "
            "reported by its venue, or not yet."
        )
    count = f"{len(facts.runs)} run{'s' * (len(facts.runs) != 1)}"
    return f'<p class="note">{count} of bot {escape(facts.whose.bot_id)}, mode {escape(mode)}.{warning}</p>'


def _figures(trades: Sequence[Trade]) -> str:
    if not trades:
        return "<p>No trade was closed in this period.</p>"
    net = sum((trade.net_quote for trade in trades), Decimal(0))
    wins = sum(trade.net_quote > 0 for trade in trades)
    naked = sorted(trade.naked_ms for trade in trades)
    volume = sum((trade.notional_quote for trade in trades), Decimal(0))
    held = sorted((trade.closed_at - trade.opened_at).total_seconds() for trade in trades if trade.opened_at)
    shown = {
        "net result": _amount(net, 2) + " ≈" * any(trade.is_estimated for trade in trades),
        "trades": f"{len(trades):,}",
        "won": f"{100 * wins / len(trades):.0f} %",
        "net per trade": f"{_amount(net / len(trades), 4)}",
        "net of notional": f"{float(net / volume) * 1e4:+.2f} bps" if volume else "–",
        "held, median": f"{held[len(held) // 2]:,.1f} s" if held else "–",
        "naked, median / worst": f"{naked[len(naked) // 2]:,.0f} / {naked[-1]:,.0f} ms",
    }
    if moved := [trade.rate_move_quote for trade in trades if trade.rate_move_quote is not None]:
        shown["of it, moves of the quote rate"] = _amount(sum(moved, Decimal(0)), 4)
    cells = "".join(f"<div>{escape(name)}<b>{value}</b></div>" for name, value in shown.items())
    return f'<div class="figures">{cells}</div>'


def _amount(value: Decimal | float, digits: int) -> str:
    text = f"{value:+,.{digits}f}"
    return f'<span class="loss">{text}</span>' if value < 0 else text


def _pairs(trades: Sequence[Trade]) -> str:
    return _summed(sorted(trades, key=lambda trade: trade.pair), "pair", lambda trade: trade.pair)


def _days(trades: Sequence[Trade]) -> str:
    return _summed(trades, "day (UTC)", lambda trade: f"{trade.closed_at:%Y-%m-%d}")


def _summed(trades: Sequence[Trade], name: str, key: Callable[[Trade], str]) -> str:
    rows = []
    for group, members in groupby(trades, key):
        some = list(members)
        count = len(some)
        rows.append(
            [
                group,
                f"{count:,}",
                f"{sum(trade.entry_spread_bps for trade in some) / count:+.3f}",
                f"{sum(trade.exit_spread_bps for trade in some) / count:+.3f}",
                *(
                    f"{sum((getattr(trade, column) for trade in some), Decimal(0)):,.4f}"
                    for column in (
                        "gross_quote",
                        "slippage_quote",
                        "fees_quote",
                        "funding_quote",
                        "net_quote",
                    )
                ),
                f"{sum(trade.is_estimated for trade in some):,}",
                f"{max(trade.naked_ms for trade in some):,.0f}",
                f"{sum(trade.retries for trade in some):,}",
            ]
        )
    head = [name, "trades", "entry bps", "exit bps", "gross", "slippage", "fees", "funding", "net"]
    return _html_table([*head, "estimated", "worst naked ms", "retries"], rows)


def _funnel(facts: Facts) -> str:
    rows = []
    for row in facts.funnel:
        rows.append([f"{row.pair}: evaluations", f"{row.evaluations:,}", "100 %"])
        some = [(gate.gate, gate.refusals) for gate in facts.refused if gate.pair == row.pair]
        for gate, count in [*some, ("signals", row.signals)]:
            rows.append([f"– {gate}", f"{count:,}", f"{100 * count / max(1, row.evaluations):.3f} %"])
    return _html_table(["gate", "refusals", "share"], rows)


def _rate_move(trade: Trade) -> str:
    """From which rate to which, and what that made of the result."""
    if trade.rate_move_quote is None:
        return "–"
    rates = (trade.opening_quote_rate or 0, trade.closing_quote_rate or 0)
    return f"{rates[0]:.6f} → {rates[1]:.6f}: {trade.rate_move_quote:+,.4f}"


def _trades(trades: Sequence[Trade]) -> str:
    has_rates = any(trade.rate_move_quote is not None for trade in trades)
    rows = [
        [
            _text(trade.closed_at),
            trade.pair,
            f"{trade.direction:+d}",
            f"{trade.size_base.normalize():f}",
            f"{trade.entry_spread_bps:+.2f}",
            f"{trade.exit_spread_bps:+.2f}",
            f"{trade.gross_quote:,.4f}",
            f"{trade.fees_quote:,.4f}",
            f"{trade.net_quote:,.4f}{' ≈' * trade.is_estimated}",
            f"{trade.naked_ms:,.0f}",
            *([_rate_move(trade)] if has_rates else []),
        ]
        for trade in reversed(trades[-_TRADES_SHOWN:])
    ]
    head = [
        "closed",
        "pair",
        "direction",
        "size",
        "entry bps",
        "exit bps",
        "gross",
        "fees",
        "net",
        "naked ms",
        *(["quote rate, and what its move made"] if has_rates else []),
    ]
    return _html_table(head, rows)


def _table(rows: Sequence[tuple[object, ...]]) -> str:
    """Named tuples as they are, their columns' names as heads."""
    if not rows:
        return '<p class="note">Nothing.</p>'
    head = [name.replace("_", " ") for name in rows[0]._fields]  # type: ignore[attr-defined]
    return _html_table(head, [[_text(value) for value in row] for row in rows])


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value + 0.0:,.3f}".replace("-0.000", "0.000")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def _html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "\n".join(
        "<tr>" + "".join(f"<td{_cell_class(cell)}>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{titles}</tr>\n{lines}</table></div>'


def _cell_class(cell: str) -> str:
    """Words to the left, figures and times to the right; what is long may wrap."""
    if len(cell) > 40:
        return ' class="long"'
    return ' class="text"' if cell[:1].isalpha() else ""
