"""Reads the report's rows from the database. Amounts are Decimal, times UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg.rows import class_row, namedtuple_row


class Period(NamedTuple):
    """From (included) to (excluded), both UTC."""

    begin: datetime
    end: datetime


class Whose(NamedTuple):
    """One bot in one mode: nothing of a report is of another."""

    bot_id: str
    mode: str


@dataclass(frozen=True, slots=True)
class Trade:
    """One closed trade. ``notional_quote`` is the mean value of one leg, ``slippage_quote`` a cost."""

    trade_id: int
    pair: str
    direction: int
    size_base: Decimal
    opened_at: datetime | None  # None: it was never hedged
    closed_at: datetime
    entry_spread_bps: float
    exit_spread_bps: float
    gross_quote: Decimal
    slippage_quote: Decimal
    fees_quote: Decimal
    funding_quote: Decimal
    net_quote: Decimal
    naked_ms: float
    retries: int
    notional_quote: Decimal
    is_estimated: bool
    bot_id: str
    mode: str
    # Of a pair with a live quote rate: at entry and exit, and what of the result its move made.
    opening_quote_rate: Decimal | None = None
    closing_quote_rate: Decimal | None = None
    rate_move_quote: Decimal | None = None


_TRADES: Final = """
with legs as (
    select trade_id, avg(filled_base * average_price_quote) as notional
    from orders where bot_id = %(bot_id)s and mode = %(mode)s and filled_base > 0 and trade_id is not null
    group by trade_id
), slipped as (
    select trade_id, sum(coalesce(first_leg_bps, 0) + coalesce(second_leg_bps, 0)) as bps
    from slippage where bot_id = %(bot_id)s and mode = %(mode)s group by trade_id
)
select t.trade_id, t.pair, t.direction, coalesce(t.size_base, 0) as size_base, t.opened_at, t.closed_at,
       coalesce(t.entry_spread_bps, 0) as entry_spread_bps, coalesce(t.exit_spread_bps, 0) as exit_spread_bps,
       coalesce(t.gross_quote, 0) as gross_quote,
       round(coalesce(s.bps, 0)::numeric * coalesce(l.notional, 0) / 10000, 8) as slippage_quote,
       coalesce(t.fees_quote, 0) as fees_quote, coalesce(t.funding_quote, 0) as funding_quote,
       coalesce(t.net_quote, 0) as net_quote, coalesce(t.naked_ms, 0) as naked_ms,
       coalesce(t.retries, 0) as retries, round(coalesce(l.notional, 0), 8) as notional_quote,
       t.is_estimated, t.bot_id, t.mode, t.opening_quote_rate, t.closing_quote_rate, t.rate_move_quote
from trades t left join legs l using (trade_id) left join slipped s using (trade_id)
where t.bot_id = %(bot_id)s and t.mode = %(mode)s
      and t.state = 'closed' and t.closed_at >= %(begin)s and t.closed_at < %(end)s
order by t.closed_at, t.trade_id
"""
_EXECUTIONS: Final = """
select o.venue, o.symbol, coalesce(o.done_at, o.sent_at) as at,
       (case o.side when 'BUY' then 1 else -1 end * o.filled_base)::float8 as size_base,
       o.average_price_quote::float8 as price_quote
from orders o
where o.bot_id = %(bot_id)s and o.mode = %(mode)s and o.filled_base > 0
      and o.sent_at >= %(begin)s and o.sent_at < %(end)s
order by 3, o.client_order_id
"""
# Columns as users of other bots know them.
_FILLS: Final = """
select f.client_order_id, o.venue_order_id, f.venue, f.symbol, o.pair, o.trade_id, f.side as order_side,
       f.price_quote as last_px, f.size_base as last_qty, f.fee_quote as commission, f.filled_at as ts_event,
       coalesce(o.is_estimated, false) and f.is_remainder as is_estimated
from fills f left join orders o using (bot_id, mode, client_order_id)
where f.bot_id = %(bot_id)s and f.mode = %(mode)s and f.filled_at >= %(begin)s and f.filled_at < %(end)s
order by f.filled_at, f.fill_id
"""
_VENUES: Final = """
select venue, count(*) as orders, count(*) filter (where filled_base > 0) as filled,
       count(*) filter (where status = 'rejected') as rejected,
       count(*) filter (where attempt > 0) as retries,
       round(coalesce(sum(filled_base * average_price_quote), 0), 2) as volume_quote,
       round(coalesce(sum(fee_quote), 0), 4) as fees_quote,
       count(*) filter (where is_estimated) as estimated,
       percentile_cont(0.5) within group (order by ack_us) / 1000 as ack_ms_p50,
       percentile_cont(0.99) within group (order by ack_us) / 1000 as ack_ms_p99
from orders
where bot_id = %(bot_id)s and mode = %(mode)s and sent_at >= %(begin)s and sent_at < %(end)s
group by venue order by venue
"""
_SLIPPAGE_BY_VENUE: Final = """
select venue, kind, count(*) as legs, avg(bps) as mean_bps,
       percentile_cont(0.5) within group (order by bps) as p50_bps,
       percentile_cont(0.95) within group (order by bps) as p95_bps
from (
    select s.bot_id, s.mode, p.first_venue as venue, s.kind, s.first_leg_bps as bps, s.at from slippage s
    join pairs p using (run_id, pair)
    union all
    select s.bot_id, s.mode, p.second_venue, s.kind, s.second_leg_bps, s.at from slippage s
    join pairs p using (run_id, pair)
) legs
where bot_id = %(bot_id)s and mode = %(mode)s and bps is not null and at >= %(begin)s and at < %(end)s
group by venue, kind order by venue, kind
"""
_STAGES: Final = """
select recv_to_publish_us, publish_to_seen_us, seen_to_decided_us, decided_to_executor_us,
       executor_to_first_us, executor_to_both_us, recv_to_both_us, first_leg_bps, second_leg_bps
from slippage where bot_id = %(bot_id)s and mode = %(mode)s and at >= %(begin)s and at < %(end)s
"""
# Events belong to the bot and mode of their run.
_OUR_EVENTS: Final = """
    run_id in (select run_id from runs where coalesce(bot_id, '') = %(bot_id)s and mode = %(mode)s)
    and at >= %(begin)s and at < %(end)s
"""
_FUNNEL: Final = f"""
select pair, sum((body->>'evaluations')::bigint)::bigint as evaluations,
       sum((body->>'signals')::bigint)::bigint as signals
from events where event = 'refusals' and {_OUR_EVENTS} group by pair order by pair
"""
_REFUSED: Final = f"""
select pair, gate.key as gate, sum(gate.value::bigint)::bigint as refusals
from events, jsonb_each_text(body->'gates') gate
where event = 'refusals' and {_OUR_EVENTS}
group by 1, 2 order by 1, 3 desc
"""
_SPREADS: Final = f"""
select at, pair, (body->'spreads_bps'->>0)::float8 as forward_bps,
       (body->'spreads_bps'->>1)::float8 as backward_bps
from events where event = 'refusals' and jsonb_typeof(body->'spreads_bps') = 'array'
      and {_OUR_EVENTS}
order by at
"""
_INCIDENTS: Final = f"""
select level, event, count(*) as times, min(at) as first_at, max(at) as last_at,
       (array_agg(coalesce(body->>'detail', body->>'reason', '') order by at desc))[1] as last_detail
from events where level in ('warning', 'error') and {_OUR_EVENTS}
group by level, event order by level, times desc
"""
_FUNDING: Final = """
select venue, symbol, count(*) as payments, sum(amount_quote) as amount_quote
from funding
where bot_id = %(bot_id)s and mode = %(mode)s and paid_at >= %(begin)s and paid_at < %(end)s
group by 1, 2 order by 1, 2
"""
_RUNS: Final = """
select run_id, mode, version, started_at, stopped_at, exit_code from runs
where coalesce(bot_id, '') = %(bot_id)s and mode = %(mode)s
      and started_at < %(end)s and coalesce(stopped_at, 'infinity') >= %(begin)s order by started_at
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything one report shows. Untyped rows are named tuples with the columns of their query."""

    period: Period
    whose: Whose
    trades: Sequence[Trade]
    executions: Sequence[Any]
    fills: Sequence[Any]
    venues: Sequence[Any]
    slippage: Sequence[Any]
    stages: Sequence[Any]
    funnel: Sequence[Any]
    refused: Sequence[Any]
    spreads: Sequence[Any]
    incidents: Sequence[Any]
    funding: Sequence[Any]
    runs: Sequence[Any]


def gather(connection: psycopg.Connection[Any], period: Period, whose: Whose) -> Facts:
    """Read one period of one bot and mode in one transaction. Raises psycopg.Error."""
    bounds = {**period._asdict(), **whose._asdict()}

    def rows(sql: LiteralString) -> list[Any]:
        with connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(sql, bounds).fetchall()

    with connection.transaction():
        connection.execute("set local time zone 'UTC'")
        # Every join here is over whole tables. Without fresh statistics the planner would loop over
        # both sides: minutes instead of seconds at 100,000 trades.
        connection.execute("set local enable_nestloop = off")
        with connection.cursor(row_factory=class_row(Trade)) as cursor:
            trades = cursor.execute(_TRADES, bounds).fetchall()
        return Facts(
            period=period,
            whose=whose,
            trades=trades,
            executions=rows(_EXECUTIONS),
            fills=rows(_FILLS),
            venues=rows(_VENUES),
            slippage=rows(_SLIPPAGE_BY_VENUE),
            stages=rows(_STAGES),
            funnel=rows(_FUNNEL),
            refused=rows(_REFUSED),
            spreads=rows(_SPREADS),
            incidents=rows(_INCIDENTS),
            funding=rows(_FUNDING),
            runs=rows(_RUNS),
        )
