"""Measures a report of many trades: ``python -m benchmarks.report [TRADES]``.

The rows are written by SQL into a PostgreSQL of its own; queries, pictures, page and CSV are the
product's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from persistence.server import start_server, stop_server
from persistence.store import Store
from tools.report.command import write
from tools.report.queries import Period, Whose, gather

_TRADES = """
insert into trades (trade_id, run_id, pair, direction, state, size_base, opened_at, closed_at,
                    entry_spread_bps, exit_spread_bps, gross_quote, fees_quote, funding_quote,
                    net_quote, naked_ms, retries)
select n, 'r', 'btc', 1, 'closed', 0.02, timestamptz '2026-01-01Z' + n * interval '6 s',
       timestamptz '2026-01-01Z' + n * interval '6 s' + interval '3 s',
       2 + sin(n), cos(n), 0.1 + 0.3 * sin(n * 7), 0.02, 0, 0.08 + 0.3 * sin(n * 7), 10, 0
from generate_series(1, %(trades)s) n;
"""
_ORDERS = """
insert into orders (client_order_id, run_id, trade_id, pair, leg, venue, symbol, side, purpose, attempt,
                    size_base, status, filled_base, average_price_quote, fee_quote, sent_at, done_at, ack_us)
select n * 4 + leg, 'r', n, 'btc', mod(leg, 2),
       (array['vest', 'paradex'])[mod(leg, 2) + 1], 'BTC',
       case when leg in (0, 3) then 'BUY' else 'SELL' end,
       case when leg < 2 then 'entry' else 'exit' end, 0, 0.02, 'filled', 0.02, 60000, 0.005, at, at, 9000
from (
    select n, leg, timestamptz '2026-01-01Z' + n * interval '6 s' + leg * interval '1 s' as at
    from generate_series(1, %(trades)s) n, generate_series(0, 3) leg
) legs;
"""
_SLIPPAGE = """
insert into slippage (trade_id, kind, run_id, pair, at, first_leg_bps, second_leg_bps, executor_to_both_us,
                      recv_to_both_us)
select n, 'entry', 'r', 'btc', timestamptz '2026-01-01Z' + n * interval '6 s', sin(n), cos(n),
       500 + mod(n, 300), 900 + mod(n, 700)
from generate_series(1, %(trades)s) n;
"""


def main(trades: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tandem-benchmark-") as name:
        directory = Path(name)
        url = start_server(directory / "var")
        try:
            store = Store(url, "benchmark")
            store.migrate()
            store.close()
            with psycopg.connect(url) as connection:
                for sql in (_TRADES, _ORDERS, _SLIPPAGE):
                    connection.execute(sql.encode(), {"trades": trades})
            began = time.perf_counter()
            with psycopg.connect(url) as connection:
                year = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
                facts = gather(connection, year, Whose("", ""))
            read = time.perf_counter()
            write(facts, directory)
            written = time.perf_counter()
            size_mb = (directory / "report.html").stat().st_size / 1e6
        finally:
            stop_server(directory / "var")
    print(
        f"{len(facts.trades):,} trades: {read - began:.1f} s to read, {written - read:.1f} s to draw and "
        f"write, report.html {size_mb:.1f} MB"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
