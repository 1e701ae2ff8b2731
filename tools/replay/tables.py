"""Courses side by side, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from settings import E8
from tools.record.reader import Coverage
from tools.replay.simulate import ReplayResult, Trade


class OutcomeRow(NamedTuple):
    """Amounts in quote currency; ``versus`` is against the unchanged replay, what is open included."""

    settings: str
    signals: int
    trades: int
    won: int
    gross: str
    fees: str
    net: str
    open_: int  # pairs still open at the end
    result: str  # change of what both accounts are worth, open pairs at their middle prices
    versus: str


def outcome_row(label: str, outcome: ReplayResult, unchanged: ReplayResult) -> OutcomeRow:
    trades = outcome.trades
    gained_e8 = outcome.equity_change_e8 - unchanged.equity_change_e8
    return OutcomeRow(
        label,
        sum(outcome.signals.values()),
        len(trades),
        _won(trades),
        _money(sum(trade.gross_e8 for trade in trades)),
        _money(outcome.fees_e8),
        _money(outcome.net_e8),
        outcome.open_pairs,
        _money(outcome.equity_change_e8),
        "" if outcome is unchanged else _money(gained_e8),
    )


def recorded_row(trades: Sequence[Trade], coverage: Coverage) -> OutcomeRow:
    """What was really done meanwhile; what was open at the end is not in it."""
    return OutcomeRow(
        "as recorded",
        coverage.signals,
        len(trades),
        _won(trades),
        _money(sum(trade.gross_e8 for trade in trades)),
        _money(sum(trade.fees_e8 for trade in trades)),
        _money(sum(trade.net_e8 for trade in trades)),
        0,
        "",
        "",
    )


def _won(trades: Sequence[Trade]) -> int:
    return sum(trade.net_e8 > 0 for trade in trades)


def _money(amount_e8: int) -> str:
    return f"{amount_e8 / E8:+,.4f}"
