"""``make soak``: trading for a while under random kills, hung processes, database restarts, venue faults.

    python -m verification.crash.soak [--minutes 30] [--seed 1]

At the end everything must agree: venues, database and what the log told; and every process must be as
large as it was at the beginning. Exit code 1 where it is not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

import psycopg

from persistence.server import start_server, stop_server
from runtime import reconcile_request
from shm.records import PairPhase
from tests.crash.stage import CLOSED_BPS, WIDE_BPS, Stage, a_stage, children_of, kill_all
from verification.crash.matrix import Matrix

VICTIMS: Final = ("executor", "executor", "feed-vest", "feed-paradex", "detector", "persistence")
_MISDEED_EVERY_S: Final = (2.0, 6.0)
_GAP_EVERY_S: Final = 1.5
_STEADY_S: Final = 10.5  # nobody dies young twice in a row: that would be the supervisor's back-off
_STOPPED_S: Final = 30.0
_HALTED_S: Final = 20.0  # then the operator looks
_RSS_GROWTH: Final = 1.15


Size = tuple[float, float, float]  # MiB, descriptors, threads


def early_and_late(seen: Sequence[Size]) -> tuple[Size, Size]:
    """How large a process usually was in the first and in the last third of its lives.

    One life says little: it may have been looked at with connections lost, or before it had made them all.
    """
    third = max(1, len(seen) // 3)
    return _usual(seen[:third]), _usual(seen[-third:])


def _usual(seen: Sequence[Size]) -> Size:
    return median(mib for mib, _, _ in seen), median(fds for _, fds, _ in seen), median(n for _, _, n in seen)


def has_grown(early: Size, late: Size) -> bool:
    """Whether what usually is so large was smaller, by more than lives differ."""
    return late[0] > early[0] * _RSS_GROWTH + 8 or late[1] > early[1] + 4 or late[2] > early[2]


class Sizes:
    """Memory, descriptors and threads of a process, seen at the same age of its lives."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Size]] = defaultdict(list)
        self._pids: dict[str, int] = {}

    def look(self, name: str, pid: int) -> None:
        """Note a process once per life, or, for one that lives on, at every look."""
        if self._pids.get(name) == pid and name != "supervisor":
            return
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            fds = len(os.listdir(f"/proc/{pid}/fd"))
        except (FileNotFoundError, ProcessLookupError):
            return
        facts = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        rss_mib = int(facts["VmRSS"].split()[0]) / 1024
        self.seen[name].append((rss_mib, fds, int(facts["Threads"])))
        self._pids[name] = pid


class Soak(Matrix):
    """The matrix's instance, tormented at random."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.random = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.sizes = Sizes()
        self.trades_told: set[int] = set()
        self.disagreements: list[str] = []
        self._born_s: dict[str, float] = {}
        self._pid: dict[str, int] = {}
        self._halted_s = 0.0
        super().__init__(stage)

    def run_for(self, seconds: float) -> None:
        end_s, next_gap_s, next_misdeed_s = time.monotonic() + seconds, 0.0, time.monotonic() + 12.0
        while time.monotonic() < end_s:
            now_s = time.monotonic()
            if now_s >= next_gap_s:
                market = self.stage.market
                market.gap_bps = CLOSED_BPS if market.gap_bps == WIDE_BPS else WIDE_BPS
                next_gap_s = now_s + _GAP_EVERY_S
            if now_s >= next_misdeed_s:
                self._misdeed()
                next_misdeed_s = time.monotonic() + self.random.uniform(*_MISDEED_EVERY_S)
            self._look()
            time.sleep(0.05)

    # --- looking ---

    def _look(self) -> None:
        now_s = time.monotonic()
        self.instance.take_waiting()
        for name in (*dict.fromkeys(VICTIMS), "supervisor"):
            is_child = name != "supervisor"
            pid = self._counter("supervisor", f"pid.{name}") if is_child else self.instance.process.pid
            if self._pid.get(name) != pid:
                self._pid[name], self._born_s[name] = pid, now_s
            elif now_s - self._born_s[name] > _STEADY_S:
                self.sizes.look(name, pid)
        if self.phase is not PairPhase.HALTED:
            self._halted_s = 0.0
        elif not self._halted_s:
            self._halted_s = now_s
            self.done["halted"] += 1
        elif now_s - self._halted_s > _HALTED_S:
            reconcile_request.ask(self._memory.directory, "adopt")
            self.done["operator"] += 1
            self._halted_s = now_s

    def _gather(self) -> None:
        """What the log of the instance has told, before its lines go."""
        self.trades_told |= {line["trade_id"] for line in self.instance.events("trade_closed")}
        self.disagreements += [
            f"{line['ts']} {line.get('venue')} {line.get('explained_by')}"
            for line in self.instance.events("reconcile_diff")
        ]

    # --- misdeeds ---

    def _misdeed(self) -> None:
        deeds: dict[Callable[[], str], float] = {
            self._kill_one: 10,
            self._venue_fault: 6,
            self._restart_database: 2,
            self._stop_one: 0.7,
            self._kill_everything: 0.7,
        }
        deed = self.random.choices(list(deeds), list(deeds.values()))[0]
        self.done[deed()] += 1

    def _pick(self) -> str | None:
        now_s = time.monotonic()
        old = [name for name in VICTIMS if now_s - self._born_s.get(name, now_s) > _STEADY_S]
        return self.random.choice(old) if old else None

    def _signal(self, name: str, number: int) -> bool:
        try:
            os.kill(self._counter("supervisor", f"pid.{name}"), number)
        except ProcessLookupError:
            return False
        return True

    def _kill_one(self) -> str:
        name = self._pick()
        return f"kill {name}" if name and self._signal(name, signal.SIGKILL) else "nobody old enough"

    def _stop_one(self) -> str:
        name = self._pick()
        if name is None or not self._signal(name, signal.SIGSTOP):
            return "nobody old enough"
        pid = self._counter("supervisor", f"pid.{name}")
        deadline_s = time.monotonic() + _STOPPED_S  # the supervisor replaces it long before
        while time.monotonic() < deadline_s and self._counter("supervisor", f"pid.{name}") == pid:
            self._look()
            time.sleep(0.05)
        return f"stop {name}"

    def _restart_database(self) -> str:
        stop_server(self.stage.config.parent / "var")
        return "database restart"

    def _venue_fault(self) -> str:
        venue = self.random.choice(("vest", "paradex"))
        create = "rest.orders.create" if venue == "vest" else "ws.order.create"
        kind = self.random.choice(("lost reply", "refused", "late execution", "sockets closed"))
        if kind == "lost reply":
            self.stage.add_fault(venue, create, drop_reply=True)
        elif kind == "refused":
            self.stage.add_fault(venue, create, code="NOT_ENOUGH_MARGIN" if venue == "paradex" else "3002")
        elif kind == "late execution":
            self.stage.add_fault(venue, "execute.*", delay_ms=700.0)
        else:
            self.stage.close_sockets(venue)
        return f"venue: {kind}"

    def _kill_everything(self) -> str:
        self._gather()
        kill_all([self.instance.process.pid, *children_of(self.stage)], signal.SIGKILL)
        self.instance.process.wait(20)
        self.instance.take_waiting()  # the database server lives on and holds the log's pipe open
        self._gather()
        self._start()
        return "kill everything"

    # --- the end ---

    def end(self) -> list[str]:
        self.stage.clear_faults()
        wrong = self.finish()
        self._gather()
        with psycopg.connect(start_server(self.stage.config.parent / "var")) as connection:
            stored = {
                row[0] for row in connection.execute("select trade_id from trades where state = 'closed'")
            }
        if missing := self.trades_told - stored:
            wrong.append(f"closed trades that the database does not know: {sorted(missing)}")
        if doubled := self.stage.doubled_ids():
            wrong.append(f"client order ids twice: {doubled}")
        for name, seen in self.sizes.seen.items():
            early, late = early_and_late(seen)
            if has_grown(early, late):
                wrong.append(f"{name} has grown: (MiB, descriptors, threads) {early} -> {late}")
        return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.crash.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with a_stage(runtime__on_shutdown="flatten", persistence__database_timeout_s=5) as stage:
        soak = Soak(stage, arguments.seed)
        soak.run_for(60 * arguments.minutes)
        wrong = soak.end()
    kills = sum(count for deed, count in soak.done.items() if deed.startswith("kill"))
    print(f"{arguments.minutes:g} minutes, {len(soak.trades_told)} trades, {kills} kills")
    for deed, count in sorted(soak.done.items()):
        print(f"  {deed:24} {count}")
    print("process        lives seen  MiB, descriptors, threads: early -> late (largest MiB)")
    for name, seen in soak.sizes.seen.items():
        largest = max(item[0] for item in seen)
        early, late = map(_shown, early_and_late(seen))
        print(f"  {name:14} {len(seen):8}  {early} -> {late} ({largest:.0f})")
    print(f"differences reported while it ran: {Counter(item.split()[-1] for item in soak.disagreements)}")
    print("disagreements at the end:", "; ".join(wrong) or "0")
    return int(bool(wrong))


def _shown(size: Size) -> str:
    return f"{size[0]:.0f} MiB {size[1]:.0f} {size[2]:.0f}"


if __name__ == "__main__":
    sys.exit(main())
