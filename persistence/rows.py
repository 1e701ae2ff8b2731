"""What an event means for the tables: one log line in, SQL statements out. Pure.

Every statement may run again after a later one without undoing it: inserts do nothing where the
row exists, updates fill what is not yet known or follow the order's own life forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

Event = Mapping[str, Any]
Statement = tuple[str, tuple[Any, ...]]


def statements(event: Event) -> list[Statement]:
    """Statements for one event, none for an event that only the ``events`` table keeps.

    ``event`` is a log line as parsed JSON. Raises KeyError if an event lacks a documented field.
    """
    make = _MAKERS.get(event["event"])
    return make(event) if make else []


def _amount(value_e8: int | None) -> Decimal | None:
    """An integer scaled by 10**8 as the database's numeric."""
    return None if value_e8 is None else Decimal(value_e8).scaleb(-8)


def _settings_loaded(event: Event) -> list[Statement]:
    run = (
        "insert into runs (run_id, started_at, mode, version) values (%s, %s, %s, %s) on conflict do nothing",
        (event["run_id"], event["ts"], event["mode"], event["version"]),
    )
    pairs = [
        (
            "insert into pairs (run_id, pair, first_venue, first_symbol, second_venue, second_symbol, size_base, "
            "entry_bps, exit_bps) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            (
                event["run_id"],
                pair["pair"],
                *pair["legs"][0].split(":", 1),
                *pair["legs"][1].split(":", 1),
                _amount(pair["size_base_e8"]),
                pair["entry_bps"],
                pair["exit_bps"],
            ),
        )
        for pair in event["pairs"]
    ]
    return [run, *pairs]


def _processes_stopped(event: Event) -> list[Statement]:
    sql = "update runs set stopped_at = %s, exit_code = %s where run_id = %s"
    return [(sql, (event["ts"], event["exit_code"], event["run_id"]))]


def _intent(event: Event) -> list[Statement]:
    sql = (
        "insert into orders (client_order_id, run_id, trade_id, pair, leg, venue, symbol, side, purpose, attempt, "
        "reduce_only, size_base, limit_price_quote, status, sent_at) "
        "values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'sent', %s) on conflict do nothing"
    )
    values = (
        event["client_order_id"],
        event["run_id"],
        event["trade_id"],
        event["pair"],
        event["leg"],
        event["venue"],
        event["symbol"],
        event["side"],
        event["purpose"],
        event["attempt"],
        event["reduce_only"],
        _amount(event["size_e8"]),
        _amount(event["limit_price_e8"]),
        event["ts"],
    )
    return [(sql, values)]


def _order_change(event: Event) -> list[Statement]:
    """The order as the venue told it; ``order_state`` is the machine's word for where it stands."""
    state = event["order_state"]
    sql = (
        "update orders set status = %s, venue_order_id = coalesce(nullif(%s, ''), venue_order_id), "
        "filled_base = %s, average_price_quote = %s, fee_quote = %s, "
        "reason = coalesce(nullif(%s, ''), reason), "
        "acked_at = case when acked_at is null and %s then %s::timestamptz else acked_at end, "
        "done_at = case when done_at is null and %s then %s::timestamptz else done_at end "
        "where client_order_id = %s"
    )
    values = (
        state,
        event["venue_order_id"],
        _amount(event["filled_e8"]),
        _amount(event["average_price_e8"]) if event["filled_e8"] else None,
        _amount(event["fee_e8"]),
        event.get("reason") or event.get("text") or "",
        state not in _UNANSWERED,
        event["ts"],
        state in _ENDED,
        event["ts"],
        event["client_order_id"],
    )
    return [(sql, values)]


def _timing(event: Event) -> list[Statement]:
    """How long the venue took, as the executor's clock saw it."""
    sql = "update orders set ack_us = coalesce(ack_us, %s), fill_us = coalesce(fill_us, %s) where client_order_id = %s"
    return [(sql, (event.get("ack_us"), event.get("fill_us"), event["client_order_id"]))]


def _fill(event: Event) -> list[Statement]:
    sql = (
        "insert into fills (venue, fill_id, client_order_id, trade_id, run_id, symbol, side, price_quote, size_base, "
        "fee_quote, filled_at) values (%s, %s, nullif(%s, 0), %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing"
    )
    values = (
        event["venue"],
        event["fill_id"],
        event["client_order_id"],
        event.get("trade_id"),
        event["run_id"],
        event["symbol"],
        event["side"],
        _amount(event["price_e8"]),
        _amount(event["size_e8"]),
        _amount(event["fee_e8"]),
        event["ts"],
    )
    return [(sql, values)]


def _position(event: Event) -> list[Statement]:
    sql = (
        "insert into positions (venue, symbol, run_id, size_base, entry_price_quote, updated_at) "
        "values (%s, %s, %s, %s, %s, %s) on conflict (venue, symbol) do update set run_id = excluded.run_id, "
        "size_base = excluded.size_base, entry_price_quote = excluded.entry_price_quote, "
        "updated_at = excluded.updated_at where positions.updated_at <= excluded.updated_at"
    )
    values = (
        event["venue"],
        event["symbol"],
        event["run_id"],
        _amount(event["size_e8"]),
        _amount(event["entry_price_e8"]),
        event["ts"],
    )
    return [(sql, values)]


def _trade_opened(event: Event) -> list[Statement]:
    sql = (
        "insert into trades (trade_id, run_id, pair, direction, state, size_base, opened_at, entry_spread_bps) "
        "values (%s, %s, %s, %s, 'open', %s, %s, %s) on conflict (trade_id) do update set "
        "size_base = excluded.size_base, entry_spread_bps = excluded.entry_spread_bps"
    )
    values = (
        event["trade_id"],
        event["run_id"],
        event["pair"],
        event["direction"],
        _amount(event["size_e8"]),
        event["ts"],
        event["entry_spread_bps"],
    )
    return [(sql, values)]


def _trade_closed(event: Event) -> list[Statement]:
    # A trade whose entry never became hedged has no row yet: its closing writes the whole of it.
    sql = (
        "insert into trades (trade_id, run_id, pair, direction, state, size_base, closed_at, entry_spread_bps, "
        "exit_spread_bps, gross_quote, fees_quote, funding_quote, net_quote, naked_ms, retries) "
        "values (%s, %s, %s, %s, 'closed', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "on conflict (trade_id) do update set state = 'closed', size_base = excluded.size_base, "
        "closed_at = excluded.closed_at, entry_spread_bps = excluded.entry_spread_bps, "
        "exit_spread_bps = excluded.exit_spread_bps, gross_quote = excluded.gross_quote, "
        "fees_quote = excluded.fees_quote, funding_quote = excluded.funding_quote, "
        "net_quote = excluded.net_quote, naked_ms = excluded.naked_ms, retries = excluded.retries"
    )
    values = (
        event["trade_id"],
        event["run_id"],
        event["pair"],
        event["direction"],
        _amount(event["size_e8"]),
        event["ts"],
        event["entry_spread_bps"],
        event["exit_spread_bps"],
        _amount(event["gross_e8"]),
        _amount(event["fees_e8"]),
        _amount(event.get("funding_e8")),
        _amount(event["net_e8"]),
        event["naked_ms"],
        event["retries"],
    )
    return [(sql, values)]


_SLIPPAGE_COLUMNS: Final = (
    *("detected_bps", "sent_bps", "filled_bps", "first_leg_bps", "second_leg_bps"),
    *("recv_to_publish_us", "publish_to_seen_us", "seen_to_decided_us", "decided_to_executor_us"),
    *("executor_to_first_us", "executor_to_both_us", "recv_to_both_us"),
)


def _slippage(event: Event) -> list[Statement]:
    names = ", ".join(_SLIPPAGE_COLUMNS)
    marks = ", ".join(["%s"] * (5 + len(_SLIPPAGE_COLUMNS)))
    sql = f"insert into slippage (trade_id, kind, run_id, pair, at, {names}) values ({marks}) on conflict do nothing"
    values = (event["trade_id"], event["kind"], event["run_id"], event["pair"], event["ts"])
    return [(sql, (*values, *(event.get(name) for name in _SLIPPAGE_COLUMNS)))]


_UNANSWERED: Final = frozenset({"sent", "in_doubt", "unsent"})
_ENDED: Final = frozenset({"filled", "cancelled", "rejected", "unsent", "absent"})
_MAKERS: Final[Mapping[str, Callable[[Event], list[Statement]]]] = {
    "settings_loaded": _settings_loaded,
    "processes_stopped": _processes_stopped,
    "intent_written": _intent,
    "leg_acked": _order_change,
    "leg_filled": _order_change,
    "leg_cancelled": _order_change,
    "leg_rejected": _order_change,
    "leg_unknown": _order_change,
    "leg_resolved": _order_change,
    "leg_timed": _timing,
    "fill": _fill,
    "position": _position,
    "trade_opened": _trade_opened,
    "trade_closed": _trade_closed,
    "slippage": _slippage,
}
