"""Runs the duty cycle of every agent: one role, one thread, one loop.

Time is read once per iteration and handed down, which is also what lets a test drive an agent.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Protocol

from shm.doorbell import Doorbell


class Agent(Protocol):
    """A process's role. ``do_work`` returns how much it did; 0 lets the loop rest."""

    def do_work(self, now_mono_ns: int) -> int:
        """Do what is due at this time; return how much that was, 0 when nothing waited."""

    def has_work(self) -> bool:
        """A cheap check, made once more before sleeping."""

    def on_idle(self, now_mono_ns: int) -> None:
        """Slow housekeeping: called when nothing was waiting."""

    def on_close(self) -> None:
        """Give back what the agent holds; called once, however the loop ends."""


Idle = Callable[[Agent], None]


def spin(agent: Agent) -> None:
    """Do not rest: lowest latency, one core to itself."""


def yield_core(agent: Agent) -> None:
    """Let a thread that waits for this core run first; without one it spins like ``spin``."""
    os.sched_yield()


MAX_PARK_MS = 10.0


def park(doorbell: Doorbell, max_park_ms: float = MAX_PARK_MS) -> Idle:
    """Sleep until rung; ``max_park_ms`` bounds a lost wake-up and keeps the heartbeat alive."""

    def rest(agent: Agent) -> None:
        doorbell.announce_sleep()
        if agent.has_work():
            doorbell.awake()
            return
        doorbell.wait(max_park_ms)

    return rest


def idle_strategy(name: str, doorbell: Doorbell, max_park_ms: float = MAX_PARK_MS) -> Idle:
    """Waiting strategy by its name in the configuration: spin, yield or park."""
    return {"spin": spin, "yield": yield_core, "park": park(doorbell, max_park_ms)}[name]


def run_agent(
    agent: Agent,
    *,
    clock_mono_ns: Callable[[], int],
    idle: Idle,
    beat: Callable[[int], None],
    is_stopping: Callable[[], bool],
) -> None:
    """Drive the agent until ``is_stopping``; ``on_close`` runs however the loop ends."""
    try:
        while not is_stopping():
            now_mono_ns = clock_mono_ns()
            beat(now_mono_ns)  # the supervisor replaces what stops beating
            if not agent.do_work(now_mono_ns):
                agent.on_idle(now_mono_ns)
                idle(agent)
    finally:
        agent.on_close()


def quiet_garbage_collector() -> None:
    """Keep the collector out of a hot loop: freeze what start-up made, collect only by hand.

    A full collection with a long-lived heap stops a process for tens of milliseconds; a hot
    loop that makes no reference cycles does not need one.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
