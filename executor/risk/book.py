"""What limits are checked against: everything that all pairs share of the day's risk."""

from __future__ import annotations

from typing import NamedTuple

from executor.risk.circuit_breaker import Breaker
from executor.risk.daily_pnl import Results
from executor.risk.exposure import Exposure
from executor.risk.margin import Margins
from executor.risk.order_rate import OrderRate


class Risk(NamedTuple):
    """One executor's risk, kept up to date by the engine and its subscribers, read by the gates."""

    breaker: Breaker
    exposure: Exposure
    results: Results
    margins: Margins
    rate: OrderRate
