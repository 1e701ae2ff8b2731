"""The latency ledger: when each stage of a trade happened, as histograms and as fields of its events.

Stamping costs a clock reading; everything else happens after the bytes have left.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from events.trades import Percentiles
from shm.counter_names import EXECUTOR_HISTOGRAMS
from shm.counters import CounterTable
from shm.records import Signal

_ORDERS_KEPT = 1_024


@dataclass(slots=True)
class SignalTimestamps:
    """Stamps of one signal's way, all ``_mono_ns``; a leg's stamp is 0 until it happened."""

    signal: Signal
    seen: int
    checked: int = 0  # the gates before the wire had no objection
    client_order_ids: list[int] = field(default_factory=[0, 0].copy)  # of the signal's own batch
    sent: list[int] = field(default_factory=[0, 0].copy)
    acked: list[int] = field(default_factory=[0, 0].copy)
    filled: list[int] = field(default_factory=[0, 0].copy)

    def reached(self, stamps: list[int], client_order_id: int, now_mono_ns: int) -> None:
        """Stamp the leg that this order of the signal's batch is; orders sent later have no place here."""
        if client_order_id in self.client_order_ids:
            leg = self.client_order_ids.index(client_order_id)
            stamps[leg] = stamps[leg] or now_mono_ns

    def fields_mono_ns(self) -> dict[str, Any]:
        """Every stamp of the way from the socket to the wire as it was taken, for those who measure."""
        signal = self.signal
        return {
            "recv_mono_ns": signal.recv_mono_ns,
            "publish_mono_ns": signal.publish_mono_ns,
            "detector_mono_ns": signal.seen_mono_ns,
            "decided_mono_ns": signal.decided_mono_ns,
            "executor_mono_ns": self.seen,
            "checked_mono_ns": self.checked,
            "sent_mono_ns": (self.sent[0], self.sent[1]),
        }

    def fields_us(self) -> dict[str, Any]:
        """Durations in microseconds, stage by stage; None for what did not happen."""
        signal = self.signal
        first, both = min(self.sent), max(self.sent) if all(self.sent) else 0
        return {
            "recv_to_publish_us": _us(signal.recv_mono_ns, signal.publish_mono_ns),
            "publish_to_seen_us": _us(signal.publish_mono_ns, signal.seen_mono_ns),
            "seen_to_decided_us": _us(signal.seen_mono_ns, signal.decided_mono_ns),
            "decided_to_executor_us": _us(signal.decided_mono_ns, self.seen),
            "executor_to_first_us": _us(self.seen, first),
            "executor_to_both_us": _us(self.seen, both),
            "recv_to_both_us": _us(signal.recv_mono_ns, both),
            "sent_to_acked_us": tuple(map(_us, self.sent, self.acked)),
            "sent_to_filled_us": tuple(map(_us, self.sent, self.filled)),
        }


class LatencyRecorder:
    """Histograms of the executor, and when each order was written."""

    def __init__(self, counters: CounterTable) -> None:
        self._histograms = {name: counters.histogram(name) for name in EXECUTOR_HISTOGRAMS}
        self._sent_mono_ns: OrderedDict[int, int] = OrderedDict()
        self._last_ack: tuple[int, float | None] = (0, None)

    def record(self, name: str, duration_ns: int) -> None:
        self._histograms[name].record(duration_ns)

    def sent(self, client_order_id: int, now_mono_ns: int) -> None:
        self._sent_mono_ns[client_order_id] = now_mono_ns
        if len(self._sent_mono_ns) > _ORDERS_KEPT:
            self._sent_mono_ns.popitem(last=False)
        assert len(self._sent_mono_ns) <= _ORDERS_KEPT

    def sent_mono_ns(self, client_order_id: int) -> int:
        """When an order of this process was written; 0 when that is unknown or forgotten."""
        return self._sent_mono_ns.get(client_order_id, 0)

    def acked(self, client_order_id: int, recv_mono_ns: int) -> None:
        """The venue has answered an order of this process."""
        sent_mono_ns = self._sent_mono_ns.get(client_order_id)
        if sent_mono_ns is not None:
            self.record("sent_to_acked", recv_mono_ns - sent_mono_ns)
            self._last_ack = (client_order_id, _us(sent_mono_ns, recv_mono_ns))

    def ack_us(self, client_order_id: int) -> float | None:
        """How long the newest answer took, if it was this order's."""
        answered_id, duration_us = self._last_ack
        return duration_us if answered_id == client_order_id else None

    def filled(self, client_order_id: int, reported_mono_ns: int) -> float | None:
        """The venue has reported a fill of an order of this process; return how long that took, in µs."""
        sent_mono_ns = self._sent_mono_ns.get(client_order_id)
        if sent_mono_ns is None:
            return None
        self.record("sent_to_filled", reported_mono_ns - sent_mono_ns)
        return _us(sent_mono_ns, reported_mono_ns)

    def both_sent(self, stages: SignalTimestamps) -> None:
        """Both legs of a signal have been written."""
        assert all(stages.sent), "both legs have left"
        first, last = min(stages.sent), max(stages.sent)
        self.record("seen_to_first_sent", first - stages.seen)
        self.record("seen_to_both_sent", last - stages.seen)
        self.record("recv_to_both_sent", last - stages.signal.recv_mono_ns)
        self.record("leg_gap", last - first)

    def percentiles_us(self) -> dict[str, Percentiles]:
        """p50, p99 and maximum of every stage that has been seen."""
        return {
            name: Percentiles(
                count=histogram.count,
                p50=histogram.percentile_ns(50) / 1e3,
                p99=histogram.percentile_ns(99) / 1e3,
                max=histogram.max_ns / 1e3,
            )
            for name, histogram in self._histograms.items()
            if histogram.count
        }


def _us(begin_ns: int, end_ns: int) -> float | None:
    return round((end_ns - begin_ns) / 1e3, 1) if begin_ns and end_ns else None
