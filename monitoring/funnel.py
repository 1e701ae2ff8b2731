"""Refusals by gate in the order in which gates are asked, so that every evaluation is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from events.decisions import Refusals
from shm.counters import CounterTable
from shm.entry_block import GATES

_LOOKS = 10_000


class Funnel(NamedTuple):
    """One pair. Refusals and signals add up to evaluations."""

    pair: str
    evaluations: int
    gates: Mapping[str, int]
    signals: int

    @property
    def is_exact(self) -> bool:
        """Whether every evaluation is accounted for."""
        return self.evaluations == sum(self.gates.values()) + self.signals


class FunnelRow(NamedTuple):
    """One gate of a pair's funnel."""

    pair: str
    gate: str
    refused: int
    passed: int  # that were left after this gate


def rows_of(funnel: Funnel) -> Iterator[FunnelRow]:
    """Every gate, also those that refused nothing; the last row is the signals."""
    left = funnel.evaluations
    for gate in GATES:
        refused = funnel.gates.get(gate.value, 0)
        left -= refused
        yield FunnelRow(funnel.pair, gate.value, refused, left)
    yield FunnelRow(funnel.pair, "signal", 0, funnel.signals)


def of_counters(table: CounterTable, pairs: Iterable[str]) -> list[Funnel]:
    """What a running detector has counted since its instance began.

    A quote is counted in several steps; looked at again until none is half counted.
    """
    names = list(pairs)
    found: list[Funnel] = []
    for _ in range(_LOOKS):
        counted = table.snapshot()
        found = [
            Funnel(
                pair,
                counted[f"evaluations.{pair}"],
                {gate.value: counted[f"gate.{pair}.{gate}"] for gate in GATES},
                counted[f"signals.{pair}"],
            )
            for pair in names
        ]
        if all(funnel.is_exact for funnel in found):
            break
    return found


def of_events(events: Iterable[Refusals]) -> list[Funnel]:
    """What the detector reported in a period, together."""
    evaluations: Counter[str] = Counter()
    signals: Counter[str] = Counter()
    gates: dict[str, Counter[str]] = {}
    for event in events:
        evaluations[event.pair] += event.evaluations
        signals[event.pair] += event.signals
        gates.setdefault(event.pair, Counter()).update(event.gates)
    return [Funnel(pair, evaluations[pair], gates[pair], signals[pair]) for pair in sorted(gates)]
