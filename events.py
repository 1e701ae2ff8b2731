"""Every event of the log: how loud it is, what it says, which fields it carries.

The one catalogue: ``logs`` refuses a name that is not in it, ``docs/events.md`` is made of it
(``python -m events > docs/events.md``), and the tests hold every line of real runs and every call in the
code against it. Names are stable; an operator's ``jq`` lines depend on them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final, NamedTuple

# What every line has, in this order around its own fields.
EVERY_LINE: Final = "ts level event proc pid run_id mono_ns"
# Of an event that could come a thousand times a second: so many lines at once, then one each interval, of
# each kind; the next line says how many were kept back.
FLOOD_BURST: Final = 10
FLOOD_INTERVAL_S: Final = 1.0


class Event(NamedTuple):
    """``fields`` are those it may carry beside those of every line; one that says nothing is left out."""

    levels: str
    says: str
    fields: str
    flood_by: tuple[str, ...] | None = None  # limited, by the values of these fields; None: every one is told


_LEG: Final = "pair trade_id leg venue symbol"
_ORDER: Final = f"{_LEG} client_order_id side purpose attempt"
_FATE: Final = "order_state venue_order_id size_e8 filled_e8 average_price_e8 fee_e8 code text reason"
_EXPOSURE: Final = "positions_e8 under_way_e8 net_e8 net_notional_e8"

GROUPS: Final[Mapping[str, Mapping[str, Event]]] = {
    "The instance": {
        "starting": Event(
            "info",
            "the supervisor begins: version, mode, pairs, thresholds",
            "version mode config memory",
        ),
        "taking_over": Event(
            "warning",
            "an earlier instance was killed: what it left is taken in before anything is started",
            "processes killed events_kept detail",
        ),
        "settings_loaded": Event(
            "info",
            "what was loaded: pairs, thresholds, pinning, waiting strategies, sizes",
            "mode version bot_id pairs pin idle ring_cells http_connections on_shutdown paper",
        ),
        "instrument_loaded": Event(
            "info",
            "one instrument's grid and fee as its venue publishes them",
            "instrument_id venue symbol base tick_e8 lot_e8 min_size_e8 min_notional_e8 max_size_e8 "
            "price_decimals size_decimals taker_fee_bps is_trading significant_figures",
        ),
        "process_started": Event(
            "info",
            "a process runs its loop",
            "idle venue instruments pairs restored http_connections kill_file pause_file targets",
        ),
        "process_state": Event(
            "info warning",
            "the supervisor's view of a process changed",
            "process state was child_pid boot_ms exit_code lived_s retry_in_s detail",
        ),
        "process_stderr": Event(
            "warning",
            "a process wrote this to its standard error",
            "process detail",
            flood_by=("process",),
        ),
        "pin_refused": Event(
            "warning",
            "the kernel did not allow a process on its core",
            "core detail",
        ),
        "tuning_refused": Event(
            "warning",
            "the kernel did not allow what is configured for speed; which, and what would allow it",
            "what wanted detail",
        ),
        "notify_refused": Event(
            "warning",
            "the service manager's socket does not take what it is told",
            "detail",
        ),
        "running": Event(
            "info",
            "everything is up: trading may begin",
            "mode detail",
        ),
        "config_error": Event(
            "error",
            "the configuration or the environment does not allow a start; says the remedy",
            "key value detail",
        ),
        "shutdown_started": Event(
            "info",
            "a stop was asked for; what happens next",
            "patience_s on_shutdown detail",
        ),
        "shutdown_step": Event(
            "info warning error",
            "one step of the shutdown is done",
            "step process exit_code cancelled foreign_orders positions_e8 unanswered unconfirmed detail",
        ),
        "processes_stopped": Event(
            "info",
            "every process but persistence has ended; with which exit code the run will end",
            "exit_code",
        ),
        "shutdown_done": Event(
            "info error",
            "nothing is left running; what remains open, and what the venues did not confirm",
            "exit_code unconfirmed detail",
        ),
        "process_stopped": Event(
            "info",
            "a process ended its loop",
            "venue journalled stored",
        ),
    },
    "the operator": {
        "paused": Event(
            "warning",
            "the operator has paused entries; by which switch, who, since when; exits go on",
            "switch by since reason",
        ),
        "resumed": Event(
            "info",
            "what the operator had paused, or a pair that was to be kept closed, is free again",
            "what switch pair",
        ),
        "forced_exit": Event(
            "warning",
            "the operator has a pair closed and kept closed; who, since when",
            "pair by since reason",
        ),
        "reloaded": Event(
            "info",
            "settings have changed while running: every key, old and new",
            "generation by changes",
        ),
        "reload_waits": Event(
            "info",
            "settings that change once the pairs concerned are flat",
            "by keys pairs",
        ),
        "reload_refused": Event(
            "warning",
            "a reload that changed nothing, or not all, and why",
            "by problems",
        ),
        "control": Event(
            "info",
            "a request through the control socket; by whom, and what was answered",
            "command by ok detail",
            flood_by=("command",),
        ),
        "control_refused": Event(
            "warning",
            "somebody was not answered on the control socket, and why",
            "detail",
            flood_by=(),
        ),
    },
    "Market data": {
        "feed_connected": Event(
            "info",
            "connected to a venue's public WebSocket and subscribed",
            "venue",
            flood_by=("venue",),
        ),
        "feed_disconnected": Event(
            "warning",
            "the connection ended; when the next attempt comes",
            "venue reason live_s retry_in_ms",
            flood_by=("venue",),
        ),
        "feed_live": Event(
            "info",
            "first valid quote of every instrument since the connection",
            "venue since_connected_ms",
            flood_by=("venue",),
        ),
        "quote_stale": Event(
            "warning",
            "no data within the limit: quotes are flagged and the connection replaced",
            "venue silent_ms limit_ms",
            flood_by=("venue",),
        ),
        "book_invalid": Event(
            "warning",
            "a gap, a crossed book or an empty side: quotes flagged, subscription renewed",
            "venue kind instrument_id detail",
            flood_by=("venue", "kind"),
        ),
        "frame_refused": Event(
            "warning",
            "a frame that is not as documented",
            "venue kind detail",
            flood_by=("venue",),
        ),
    },
    "Decisions": {
        "signal": Event(
            "info",
            "the detector found an entry or an exit",
            "pair signal_id kind direction layer size_base first_price second_price spread_bps edge_bps "
            "recv_to_decided_us seen_to_decided_us",
            flood_by=("pair", "kind"),
        ),
        "signal_refused": Event(
            "info",
            "the executor refused a signal; gate, value, limit",
            "pair trade_id signal_id kind gate value limit",
            flood_by=("pair", "gate"),
        ),
        "signal_stages": Event(
            "info",
            "when a signal passed each stage from the socket to both legs' bytes",
            "pair signal_id client_order_ids recv_mono_ns publish_mono_ns detector_mono_ns decided_mono_ns "
            "executor_mono_ns checked_mono_ns sent_mono_ns",
        ),
        "refusals": Event(
            "info",
            "counts of refusals by gate since the last such line",
            "pair evaluations signals expected_slippage_bps expected_funding_bps gates last spreads_bps",
        ),
        "quotes_overtaken": Event(
            "warning",
            "the detector missed quotes and resumed at the newest",
            "venue quotes",
            flood_by=("venue",),
        ),
    },
    "Orders and trades": {
        "venue_ready": Event(
            "info",
            "logged in, streams stand, positions read",
            "venue",
            flood_by=("venue",),
        ),
        "venue_lost": Event(
            "warning",
            "a venue's private stream or session is down: no entries until it is back",
            "venue what detail",
            flood_by=("venue", "what"),
        ),
        "venue_status": Event(
            "info warning",
            "a venue stopped, or began again, to take orders that open: its own word for it",
            "venue status",
            flood_by=("venue",),
        ),
        "intent_written": Event(
            "info",
            "orders are journalled and about to leave",
            f"{_ORDER} size_e8 limit_price_e8 reduce_only",
        ),
        "leg_sent": Event(
            "info",
            "an order's bytes were written",
            f"{_ORDER} sent_mono_ns",
        ),
        "leg_acked": Event(
            "info",
            "the venue accepted an order",
            f"{_ORDER} {_FATE} ack_us",
        ),
        "leg_rejected": Event(
            "warning",
            "the venue or our own check refused an order",
            f"{_ORDER} {_FATE}",
        ),
        "leg_filled": Event(
            "info",
            "an order filled, wholly or in part",
            f"{_ORDER} {_FATE} fill_us",
        ),
        "fill": Event(
            "info",
            "one execution as the venue reported it",
            "pair leg venue symbol client_order_id venue_order_id fill_id side price_e8 size_e8 fee_e8 "
            "is_funding_due",
        ),
        "funding_paid": Event(
            "info",
            "a venue has settled funding; positive = received",
            "pair leg venue symbol payment_id amount_e8",
        ),
        "funding_read": Event(
            "info",
            "what funding an order's fills have settled, where fills do not tell; nothing, too",
            "pair leg client_order_id amount_e8",
        ),
        "position": Event(
            "info",
            "a position changed, as the venue reports it",
            "pair leg venue symbol size_e8",
        ),
        "leg_cancelled": Event(
            "info",
            "an order ended with size left",
            f"{_ORDER} {_FATE}",
        ),
        "leg_unknown": Event(
            "warning",
            "no answer in time: the order is in doubt and will be asked for",
            f"{_ORDER} {_FATE}",
        ),
        "leg_resolved": Event(
            "info",
            "the venue's answer ended the doubt",
            f"{_ORDER} {_FATE} doubt_ms questions",
        ),
        "leg_retold": Event(
            "info",
            "what became of an order of an earlier life, which may not have told it",
            f"{_ORDER} {_FATE}",
        ),
        "order_retry": Event(
            "warning",
            "a leg known dead is tried again; attempt and limit",
            f"{_LEG} side purpose size_e8 limit_price_e8 attempt limit complete_cost_e8 unwind_cost_e8 "
            "given_up",
        ),
        "leg_auto_close": Event(
            "warning",
            "the surviving leg is closed because the other could not be completed",
            f"{_LEG} side purpose size_e8 limit_price_e8 attempt limit complete_cost_e8 unwind_cost_e8",
        ),
        "naked_start": Event(
            "warning",
            "the legs differ by more than a lot",
            f"pair trade_id {_EXPOSURE}",
        ),
        "naked_budget_spent": Event(
            "error",
            "legs stood alone for longer than a day allows: no entries until midnight UTC",
            "naked_s limit_s",
        ),
        "naked_end": Event(
            "info",
            "the legs agree again; how long and how much",
            f"pair trade_id naked_ms {_EXPOSURE}",
        ),
        "paper_account": Event(
            "info",
            "mode paper: a venue's virtual balance, equity, fees and positions",
            "venue balance_e8 equity_e8 fees_e8 positions",
        ),
        "trade_opened": Event(
            "info",
            "both legs filled: the pair is hedged",
            "pair trade_id direction layer signal_id size_e8 legs entry_prices_e8 entry_spread_bps fees_e8 "
            "naked_ms retries",
        ),
        "trade_closed": Event(
            "info",
            "both legs closed: result in quote currency",
            "pair trade_id direction size_e8 legs entry_prices_e8 exit_prices_e8 entry_spread_bps "
            "exit_spread_bps gross_e8 fees_e8 net_e8 remainders_e8 reason layers hold_ms naked_ms "
            "naked_notional_max_e8 retries is_estimated",
        ),
        "slippage": Event(
            "info",
            "detected, sent and filled spread of an entry or exit, every stage, what was learned",
            "pair trade_id legs signal_id kind layer sides detected_bps sent_bps filled_bps "
            "detected_prices_e8 sent_prices_e8 filled_prices_e8 first_leg_sent_bps second_leg_sent_bps "
            "first_leg_bps second_leg_bps recv_to_publish_us publish_to_seen_us seen_to_decided_us "
            "decided_to_executor_us executor_to_first_us executor_to_both_us recv_to_both_us "
            "sent_to_acked_us sent_to_filled_us learned_bps learned_samples",
        ),
        "slippage_not_kept": Event(
            "warning",
            "what was learned about slippage could not be read or written",
            "detail",
        ),
        "holding": Event(
            "info",
            "what a pair holds on each leg, at what price, for which trade: after every change",
            "pair trade_id direction layers legs live opened_mono_ns is_estimated",
        ),
        "pair_state": Event(
            "info",
            "a pair changed its phase",
            f"pair trade_id before phase {_EXPOSURE}",
        ),
        "halted": Event(
            "error",
            "a pair needs the operator; exact exposure, and again whenever it has changed",
            f"pair trade_id reason {_EXPOSURE}",
        ),
        "reconcile_diff": Event(
            "warning error",
            "a venue holds something the journal does not explain",
            f"{_LEG} kind explained_by expected_e8 position_e8 difference_e8 client_order_id venue_order_id "
            "instrument_id size_e8 filled_e8 legs sizes_e8 orders detail",
        ),
        "reconciled": Event(
            "info",
            "the operator's decision about what was not explained is carried out",
            "action positions_e8",
        ),
        "positions_restored": Event(
            "info",
            "a venue confirms a position after a start, a reconnect or a repair",
            f"{_LEG} position_e8 count positions_e8 detail",
        ),
        "flat_confirmed": Event(
            "info",
            "a venue confirms a flat leg after a close (of that trade), a start, a reconnect or a repair",
            f"{_LEG} position_e8",
        ),
        "not_flat": Event(
            "error",
            "a venue still shows a position of a trade that was closed: look at it there",
            f"{_LEG} position_e8",
        ),
        "hedge_drift": Event(
            "warning",
            "the legs differed by more than allowed for too long: both are closed",
            "pair trade_id drift_bps limit_bps drift_ms positions_e8 under_way_e8 net_e8 net_notional_e8",
        ),
        "breaker_opened": Event(
            "warning",
            "too many failures in a row: no entries for a while",
            "pair cause failures limit pause_s",
        ),
        "breaker_half_open": Event(
            "info",
            "the pause is over: one entry may try, and its end decides",
            "failures",
        ),
        "breaker_closed": Event(
            "info",
            "entries are allowed again",
            "",
        ),
        "latency": Event(
            "info",
            "percentiles of every stage since start",
            "stages_us template_hits template_misses",
        ),
    },
    "Persistence": {
        "positions_disagree": Event(
            "error",
            "executor and venue have differed about a position for half a minute",
            "positions lasting_s detail",
        ),
        "positions_agree": Event(
            "info",
            "they agree about it again",
            "positions",
        ),
        "lease_lost": Event(
            "error",
            "another instance trades on our account: nothing is opened here any more",
            "account detail",
        ),
        "lease_held": Event(
            "info",
            "the account is ours again",
            "accounts",
        ),
        "journal_checkpoint": Event(
            "info",
            "what every pair held when this journal file began",
            "bot_id mode told_unix_ms pairs",
        ),
        "database_ready": Event(
            "info",
            "the database answers and its tables are up to date",
            "database migrations waiting",
        ),
        "database_away": Event(
            "warning",
            "the database does not answer: events are kept in the journal",
            "waiting detail",
        ),
        "database_back": Event(
            "info",
            "the database answers again; how many events were waiting",
            "database migrations waiting",
        ),
        "journal_read": Event(
            "info",
            "what an earlier run left open, before anything that trades is started",
            "told_by pairs orders",
        ),
        "journal_filling": Event(
            "warning",
            "the journal nears its limit because the database does not take what it holds",
            "bytes limit_bytes detail",
        ),
        "journal_full": Event(
            "error",
            "the journal reached its limit: nothing is opened any more",
            "bytes limit_bytes detail",
        ),
        "journal_has_room": Event(
            "info",
            "the database has taken enough: the journal is far from its limit again",
            "bytes limit_bytes",
        ),
        "journal_refused": Event(
            "error",
            "the disk does not take the journal: nothing is opened any more",
            "detail",
        ),
        "journal_writable": Event(
            "info",
            "the disk takes the journal again",
            "journalled",
        ),
        "event_unstorable": Event(
            "error",
            "an event's rows could not be stored for what it says; its line was",
            "number source detail",
        ),
        "events_lost": Event(
            "warning",
            "events did not fit a queue and were only printed",
            "process count detail",
        ),
    },
    "Alerts": {
        "alert": Event(
            "info",
            "something stands, is over or has happened that a person is told of: severity, key, text",
            "state kind key severity text",
        ),
        "alert_sent": Event(
            "info",
            "a target has taken alerts",
            "target alerts detail",
        ),
        "alert_failed": Event(
            "warning",
            "a target did not take alerts; they are sent again",
            "target alerts detail",
        ),
        "alert_dropped": Event(
            "warning",
            "a target was away for so long that an alert had to make room",
            "target alerts detail",
        ),
    },
    "Simulator and log": {
        "simulator_ready": Event(
            "info",
            "both venues listen; ports and market",
            "host ports",
        ),
        "fault_began": Event(
            "info",
            "a fault script of the simulator does from now on what it says",
            "fault venue detail",
        ),
        "fault_ended": Event(
            "info",
            "a fault script is over; how often it struck",
            "fault venue struck",
        ),
        "log_dropped": Event(
            "warning",
            "whoever reads the log was too slow: count of lines not printed; the database has them",
            "count",
        ),
    },
}
EVENTS: Final[Mapping[str, Event]] = dict(chain.from_iterable(group.items() for group in GROUPS.values()))

# What a field means, where its name and its unit do not say so.
FIELDS: Final[Mapping[str, str]] = {
    "ts": "when the line was made: UTC, RFC 3339, microseconds",
    "mono_ns": "the same moment on this host's monotonic clock: for durations, comparable between processes",
    "proc": "the process that tells",
    "run_id": "the instance's run: start time and the supervisor's pid",
    "pair": "the pair's id in config.yaml",
    "trade_id": "one number from entry to exit; 0 where no trade is concerned",
    "leg": "0 or 1, as listed in config.yaml",
    "client_order_id": "our number of an order, the key everywhere",
    "venue_order_id": "the venue's id of the order",
    "signal_id": "the detector's number of a signal, grows with every one; above 2**53, which jq 1.6 rounds",
    "direction": "1: bought on leg 0 and sold on leg 1; -1: the other way round",
    "layer": "which step into the position, from 0",
    "layers": "how many steps are open or were",
    "purpose": "entry, exit, complete (the missing leg) or unwind (the surviving one)",
    "attempt": "0, then one more with every retry",
    "order_state": "the order's state in the pair machine after this event",
    "code": "the venue's own code",
    "text": "the venue's own words, secrets masked; of alerts, what a person is told",
    "gate": "which check refused; value and limit are what it compared",
    "gates": "refusals by gate since the last such line",
    "last": "the last refusal: gate, value, limit",
    "side": "BUY or SELL",
    "size_e8": "base currency times 10**8; signed for positions",
    "positions_e8": "signed size of each leg, or by venue:symbol",
    "under_way_e8": "of each leg, what may come on top from orders not known to be over",
    "net_e8": "naked events: sum of both legs; trade_closed: result after fees, quote currency",
    "net_notional_e8": "value of the naked size",
    "gross_e8": "result before fees",
    "legs": "both legs: venue and symbol, or what each holds",
    "live": "client order ids of orders that are not over",
    "remainders_e8": "what is left on each leg, below a lot",
    "reason": "why: of a close, a cancel, a disconnect, a halt, an order of the operator",
    "explained_by": "the order or cause that explains a difference; null: nothing does",
    "is_estimated": "a fee or price was not told by the venue and is reckoned",
    "complete_cost_e8": "expected cost of sending the missing leg again",
    "unwind_cost_e8": "expected cost of closing the surviving leg",
    "given_up": "true: no further retry, the pair stays as it is",
    "doubt_ms": "how long the outcome was unknown",
    "questions": "how often the venue was asked",
    "ack_us": "from the order's bytes to the venue's answer",
    "fill_us": "from the order's bytes to its fill",
    "detail": "a sentence for people; may change",
    "what": "what was asked or tried",
    "kind": "which sort of the event",
    "cut": "true: texts or lists in this line were cut, or left out, to keep it in one piece",
    "kept_back": "how many lines of this kind were not told since the last one",
    "stages_us": "percentiles of each stage since the start",
    "switch": "which switch paused entries: the control socket or the file",
    "by": "who gave the order",
    "generation": "how often the settings have been reloaded",
    "changes": "key, old and new value of each setting that changed",
    "keys": "settings by their names in the file",
    "problems": "what is wrong, a sentence each",
    "told_by": "where the state before the start was found: memory, journal or database",
    "waiting": "events not yet in the database",
    "number": "the event's number in the journal",
}


def page() -> str:
    """``docs/events.md``."""
    return "\n".join(_lines()) + "\n"


_INTRODUCTION: Final = f"""\
# Log events

<!-- made by `python -m events > docs/events.md`; the tests hold it against the code and against real runs -->

One JSON object per line. Every line has {", ".join(f"`{name}`" for name in EVERY_LINE.split())}
(only `log_dropped` lacks some of them). Amounts end in `_e8`: integers scaled by 10⁸, sizes in base
currency, prices and results in quote currency. `_bps` is 1/10 000 of the price bought at; `_us`, `_ms` and
`_s` are durations; `_mono_ns` is this host's monotonic clock. A field that says nothing is left out.

An event marked *limited by* is told {FLOOD_BURST} times at once and then once every
{FLOOD_INTERVAL_S:g} s, for each value of the fields named; the next line's `kept_back` counts what was
not told. Counters, and `python -m tools why`, count all of them.

A line longer than a pipe takes in one piece (4 KiB) has its texts and lists cut on stdout and says so in
`cut`. Journal and database have it whole."""


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    for title, group in GROUPS.items():
        yield from ("", f"## {title}", "", "| event | level | what it says | fields |", "|---|---|---|---|")
        for name, event in group.items():
            levels = ", ".join(event.levels.split())
            fields = " ".join(f"`{field}`" for field in event.fields.split())
            yield f"| `{name}` | {levels} | {event.says}{_limit_of(event)} | {fields} |"
    yield from ("", "## Fields", "", "What a field means where its name and unit do not say so.", "")
    yield from ("| field | meaning |", "|---|---|")
    for name, meaning in FIELDS.items():
        yield f"| `{name}` | {meaning} |"


def _limit_of(event: Event) -> str:
    if event.flood_by is None:
        return ""
    return f"; *limited by {' and '.join(event.flood_by) or 'event'}*"


if __name__ == "__main__":
    sys.stdout.write(page())
