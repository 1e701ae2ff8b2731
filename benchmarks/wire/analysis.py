"""Turns a run's log into percentiles of every stage of every trade.

The venues' stamps and Tandem's come from one clock (``CLOCK_MONOTONIC``) and are joined by client
order id. A bot has only the venues' stamps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

STAMPS: Final = (
    ("sent", "frame leaves the venue"),
    ("kernel_mono_ns", "frame in the kernel"),
    ("recv_mono_ns", "socket"),
    ("publish_mono_ns", "parsed"),
    ("detector_mono_ns", "published and seen by the detector"),
    ("decided_mono_ns", "decided"),
    ("executor_mono_ns", "signalled and seen by the executor"),
    ("checked_mono_ns", "risk-checked"),
    ("first", "first leg written"),
    ("second", "second leg written"),
)


class Summary(NamedTuple):
    """Percentiles in microseconds."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float
    trades: int


def summarise(samples_ns: Sequence[int]) -> Summary:
    """Nearest-rank percentiles."""
    ordered = sorted(samples_ns)

    def at(part: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] / 1e3, 1)

    return Summary(at(0.5), at(0.9), at(0.99), at(0.999), round(ordered[-1] / 1e3, 1), len(ordered))


def wire_to_wire(trades: Sequence[Mapping[str, Any]]) -> dict[str, Summary]:
    """What the venues saw, by what was measured."""
    both = [max(trade["arrived_mono_ns"].values()) - trade["sent_mono_ns"] for trade in trades]
    found = {
        "both legs": summarise(both),
        "first leg": summarise(
            [min(trade["arrived_mono_ns"].values()) - trade["sent_mono_ns"] for trade in trades]
        ),
        "gap between legs": summarise(
            [max(stamps) - min(stamps) for trade in trades for stamps in [trade["arrived_mono_ns"].values()]]
        ),
    }
    for venue in dict.fromkeys(trade["venue"] for trade in trades):
        mine = [ns for ns, trade in zip(both, trades, strict=True) if trade["venue"] == venue]
        if mine:
            found[f"both legs, {venue}'s frame"] = summarise(mine)
    return found


def stages(trades: Sequence[Mapping[str, Any]], log: Sequence[Mapping[str, Any]]) -> dict[str, Summary]:
    """Tandem's own stamps of the same trades, or a floor's, stage by stage."""
    reported: dict[str, Mapping[str, Any]] = {}
    for line in log:
        if line["event"] == "signal_stages":
            for client_order_id in line["client_order_ids"]:
                reported[str(client_order_id)] = line
    samples: dict[str, list[int]] = {name: [] for _, name in STAMPS[1:]}
    gaps: list[int] = []
    for trade in trades:
        # Paradex' have a prefix; the other leg's stands for both.
        ids = trade["client_order_ids"]
        line_or_none = reported.get(next(ids[venue] for venue in ids if venue != "paradex"))
        if line_or_none is None:
            continue
        sent = sorted(line_or_none["sent_mono_ns"])
        stamps = {
            **line_or_none,
            "sent": trade["sent_mono_ns"],
            "first": sent[0],
            "second": sent[1],
        }
        # Only a floor, and it over plain sockets alone, knows when its kernel had the frame.
        known = [stamp for stamp in STAMPS if stamps.get(stamp[0])]
        for (before, _), (after, name) in pairwise(known):
            samples[name].append(stamps[after] - stamps[before])
        gaps.append(sent[1] - sent[0])
    return {name: summarise(values) for name, values in samples.items() if values}


def as_dict(summaries: Mapping[str, Summary]) -> dict[str, dict[str, float]]:
    return {name: summary._asdict() for name, summary in summaries.items()}


def print_run(name: str, found: Mapping[str, Summary], parts: Mapping[str, Summary], notes: str) -> None:
    width = 40
    print(f"\n{name}{f'  ({notes})' if notes else ''}")
    trades = next(iter(found.values())).trades
    head = "".join(f" {figure:>9}" for figure in ("p50", "p90", "p99", "p99.9", "max"))
    print(f"{'':{width}}{head}  µs, {trades} trades")
    for label, row in (*found.items(), *((f"  {label}", row) for label, row in parts.items())):
        print(f"{label:{width}} {row.p50:9.1f} {row.p90:9.1f} {row.p99:9.1f} {row.p999:9.1f} {row.max:9.1f}")
