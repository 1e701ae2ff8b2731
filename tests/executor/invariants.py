"""What must hold once the venues have done their worst: rest, books that agree, no id used twice."""

from __future__ import annotations

import time
from collections import Counter

from shm.records import PairPhase
from tests.executor.harness import Harness

REST = (PairPhase.FLAT, PairPhase.HEDGED, PairPhase.HALTED)
SETTLE_S = 60.0  # the longest doubt, an order that may appear late, ends before
_STAYS_S = 0.3  # how long rest must last to be rest
_TOLD_AT_A_HALT = {
    "reason",
    "positions_e8",
    "under_way_e8",
    "net_e8",
    "net_notional_e8",
    "venue_positions_e8",
}


def is_at_rest(harness: Harness) -> bool:
    """Whether nothing is under way and what the executor shows is what the venues hold."""
    if harness.phase not in REST or harness.counter("orders_in_doubt"):
        return False
    if not all(order.status.is_final for venue in harness.legs for order in harness.orders(venue)[-8:]):
        return False
    return books_agree(harness) or halt_reason(harness) == "unexplained"


def books_agree(harness: Harness) -> bool:
    """Whether the executor's view is the sum of the venues' own books, to the last lot."""
    view, (first_e8, second_e8) = harness.view, harness.positions_e8
    if view is None:
        return False
    hedged_e8 = min(abs(first_e8), abs(second_e8)) if first_e8 * second_e8 < 0 else 0
    return (view.naked_e8, view.size_e8) == (first_e8 + second_e8, hedged_e8)


async def until_at_rest(harness: Harness, settle_s: float = SETTLE_S, *, stays_s: float = _STAYS_S) -> None:
    """Wait until nothing moves any more and the books agree, for a while on end.

    In that while the executor must have turned: its orders leave before the step that tells of them, and
    on a loaded machine that step may come as late as it likes.
    """
    since_mono_ns = time.monotonic_ns()

    def has_lasted() -> bool:
        nonlocal since_mono_ns
        has_turned = harness.counter("heartbeat_mono_ns") > since_mono_ns
        if not is_at_rest(harness):
            since_mono_ns = time.monotonic_ns()
        return has_turned and time.monotonic_ns() - since_mono_ns >= stays_s * 1e9

    await harness.until(has_lasted, "rest with books that agree", settle_s)


def broken_promises(harness: Harness) -> list[str]:
    """What does not hold at rest though it must, whatever the venues did."""
    broken = []
    first_e8, second_e8 = harness.positions_e8
    first, second = harness.symbols
    held = f"{first} {first_e8}, {second} {second_e8}"
    match harness.phase:
        case PairPhase.FLAT if (first_e8, second_e8) != (0, 0):
            broken.append(f"FLAT with {held}")
        case PairPhase.HEDGED if first_e8 + second_e8 or not first_e8:
            broken.append(f"HEDGED with {held}")
        case PairPhase.HALTED:
            broken.extend(_not_told_at_halt(harness))
        case _:
            pass
    for venue in harness.legs:
        orders = harness.orders(venue)
        ids = Counter(order.client_id for order in orders if order.client_id)
        broken.extend(f"{venue}: client order id {name} came {n} times" for name, n in ids.items() if n > 1)
        still_open = [order.client_id for order in orders if not order.status.is_final]
        broken.extend(f"{venue}: order {name} is still open" for name in still_open)
    return broken


def surprises(harness: Harness) -> list[str]:
    """Positions that none of the pair's own orders explained."""
    return [
        f"{line['venue']} expected {line['expected_e8']}, read {line['position_e8']}: {line['explained_by']}"
        for line in harness.logged("reconcile_diff")
        if not isinstance(line["explained_by"], int)
    ]


def _not_told_at_halt(harness: Harness) -> list[str]:
    """The last word about a halt names its reason and the exposure as it is at the venues."""
    halted = harness.logged("halted")
    if not halted:
        return ["HALTED without a line"]
    if missing := _TOLD_AT_A_HALT - set(halted[-1]):
        return [f"the halted line does not tell {', '.join(sorted(missing))}"]
    if halt_reason(harness) == "unexplained":  # not ours to follow: told as a difference, per leg
        shown = {
            harness.legs[line["venue"]]: line["position_e8"] for line in harness.logged("reconcile_diff")
        }
        return [
            f"{venue} holds {harness.position_e8(venue)}, told {shown[leg]}"
            for venue, leg in harness.legs.items()
            if leg in shown and shown[leg] != harness.position_e8(venue)
        ]
    if tuple(halted[-1]["positions_e8"]) != harness.positions_e8:
        return [f"the halted line tells {halted[-1]['positions_e8']}, venues hold {harness.positions_e8}"]
    return []


def halt_reason(harness: Harness) -> str:
    """Why the pair is HALTED; empty when it is not."""
    halted = harness.logged("halted")
    return str(halted[-1]["reason"]) if halted and harness.phase is PairPhase.HALTED else ""
