"""Market summaries: prices now, and what was traded since the venue started and in 24 hours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.exchange import Exchange
from simulator.orders import SimTrade
from simulator.paradex.records import SummaryRecord
from venues.contract import E8

DAY_NS = 24 * 3600 * 10**9


@dataclass(slots=True)
class _Tape:
    """One market's trades of the last day, as (time, price, notional)."""

    day: deque[tuple[int, int, int]] = field(default_factory=deque)
    day_notional_e8: int = 0
    total_notional_e8: int = 0
    seq_no: int = 0

    def forget_before(self, unix_ns: int) -> None:
        while self.day and self.day[0][0] < unix_ns:
            self.day_notional_e8 -= self.day.popleft()[2]


class Summaries:
    """Belongs to the event loop's thread."""

    def __init__(
        self, exchange: Exchange, accounts: Callable[[], list[str]], funding_rate_e12: Callable[[str], int]
    ) -> None:
        self._exchange = exchange
        self._funding_rate_e12 = funding_rate_e12
        self._accounts = accounts
        self._tapes = {symbol: _Tape() for symbol in exchange.symbols}

    def traded(self, trade: SimTrade) -> None:
        tape = self._tapes[trade.symbol]
        notional_e8 = trade.price_e8 * trade.size_e8 // E8
        tape.day.append((trade.unix_ns, trade.price_e8, notional_e8))
        tape.day_notional_e8 += notional_e8
        tape.total_notional_e8 += notional_e8

    def record(self, symbol: str) -> SummaryRecord:
        now_unix_ns = self._exchange.now_unix_ns()
        tape = self._tapes[symbol]
        tape.forget_before(now_unix_ns - DAY_NS)
        tape.seq_no += 1
        bids, asks = self._exchange.depth(symbol, 1)
        mark_e8 = self._exchange.mark_e8(symbol)
        last_e8 = tape.day[-1][1] if tape.day else mark_e8
        first_e8 = tape.day[0][1] if tape.day else mark_e8
        return SummaryRecord(
            market=symbol,
            seq_no=tape.seq_no,
            mark_price_e8=mark_e8,
            index_price_e8=mark_e8,
            fair_price_e8=mark_e8,
            last_price_e8=last_e8,
            bid_e8=bids[0][0] if bids else None,
            bid_size_e8=bids[0][1] if bids else None,
            ask_e8=asks[0][0] if asks else None,
            ask_size_e8=asks[0][1] if asks else None,
            volume_24h_e8=tape.day_notional_e8,
            total_volume_e8=tape.total_notional_e8,
            open_interest_e8=self._open_interest_e8(symbol),
            funding_rate_e12=self._funding_rate_e12(symbol),
            change_24h_e8=(last_e8 - first_e8) * E8 // first_e8 if first_e8 else 0,
            created_us=now_unix_ns // 1000,
        )

    def _open_interest_e8(self, symbol: str) -> int:
        """Size the clients hold long; the market maker holds the other side of the rest."""
        return sum(
            max(0, position.size_e8)
            for account in self._accounts()
            for position in self._exchange.positions(account)
            if position.symbol == symbol
        )
