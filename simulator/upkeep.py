"""Does what a venue does by the clock: move the funding index, liquidate accounts below maintenance."""

from __future__ import annotations

from collections.abc import Callable

from simulator.exchange import Exchange
from venues.contract import E8


class Upkeep:
    """Funding and liquidation of one exchange. ``tick`` is called about once a second.

    Rates are fractions of the mark (scaled by 10**12) per ``rate_period_s``; the index moves at
    every whole multiple of ``step_s`` on the exchange's clock: 3600 settles on the hour, 1 is as
    good as continuous. ``settle`` is called once the index has moved, where funding is paid at once and not
    with the next fill.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        rate_period_s: int,
        step_s: int,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._exchange = exchange
        self._rate_period_s = rate_period_s
        self._step_s = step_s
        self._settle = settle
        self._rates_e12 = dict.fromkeys(exchange.symbols, 0)
        self._steps_done = self._steps_now()

    def rate_e12(self, symbol: str) -> int:
        return self._rates_e12[symbol]

    def set_rate(self, symbol: str, rate_e12: int) -> None:
        """Positive: longs pay shorts."""
        self._rates_e12[symbol] = rate_e12

    def tick(self) -> None:
        """Accrue the steps that have passed, then liquidate accounts that no longer cover maintenance."""
        steps = self._steps_now() - self._steps_done
        if steps > 0:
            self._steps_done += steps
            for symbol, rate_e12 in self._rates_e12.items():
                per_period_e12 = self._exchange.mark_e8(symbol) * rate_e12 // E8
                amount_e12 = per_period_e12 * steps * self._step_s // self._rate_period_s
                self._exchange.accrue_funding(symbol, amount_e12)
            self._settle()
        for account_id in self._exchange.account_ids:
            if self._exchange.account(account_id).is_liquidatable:
                self._exchange.liquidate(account_id)

    def _steps_now(self) -> int:
        return self._exchange.now_unix_ns() // (self._step_s * 1_000_000_000)
