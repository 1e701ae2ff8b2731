"""Translates events into rows: one event in, SQL statements out. Pure.

Statements run in the order of their events, each event once. Inserts do nothing where the row
exists already (two runs may report one order); updates only move an order forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec import to_builtins

from events.codec import Reported, fields_of
from events.event import Event
from events.fills import FillReported, FundingPaid
from events.instance import ConfiguredPair, ProcessesStopped, SettingsLoaded
from events.orders import (
    IntentWritten,
    LegAcked,
    LegCancelled,
    LegCorrected,
    LegFilled,
    LegRejected,
    LegResolved,
    LegRetold,
    LegUnknown,
    OrderChanged,
)
from events.positions import HoldingChanged, PositionReported
from events.trades import SlippageMeasured, TradeClosed, TradeCorrected, TradeOpened, TradeRetold

Statement = tuple[str, Mapping[str, Any]]

_RUN: Final = """
    insert into runs (run_id, started_at, mode, version, bot_id)
    values (%(run_id)s, %(ts)s, %(mode)s, %(version)s, %(bot_id)s) on conflict do nothing
"""
_PAIR: Final = """
    insert into pairs (run_id, pair, first_venue, first_symbol, second_venue, second_symbol,
                       size_base, entry_bps, exit_bps)
    values (%(run_id)s, %(pair)s, %(first_venue)s, %(first_symbol)s, %(second_venue)s, %(second_symbol)s,
            %(size)s, %(entry_bps)s, %(exit_bps)s)
    on conflict do nothing
"""
_RUN_STOPPED: Final = """
    update runs set stopped_at = %(ts)s, exit_code = %(exit_code)s where run_id = %(run_id)s
"""
# Whose row it is: bots and modes that share a database count, hold and earn apart.
_BOT: Final = "coalesce((select bot_id from runs where run_id = %(run_id)s), '')"
_MODE: Final = "coalesce((select mode from runs where run_id = %(run_id)s), '')"
_ORDER: Final = f"""
    insert into orders (bot_id, mode, client_order_id, run_id, trade_id, pair, leg, venue, symbol, side,
                        purpose, attempt, reduce_only, size_base, limit_price_quote, status, sent_at)
    values ({_BOT}, {_MODE}, %(client_order_id)s, %(run_id)s, %(trade_id)s, %(pair)s, %(leg)s, %(venue)s,
            %(symbol)s, %(side)s, %(purpose)s, %(attempt)s, %(reduce_only)s, %(size)s, %(limit_price)s,
            'sent', %(ts)s)
    on conflict do nothing
"""
# order_state is the machine's word for where the order stands. An executor killed between an order's
# bytes and its intent's line leaves an order whose first event is its outcome.
_ORDER_CHANGE: Final = f"""
    insert into orders (bot_id, mode, client_order_id, run_id, trade_id, pair, leg, venue, symbol, side,
                        purpose, attempt, size_base, status, venue_order_id, filled_base,
                        average_price_quote, fee_quote, is_estimated, reason, acked_at, ack_us,
                        fill_us, done_at)
    values ({_BOT}, {_MODE}, %(client_order_id)s, %(run_id)s, %(trade_id)s, %(pair)s, %(leg)s, %(venue)s,
            %(symbol)s, %(side)s, %(purpose)s, %(attempt)s, %(size)s, %(order_state)s,
            nullif(%(venue_order_id)s, ''), %(filled)s, %(average_price)s, %(fee)s, %(is_estimated)s,
            nullif(%(reason_text)s, ''),
            case when %(is_answered)s then %(ts)s::timestamptz end, %(ack_us)s, %(fill_us)s,
            case when %(is_ended)s then %(ts)s::timestamptz end)
    on conflict (bot_id, mode, client_order_id) do update set
        status = excluded.status,
        venue_order_id = coalesce(excluded.venue_order_id, orders.venue_order_id),
        filled_base = excluded.filled_base,
        average_price_quote = excluded.average_price_quote,
        fee_quote = excluded.fee_quote,
        is_estimated = excluded.is_estimated,
        reason = coalesce(excluded.reason, orders.reason),
        acked_at = coalesce(orders.acked_at, excluded.acked_at),
        ack_us = coalesce(orders.ack_us, excluded.ack_us),
        fill_us = coalesce(orders.fill_us, excluded.fill_us),
        done_at = coalesce(orders.done_at, excluded.done_at)
"""
_FILL: Final = f"""
    insert into fills (bot_id, mode, venue, fill_id, client_order_id, trade_id, run_id, symbol, side,
                       price_quote, size_base, fee_quote, filled_at)
    values ({_BOT}, {_MODE}, %(venue)s, %(fill_id)s, nullif(%(client_order_id)s::bigint, 0),
            nullif(%(trade_id)s::bigint, 0), %(run_id)s, %(symbol)s, %(side)s, %(price)s, %(size)s,
            %(fee)s, %(ts)s)
    on conflict do nothing
"""
# What an order filled beyond its single fills, once it has ended; see migration 0005.
_FORGET_REMAINDER: Final = f"""
    delete from fills
    where bot_id = {_BOT} and mode = {_MODE} and client_order_id = %(client_order_id)s and is_remainder
"""
_REMAINDER: Final = f"""
    insert into fills (bot_id, mode, venue, fill_id, client_order_id, trade_id, run_id, symbol, side,
                       price_quote, size_base, fee_quote, filled_at, is_remainder)
    select o.bot_id, o.mode, o.venue, 'remainder-' || o.client_order_id, o.client_order_id, o.trade_id,
           o.run_id, o.symbol, o.side,
           greatest((o.filled_base * o.average_price_quote - f.quote) / (o.filled_base - f.base), 0),
           o.filled_base - f.base, o.fee_quote - f.fee, o.done_at, true
    from orders o, (
        select coalesce(sum(size_base), 0) as base, coalesce(sum(size_base * price_quote), 0) as quote,
               coalesce(sum(fee_quote), 0) as fee
        from fills where bot_id = {_BOT} and mode = {_MODE} and client_order_id = %(client_order_id)s
    ) as f
    where o.bot_id = {_BOT} and o.mode = {_MODE} and o.client_order_id = %(client_order_id)s
          and o.done_at is not null and o.filled_base > f.base
"""
# What a pair holds by its own orders, one row per leg; and what the venue says it holds there.
_HOLDING: Final = f"""
    insert into positions (bot_id, mode, venue, symbol, run_id, pair, trade_id, size_base, entry_price_quote,
                           is_estimated, updated_at)
    values ({_BOT}, {_MODE}, %(venue)s, %(symbol)s, %(run_id)s, %(pair)s, nullif(%(trade_id)s::bigint, 0),
            %(size)s, nullif(%(entry_price)s::numeric, 0), %(is_estimated)s, %(ts)s)
    on conflict (bot_id, mode, venue, symbol) do update set
        run_id = excluded.run_id, pair = excluded.pair, trade_id = excluded.trade_id,
        size_base = excluded.size_base, entry_price_quote = excluded.entry_price_quote,
        is_estimated = excluded.is_estimated, updated_at = excluded.updated_at
    where positions.updated_at is null or positions.updated_at <= excluded.updated_at
"""
_POSITION: Final = f"""
    insert into positions (bot_id, mode, venue, symbol, run_id, pair, venue_size_base, venue_told_at)
    values ({_BOT}, {_MODE}, %(venue)s, %(symbol)s, %(run_id)s, %(pair)s, %(size)s, %(ts)s)
    on conflict (bot_id, mode, venue, symbol) do update set
        venue_size_base = excluded.venue_size_base, venue_told_at = excluded.venue_told_at
    where positions.venue_told_at is null or positions.venue_told_at <= excluded.venue_told_at
"""
_FUNDING: Final = f"""
    insert into funding (bot_id, mode, venue, payment_id, symbol, pair, run_id, amount_quote, paid_at)
    values ({_BOT}, {_MODE}, %(venue)s, %(payment_id)s, %(symbol)s, %(pair)s, %(run_id)s, %(amount)s, %(ts)s)
    on conflict (bot_id, mode, venue, payment_id) do update set amount_quote = excluded.amount_quote
"""
_TRADE_OPENED: Final = f"""
    insert into trades (bot_id, mode, trade_id, run_id, pair, direction, state, size_base, opened_at,
                        entry_spread_bps, opening_quote_rate, is_estimated)
    values ({_BOT}, {_MODE}, %(trade_id)s, %(run_id)s, %(pair)s, %(direction)s, 'open', %(size)s, %(ts)s,
            %(entry_spread_bps)s, %(quote_rate)s, %(is_estimated)s)
    on conflict (bot_id, mode, trade_id) do update set
        size_base = excluded.size_base, entry_spread_bps = excluded.entry_spread_bps,
        opening_quote_rate = coalesce(trades.opening_quote_rate, excluded.opening_quote_rate),
        is_estimated = excluded.is_estimated
"""
_OPEN_TRADE_ESTIMATED: Final = f"""
    update trades set is_estimated = %(is_estimated)s
    where bot_id = {_BOT} and mode = {_MODE} and trade_id = %(trade_id)s and state = 'open'
"""
# A trade whose entry never became hedged has no row yet: its closing writes the whole of it. One that an
# execution reported late has reopened is closed twice, each time with what was earned since the last.
_TRADE_CLOSED: Final = f"""
    insert into trades (bot_id, mode, trade_id, run_id, pair, direction, state, size_base, closed_at,
                        entry_spread_bps, exit_spread_bps, gross_quote, fees_quote, funding_quote, net_quote,
                        naked_ms, retries, opening_quote_rate, closing_quote_rate, rate_move_quote,
                        is_estimated)
    values ({_BOT}, {_MODE}, %(trade_id)s, %(run_id)s, %(pair)s, %(direction)s, 'closed', %(size)s, %(ts)s,
            %(entry_spread_bps)s, %(exit_spread_bps)s,
            %(gross)s, %(fees)s, %(funding)s, %(net)s, %(naked_ms)s, %(retries)s, %(opening_rate)s,
            %(closing_rate)s, %(rate_move)s, %(is_estimated)s)
    on conflict (bot_id, mode, trade_id) do update set
        state = excluded.state, closed_at = excluded.closed_at,
        size_base = case trades.state when 'open' then excluded.size_base
                    else greatest(trades.size_base, excluded.size_base) end,
        entry_spread_bps = case trades.state when 'open' then excluded.entry_spread_bps
                           else trades.entry_spread_bps end,
        exit_spread_bps = case trades.state when 'open' then excluded.exit_spread_bps
                          else trades.exit_spread_bps end,
        gross_quote = coalesce(trades.gross_quote, 0) + excluded.gross_quote,
        fees_quote = coalesce(trades.fees_quote, 0) + excluded.fees_quote,
        funding_quote = excluded.funding_quote,
        net_quote = coalesce(trades.net_quote, 0) + excluded.net_quote,
        naked_ms = coalesce(trades.naked_ms, 0) + excluded.naked_ms,
        retries = coalesce(trades.retries, 0) + excluded.retries,
        opening_quote_rate = coalesce(trades.opening_quote_rate, excluded.opening_quote_rate),
        closing_quote_rate = excluded.closing_quote_rate,
        rate_move_quote = coalesce(trades.rate_move_quote + excluded.rate_move_quote,
                                   excluded.rate_move_quote),
        is_estimated = excluded.is_estimated
"""
# What a closed trade has earned in all, as it is known now. It is reported again when a price or fee comes
# late, and by the next executor, because the last one may have been killed before it reported it.
_TRADE_RESULT: Final = f"""
    insert into trades (bot_id, mode, trade_id, run_id, pair, direction, state, closed_at, gross_quote,
                        fees_quote, net_quote, is_estimated)
    values ({_BOT}, {_MODE}, %(trade_id)s, %(run_id)s, %(pair)s, %(direction)s, 'closed',
            %(ts)s::timestamptz - make_interval(secs => %(closed_ago_ms)s / 1000.0), %(gross)s, %(fees)s,
            %(net)s, %(is_estimated)s)
    on conflict (bot_id, mode, trade_id) do update set
        state = excluded.state, closed_at = coalesce(trades.closed_at, excluded.closed_at),
        gross_quote = excluded.gross_quote, fees_quote = excluded.fees_quote,
        net_quote = excluded.net_quote, is_estimated = excluded.is_estimated
"""
_SLIPPAGE: Final = f"""
    insert into slippage (bot_id, mode, trade_id, kind, layer, signal_id, run_id, pair, at, detected_bps,
                          sent_bps, filled_bps, first_leg_bps, second_leg_bps, first_leg_sent_bps,
                          second_leg_sent_bps, recv_to_publish_us, publish_to_seen_us, seen_to_decided_us,
                          decided_to_executor_us,
                          executor_to_first_us, executor_to_both_us, recv_to_both_us,
                          first_acked_us, second_acked_us, first_filled_us, second_filled_us)
    values ({_BOT}, {_MODE}, %(trade_id)s, %(kind)s, %(layer)s, %(signal_id)s, %(run_id)s, %(pair)s, %(ts)s,
            %(detected_bps)s, %(sent_bps)s, %(filled_bps)s, %(first_leg_bps)s, %(second_leg_bps)s,
            %(first_leg_sent_bps)s, %(second_leg_sent_bps)s, %(recv_to_publish_us)s, %(publish_to_seen_us)s,
            %(seen_to_decided_us)s,
            %(decided_to_executor_us)s, %(executor_to_first_us)s, %(executor_to_both_us)s,
            %(recv_to_both_us)s, %(first_acked_us)s, %(second_acked_us)s, %(first_filled_us)s,
            %(second_filled_us)s)
    on conflict do nothing
"""
_SQL: Final[Mapping[type[Event], str]] = {
    ProcessesStopped: _RUN_STOPPED,
    IntentWritten: _ORDER,
    LegAcked: _ORDER_CHANGE,
    LegFilled: _ORDER_CHANGE,
    LegCancelled: _ORDER_CHANGE,
    LegRejected: _ORDER_CHANGE,
    LegUnknown: _ORDER_CHANGE,
    LegResolved: _ORDER_CHANGE,
    LegRetold: _ORDER_CHANGE,
    LegCorrected: _ORDER_CHANGE,
    FillReported: _FILL,
    PositionReported: _POSITION,
    FundingPaid: _FUNDING,
    TradeOpened: _TRADE_OPENED,
    TradeClosed: _TRADE_CLOSED,
    TradeCorrected: _TRADE_RESULT,
    TradeRetold: _TRADE_RESULT,
}
# Values that an event may not have: SQL null then.
_ABSENT: Final = {
    **dict.fromkeys(("trade_id", "ack_us", "fill_us", "funding")),
    **dict.fromkeys(("quote_rate", "opening_rate", "closing_rate", "rate_move")),
    "is_estimated": False,
}


def statements(reported: Reported) -> list[Statement]:
    """Statements for one event, none for an event that only the ``events`` table keeps.

    Raises ValueError for an event whose values no row can be made of; what the database refuses is
    psycopg's error when it runs.
    """
    event = reported.event
    match event:
        case SlippageMeasured():
            return [(_SLIPPAGE, _slippage(reported, event))]
        case SettingsLoaded():
            run = {"mode": event.mode, "version": event.version, "bot_id": event.bot_id}
            return [
                (_RUN, {**_about(reported), **run}),
                *((_PAIR, _pair(reported, pair)) for pair in event.pairs),
            ]
        case HoldingChanged():
            about = {**_about(reported), "pair": event.pair, "trade_id": event.trade_id}
            about["is_estimated"] = event.is_estimated
            legs: list[Statement] = [
                (_HOLDING, {**about, **_decimals(to_builtins(leg))}) for leg in event.legs
            ]
            return [*legs, (_OPEN_TRADE_ESTIMATED, about)] if event.trade_id else legs
    sql = _SQL.get(type(event))
    if sql is None:
        return []
    values = _values(reported)
    match event:
        case OrderChanged():
            values |= _fate(event)
            changes_fills = event.is_ended
        case TradeClosed(quote_rates_e8=(opening_e8, closing_e8)):
            values |= _decimals({"opening_rate_e8": opening_e8, "closing_rate_e8": closing_e8})
            changes_fills = False
        case FillReported():
            changes_fills = event.client_order_id != 0
        case _:
            changes_fills = False
    then = (_FORGET_REMAINDER, _REMAINDER) if changes_fills else ()
    return [(statement, values) for statement in (sql, *then)]


def _about(reported: Reported) -> dict[str, Any]:
    return {"run_id": reported.run_id, "ts": reported.ts}


def _values(reported: Reported) -> dict[str, Any]:
    """The event's fields and when it was; each ``<name>_e8`` also as ``<name>``, the database's numeric."""
    return {**_ABSENT, **_about(reported), **_decimals(fields_of(reported.event))}


def _decimals(fields: dict[str, Any]) -> dict[str, Any]:
    for key, value in list(fields.items()):
        if key.endswith("_e8") and isinstance(value, int):
            fields[key[:-3]] = Decimal(value).scaleb(-8)
    return fields


def _fate(order: OrderChanged) -> dict[str, Any]:
    values: dict[str, Any] = {
        "reason_text": order.reason or order.text,
        "is_answered": order.is_answered,
        "is_ended": order.is_ended,
    }
    return values if order.filled_e8 else {**values, "average_price": None}


def _slippage(reported: Reported, event: SlippageMeasured) -> Mapping[str, Any]:
    (first_acked_us, second_acked_us), (first_filled_us, second_filled_us) = (
        event.sent_to_acked_us,
        event.sent_to_filled_us,
    )
    return {
        **_values(reported),
        "first_acked_us": first_acked_us,
        "second_acked_us": second_acked_us,
        "first_filled_us": first_filled_us,
        "second_filled_us": second_filled_us,
    }


def _pair(reported: Reported, pair: ConfiguredPair) -> Mapping[str, Any]:
    (first_venue, first_symbol), (second_venue, second_symbol) = (leg.split(":", 1) for leg in pair.legs)
    return {
        "run_id": reported.run_id,
        "pair": pair.pair,
        "first_venue": first_venue,
        "first_symbol": first_symbol,
        "second_venue": second_venue,
        "second_symbol": second_symbol,
        "size": Decimal(pair.size_base_e8).scaleb(-8),
        "entry_bps": pair.entry_bps,
        "exit_bps": pair.exit_bps,
    }
