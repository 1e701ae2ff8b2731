"""``make naked``: how long a leg stands alone when one order request is lost between the bot and a venue.

    python -m verification.lost_requests [--repeats N] [--only WORD ...]

A whole instance trades in mode live on the simulated venues, with a proxy before each. In every trade one
order, at the entry or the exit, of one venue, is lost in one of the ways of ``order_proxy.Loss``. The time
is taken from the venues' own books, whatever the instance reports. Exit code 1 when a trade does not come to
rest with books that agree, when a client order id came twice, or when the bound of the settings is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import yaml

from executor.pair.config import naked_bound_ms
from settings import parse_settings
from supervision.preflight import loopback_urls
from tests.crash.stage import CLOSED_BPS, HOLD_BPS, WIDE_BPS, Stage, a_stage
from tests.instance import Instance
from venues import registry
from verification.order_proxy import Loss, OrderProxy

MOMENTS: Final = ("entry", "exit")
VENUES: Final = ("vest", "paradex")  # in the order in which their orders are written
AFTER_VALIDITY_S: Final = 0.5  # a delayed order arrives that much after its signature ended
WITHIN_VALIDITY_S: Final = 0.25
_LOOK_S: Final = 0.002
_RESTS_S: Final = 0.4
_PATIENCE_S: Final = 90.0


class Cell(NamedTuple):
    """One kind of case; the table has a row for each."""

    moment: str
    venue: str
    loss: Loss

    def __str__(self) -> str:
        return f"{self.moment:5} {self.venue:7} {self.loss.value}"


class NakedClock:
    """Adds up, from the venues' books, how long the legs differ. Runs on the venues' own loop."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.naked_s = 0.0
        self.net_e8 = 0

    async def run(self) -> None:
        seen_s = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_S)
            now_s = time.monotonic()
            if self.net_e8:
                self.naked_s += now_s - seen_s
            seen_s, self.net_e8 = now_s, sum(self._stage.books_e8().values())


class Lab:
    """An instance, its venues, a proxy before each of them, and a clock over their books."""

    def __init__(
        self, stage: Stage, proxies: dict[str, OrderProxy], clock: NakedClock, bound_s: float
    ) -> None:
        self.bound_s = bound_s  # what the settings promise
        self.stage = stage
        self.proxies = proxies
        self.clock = clock
        self.instance: Instance | None = None
        self._phase = ""
        self._read = 0

    def start(self) -> None:
        self.instance = self.stage.start()
        self.instance.wait_for("running")

    def play(self, cell: Cell) -> float:
        """One trade with one loss; how long its legs differed, in seconds."""
        market, proxy = self.stage.market, self.proxies[cell.venue]
        if cell.moment == "exit":
            market.gap_bps = WIDE_BPS
            self._until(lambda: self.phase == "HEDGED", f"{cell}: a hedged pair")
            market.gap_bps = HOLD_BPS
            self._rest(cell)
        self.clock.naked_s = 0.0
        proxy.arm(cell.loss)
        market.gap_bps = WIDE_BPS if cell.moment == "entry" else CLOSED_BPS
        self._until(lambda: proxy.struck, f"{cell}: the order to lose")
        if cell.moment == "entry":
            market.gap_bps = HOLD_BPS
        self._rest(cell)
        naked_s = self.clock.naked_s
        market.gap_bps = CLOSED_BPS
        self._until(lambda: self.phase == "FLAT" and not any(self.stage.positions_e8.values()), "flat")
        self._rest(cell)
        return naked_s

    @property
    def phase(self) -> str:
        """The pair's phase as last reported."""
        assert self.instance is not None
        self.instance.take_waiting()
        new, self._read = self.instance.lines[self._read :], len(self.instance.lines)
        for line in new:
            if line["event"] == "pair_state":
                self._phase = line["phase"]
        return self._phase

    def _rest(self, cell: Cell) -> None:
        since_s = time.monotonic()

        def has_lasted() -> bool:
            nonlocal since_s
            if self.phase not in ("FLAT", "HEDGED", "") or self.clock.net_e8:
                since_s = time.monotonic()
            return time.monotonic() - since_s >= _RESTS_S

        self._until(has_lasted, f"{cell}: rest")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + _PATIENCE_S
        while not condition():
            if time.monotonic() > deadline_s:
                assert self.instance is not None
                last = "\n".join(f"    {line}" for line in self.instance.lines[-20:])
                raise AssertionError(f"{what} did not come: {self._phase} {self.stage.positions_e8}\n{last}")
            time.sleep(_LOOK_S)


@contextmanager
def a_lab(**changes: Any) -> Iterator[Lab]:
    """An instance that has begun to trade through proxies. ``changes`` of the configuration."""
    with a_stage(**changes) as stage:
        raw = yaml.safe_load(stage.config.read_text())
        settings = parse_settings(raw, str(stage.config))
        clock = NakedClock(stage)
        proxies = {
            venue: OrderProxy(
                port,
                delay_past_s=settings.execution.order_validity_ms / 1e3 + AFTER_VALIDITY_S,
                delay_within_s=WITHIN_VALIDITY_S,
            )
            for venue, port in stage.ports.items()
        }
        for proxy in proxies.values():
            stage.run(proxy.start())
        raw["venues"] = {
            venue: loopback_urls(registry.venue(venue).production_hosts, proxy.port)
            for venue, proxy in proxies.items()
        }
        stage.config.write_text(yaml.safe_dump(raw))
        watching = stage.begin(clock.run())
        lab = Lab(stage, proxies, clock, naked_bound_ms(settings) / 1e3)
        try:
            lab.start()
            yield lab
        finally:
            if lab.instance is not None:
                # Not SIGINT: what a shell starts in the background has it ignored, and so have its children.
                lab.instance.stop(signal.SIGTERM)
            watching.cancel()
            for proxy in proxies.values():
                stage.run(proxy.stop())


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.lost_requests", description=__doc__)
    parser.add_argument("--repeats", type=int, default=10, help="trades of every kind")
    parser.add_argument("--only", nargs="*", default=[], help="kinds that contain every one of these words")
    chosen = parser.parse_args()
    cells = [
        cell
        for moment in MOMENTS
        for venue in VENUES
        for loss in Loss
        for cell in (Cell(moment, venue, loss),)
        if all(word in str(cell) for word in chosen.only)
    ]
    taken_s: dict[Cell, list[float]] = defaultdict(list)
    broken: list[str] = []
    with a_lab() as lab:
        print(f"promised by these settings: at most {lab.bound_s:g} s", flush=True)
        for number in range(chosen.repeats):
            for cell in cells:
                try:
                    taken_s[cell].append(lab.play(cell))
                except AssertionError as error:
                    print_table(taken_s)
                    print(f"WRONG: {error}")
                    return 1
                if taken_s[cell][-1] > lab.bound_s:
                    broken.append(f"{cell}: {taken_s[cell][-1]:.3f} s, promised are {lab.bound_s:g}")
                print(f"{number + 1}/{chosen.repeats} {cell!s:64} {taken_s[cell][-1]:7.3f} s", flush=True)
        broken += [f"client order id {name} came twice" for name in lab.stage.doubled_ids()]
    print_table(taken_s)
    for text in broken:
        print(f"WRONG: {text}")
    return 1 if broken else 0


def print_table(taken_s: dict[Cell, list[float]]) -> None:
    """A row per kind, then one per venue and moment, then all."""
    groups: dict[str, list[float]] = defaultdict(list)
    for cell, values in taken_s.items():
        groups[str(cell)] += values
    for cell, values in taken_s.items():
        groups[f"{cell.moment:5} {cell.venue:7} every loss"] += values
    groups["all"] = [value for values in taken_s.values() for value in values]
    print(f"\n{'seconds that legs differed':64} {'n':>4} {'p50':>7} {'p99':>7} {'max':>7}")
    for name, values in groups.items():
        if values:
            figures = f"{percentile(values, 0.5):7.3f} {percentile(values, 0.99):7.3f} {max(values):7.3f}"
            print(f"{name:64} {len(values):4} {figures}")


if __name__ == "__main__":
    sys.exit(main())
