"""``python -m tools metrics``: the running instance for Prometheus, on loopback.

A process of its own, attached read-only: a scrape costs the instance nothing, and an instance that
hangs can still be scraped. While no instance runs the endpoint shows that (``tandem_up 0``) and waits.
"""

from __future__ import annotations

import argparse
import ipaddress
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import start_http_server
from prometheus_client.registry import Collector, CollectorRegistry

from monitoring.obstacles import obstacles_of
from monitoring.snapshot import Finder, InForce, Snapshot
from settings import E8, Settings, load_raw, parse_settings
from shm.counter_names import GAP_WAYS, PROCESS_STATES
from shm.entry_block import TRADING_STATE
from shm.layout import Memory
from shm.records import PairPhase

# Powers of two, where the processes' own buckets end too.
_BOUNDS_NS: Final = tuple(1 << bits for bits in range(12, 34, 2))


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "--bind",
        type=_address,
        default=("127.0.0.1", 9464),
        metavar="HOST:PORT",
        help="127.0.0.1:9464",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; exit code 2 when the port is taken."""
    settings = parse_settings(load_raw(arguments.config), str(arguments.config))
    registry = CollectorRegistry()
    registry.register(InstanceCollector(settings))
    host, port = arguments.bind
    # Blocked before the server's thread begins, so that this thread receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        sys.stderr.write(f"--bind {host}:{port}: {error.strerror}; name a free port\n")
        return 2
    print(f"serving http://{host}:{server.server_port}/metrics (Ctrl-C stops)", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    server.shutdown()
    thread.join()
    return 0


class InstanceCollector(Collector):
    """Reads the instance anew at every scrape, and finds it again after a restart."""

    def __init__(self, settings: Settings) -> None:
        self._in_force = InForce(settings)
        self._finder = Finder(settings)

    def collect(self) -> Iterator[Metric]:
        """Every metric, as of now."""
        watcher = self._finder.find()
        yield _gauge("tandem_up", "1 while an instance runs", float(watcher is not None))
        if watcher is not None:
            snapshot = watcher.read()
            yield from _instance(snapshot)
            yield from _market(snapshot)
            yield from _pairs(snapshot)
            yield from _trading(snapshot)
            yield from _limits(snapshot, self._in_force.read(watcher.directory))
            yield from _alerts(snapshot)
            yield from _stages(watcher.directory, snapshot)


def _instance(now: Snapshot) -> Iterable[Metric]:
    yield _gauge("tandem_uptime_seconds", "Since the instance began", now.up_s)
    states = GaugeMetricFamily("tandem_state", "1 for the state the instance is in", labels=["state"])
    for name, is_so in (
        ("stopping", now.is_stopping),
        ("paused", now.is_paused),
        ("ready", bool(now.executor["ready"])),
        ("supervised", now.is_supervised),
        ("killed", now.is_killed),
    ):
        states.add_metric([name], float(is_so))
    yield states
    processes = GaugeMetricFamily("tandem_process_state", "1 for its state", labels=["proc", "state"])
    restarts = CounterMetricFamily("tandem_process_restarts", "Lives beyond the first", labels=["proc"])
    beats = GaugeMetricFamily("tandem_heartbeat_age_seconds", "Since a process's last turn", labels=["proc"])
    for process in now.processes:
        for state in PROCESS_STATES:
            processes.add_metric([process.name, state], float(process.state == state))
        restarts.add_metric([process.name], process.restarts)
        if process.beat_age_s is not None:
            beats.add_metric([process.name], process.beat_age_s)
    yield from (processes, restarts, beats)
    yield _gauge("tandem_persist_queue_depth", "Events not yet in the database", now.persistence["backlog"])
    yield _gauge("tandem_database_state", "0 untried, 1 up, 2 away", now.persistence["database_state"])
    yield _gauge("tandem_journal_bytes", "Journal the database has not taken", now.persistence["spool_bytes"])
    yield _gauge("tandem_journal_full", "1 while nothing is opened for it", now.persistence["journal_full"])
    yield _gauge("tandem_lease_lost", "1 while another has our account", now.persistence["lease_lost"])
    yield _gauge(
        "tandem_disagreements",
        "Positions in dispute",
        now.persistence["disagreements"],
    )


def _market(now: Snapshot) -> Iterable[Metric]:
    connected = GaugeMetricFamily("tandem_feed_connected", "1 while data is fresh", labels=["venue"])
    ages = GaugeMetricFamily("tandem_feed_data_age_seconds", "Since the last data", labels=["venue"])
    totals_of = {
        "frames_total": ("tandem_feed_messages", "Frames received"),
        "gaps_total": ("tandem_feed_gaps", "Missing deltas noticed"),
        "reconnects_total": ("tandem_feed_reconnects", "Connections replaced"),
        "bad_frames_total": ("tandem_feed_bad_frames", "Frames not as documented"),
    }
    totals = {
        name: CounterMetricFamily(metric, help_text, labels=["venue"])
        for name, (metric, help_text) in totals_of.items()
    }
    for feed in now.feeds:
        connected.add_metric([feed.venue], float(feed.is_connected))
        if feed.data_age_ms is not None:
            ages.add_metric([feed.venue], feed.data_age_ms / 1e3)
        for name, family in totals.items():
            family.add_metric([feed.venue], feed.counters[name])
    yield from (connected, ages, *totals.values())
    quotes = GaugeMetricFamily("tandem_quote_age_seconds", "Since a leg's frame", labels=["venue", "pair"])
    for pair in now.pairs:
        for leg in pair.legs:
            if leg.age_ms is not None:
                quotes.add_metric([leg.leg.venue, pair.settings.id], leg.age_ms / 1e3)
    yield quotes


def _pairs(now: Snapshot) -> Iterable[Metric]:
    spreads = GaugeMetricFamily("tandem_spread_bps", "What opening captures", labels=["pair", "direction"])
    needed = GaugeMetricFamily("tandem_needed_gap_bps", "What opening needs", labels=["pair", "direction"])
    best = GaugeMetricFamily("tandem_best_gap_bps", "Widest since the start", labels=["pair", "direction"])
    rates = GaugeMetricFamily(
        "tandem_quote_rate", "The second leg's currency in the first's", labels=["pair"]
    )
    phases = GaugeMetricFamily("tandem_pair_phase", "1 for the phase of each pair", labels=["pair", "phase"])
    held = GaugeMetricFamily("tandem_hedged_base", "Hedged size, signed by direction", labels=["pair"])
    naked = GaugeMetricFamily("tandem_net_delta_base", "First leg plus second leg", labels=["pair"])
    signals = CounterMetricFamily("tandem_signals", "Decisions to trade", labels=["pair"])
    evaluations = CounterMetricFamily("tandem_evaluations", "Decisions asked for", labels=["pair"])
    refused = CounterMetricFamily("tandem_entry_rejections", "Refusals by gate", labels=["pair", "gate"])
    for pair in now.pairs:
        name, view = pair.settings.id, pair.view
        for direction, spread_bps in (("forward", pair.forward_bps), ("backward", pair.backward_bps)):
            if spread_bps is not None:
                spreads.add_metric([name, direction], spread_bps)
        if pair.gap is not None:
            for place, direction in enumerate(GAP_WAYS):
                needed.add_metric([name, direction], pair.gap.needed_bps[place])
                if (best_bps := pair.gap.best_bps[place]) is not None:
                    best.add_metric([name, direction], best_bps)
        if pair.quote_rate:
            rates.add_metric([name], pair.quote_rate)
        for phase in PairPhase:
            phases.add_metric([name, phase.name.lower()], float(pair.phase is phase))
        if view is not None:
            held.add_metric([name], view.direction * view.size_e8 / E8)
            naked.add_metric([name], view.naked_e8 / E8)
        signals.add_metric([name], pair.signals)
        evaluations.add_metric([name], pair.evaluations)
        for gate, count in pair.gates.items():
            refused.add_metric([name, gate], count)
    yield from (spreads, needed, best, rates, phases, held, naked, signals, evaluations, refused)


def _trading(now: Snapshot) -> Iterable[Metric]:
    executor = now.executor
    yield _gauge("tandem_orders_in_doubt", "Orders whose outcome is unknown now", executor["orders_in_doubt"])
    yield _counter("tandem_orders", "Orders whose bytes were written", executor["orders_sent_total"])
    yield _counter("tandem_orders_rejected", "Orders a venue refused", executor["orders_rejected_total"])
    yield _counter("tandem_template_hits", "Orders signed beforehand", executor["template_hits_total"])
    yield _counter("tandem_template_misses", "Orders signed on the spot", executor["template_misses_total"])
    yield _counter("tandem_trades_opened", "Pairs hedged", executor["trades_opened_total"])
    yield _counter("tandem_trades_closed", "Pairs closed", executor["trades_closed_total"])
    yield _counter("tandem_naked_seconds", "Legs differed, closed trades", executor["naked_us_total"] / 1e6)
    yield _counter("tandem_fees_quote", "Fees of closed trades", executor["fees_e8_total"] / E8)
    # Results can fall: gauges, whatever their name promises elsewhere.
    yield _gauge("tandem_gross_pnl_quote", "Closed trades before fees", executor["gross_e8_total"] / E8)
    yield _gauge("tandem_realized_pnl_quote", "Closed trades after fees", executor["net_e8_total"] / E8)


def _limits(now: Snapshot, settings: Settings) -> Iterable[Metric]:
    """What the day's limits go by, and the limits; why nothing is opened anywhere."""
    executor, risk = now.executor, settings.risk
    stopped = GaugeMetricFamily("tandem_entries_stopped", "1 for what stops entries", labels=["reason"])
    blocks = {obstacle.block for obstacle in obstacles_of(now)}
    for block in TRADING_STATE:
        stopped.add_metric([block.text], float(block in blocks))
    yield stopped
    yield _gauge("tandem_breaker_state", "0 closed, 1 open, 2 half open", executor["breaker"])
    yield _gauge("tandem_result_today_quote", "Realised since midnight UTC", executor["result_today_e8"] / E8)
    yield _gauge("tandem_best_today_quote", "The best of today so far", executor["best_today_e8"] / E8)
    yield _gauge("tandem_naked_today_seconds", "Legs stood alone today", executor["naked_today_us"] / 1e6)
    limits = GaugeMetricFamily("tandem_limit_quote", "Where entries stop for the day", labels=["limit"])
    limits.add_metric(["daily_loss"], risk.max_daily_loss_quote_e8 / E8)
    limits.add_metric(["drawdown"], risk.drawdown_limit_e8 / E8)
    yield limits
    yield _gauge("tandem_limit_journal_bytes", "Its bound", settings.persistence.journal_max_mib << 20)


def _alerts(now: Snapshot) -> Iterable[Metric]:
    """Only where the supervisor has an alerter."""
    alerts = now.alerts
    if alerts:
        yield _gauge("tandem_alerts_waiting", "Alerts no target has taken yet", alerts["waiting"])
        yield _counter("tandem_alerts_raised", "Alerts raised", alerts["raised_total"])
        yield _counter("tandem_alerts_sent", "Messages a target has taken", alerts["sent_total"])
        yield _counter("tandem_alerts_failed", "Attempts a target has not taken", alerts["failed_total"])
        yield _counter("tandem_alerts_dropped", "Alerts that did not fit a queue", alerts["dropped_total"])


def _stages(directory: Path, now: Snapshot) -> Iterable[Metric]:
    """Every stage's histogram from the finer one the processes keep.

    A duration is known to an eighth; the sum is that of the upper bounds, so at most an eighth high.
    """
    family = HistogramMetricFamily(
        "tandem_stage_latency_seconds", "Time of each stage of a quote's way", labels=["proc", "stage"]
    )
    memory = Memory(directory)
    for process in now.processes:
        table = memory.counters(process.name)
        for stage in table.histogram_names:
            found = table.histogram(stage).buckets()
            cumulated = [
                (
                    f"{bound_ns / 1e9:g}",
                    float(sum(count for upper, count in found if upper <= bound_ns)),
                )
                for bound_ns in _BOUNDS_NS
            ]
            total = float(sum(count for _, count in found))
            sum_s = sum(upper_ns * count for upper_ns, count in found) / 1e9
            family.add_metric([process.name, stage], [*cumulated, ("+Inf", total)], sum_value=sum_s)
        table.close()
    yield family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_text, value=value)


def _address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, loopback only: the figures are nobody else's."""
    host, _, port = text.rpartition(":")
    try:
        is_loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
        number = int(port)
    except ValueError:
        raise argparse.ArgumentTypeError("write 127.0.0.1:PORT") from None
    if not is_loopback or not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be a loopback address and a port; use a tunnel to reach it")
    return host.strip("[]"), number
