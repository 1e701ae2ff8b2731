"""What must hold once the venues have done their worst: rest, books that agree, no id used twice."""

from __future__ import annotations

import time
from collections import Counter

from shm.records import PairPhase
from tests.executor.harness import World

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


def is_at_rest(world: World) -> bool:
    """Whether nothing is under way and what the executor shows is what the venues hold."""
    if world.phase not in REST or world.counter("orders_in_doubt"):
        return False
    if not all(order.status.is_final for venue in world.legs for order in world.orders(venue)[-8:]):
        return False
    return books_agree(world) or halt_reason(world) == "unexplained"


def books_agree(world: World) -> bool:
    """Whether the executor's view is the sum of the venues' own books, to the last lot."""
    view, (first_e8, second_e8) = world.view, world.positions_e8
    if view is None:
        return False
    hedged_e8 = min(abs(first_e8), abs(second_e8)) if first_e8 * second_e8 < 0 else 0
    return (view.naked_e8, view.size_e8) == (first_e8 + second_e8, hedged_e8)


async def until_at_rest(world: World, settle_s: float = SETTLE_S, *, stays_s: float = _STAYS_S) -> None:
    """Wait until nothing moves any more and the books agree, for a while on end.

    In that while the executor must have turned: its orders leave before the step that tells of them, and
    on a loaded machine that step may come as late as it likes.
    """
    since_mono_ns = time.monotonic_ns()

    def has_lasted() -> bool:
        nonlocal since_mono_ns
        has_turned = world.counter("heartbeat_mono_ns") > since_mono_ns
        if not is_at_rest(world):
            since_mono_ns = time.monotonic_ns()
        return has_turned and time.monotonic_ns() - since_mono_ns >= stays_s * 1e9

    await world.until(has_lasted, "rest with books that agree", settle_s)


def broken_promises(world: World) -> list[str]:
    """What does not hold at rest though it must, whatever the venues did."""
    broken = []
    first_e8, second_e8 = world.positions_e8
    first, second = world.symbols
    held = f"{first} {first_e8}, {second} {second_e8}"
    match world.phase:
        case PairPhase.FLAT if (first_e8, second_e8) != (0, 0):
            broken.append(f"FLAT with {held}")
        case PairPhase.HEDGED if first_e8 + second_e8 or not first_e8:
            broken.append(f"HEDGED with {held}")
        case PairPhase.HALTED:
            broken.extend(_not_told_at_halt(world))
        case _:
            pass
    for venue in world.legs:
        orders = world.orders(venue)
        ids = Counter(order.client_id for order in orders if order.client_id)
        broken.extend(f"{venue}: client order id {name} came {n} times" for name, n in ids.items() if n > 1)
        still_open = [order.client_id for order in orders if not order.status.is_final]
        broken.extend(f"{venue}: order {name} is still open" for name in still_open)
    return broken


def surprises(world: World) -> list[str]:
    """Positions that none of the pair's own orders explained."""
    return [
        f"{line['venue']} expected {line['expected_e8']}, read {line['position_e8']}: {line['explained_by']}"
        for line in world.told("reconcile_diff")
        if not isinstance(line["explained_by"], int)
    ]


def _not_told_at_halt(world: World) -> list[str]:
    """The last word about a halt names its reason and the exposure as it is at the venues."""
    halted = world.told("halted")
    if not halted:
        return ["HALTED without a line"]
    if missing := _TOLD_AT_A_HALT - set(halted[-1]):
        return [f"the halted line does not tell {', '.join(sorted(missing))}"]
    if halt_reason(world) == "unexplained":  # not ours to follow: told as a difference, per leg
        shown = {world.legs[line["venue"]]: line["position_e8"] for line in world.told("reconcile_diff")}
        return [
            f"{venue} holds {world.position_e8(venue)}, told {shown[leg]}"
            for venue, leg in world.legs.items()
            if leg in shown and shown[leg] != world.position_e8(venue)
        ]
    if tuple(halted[-1]["positions_e8"]) != world.positions_e8:
        return [f"the halted line tells {halted[-1]['positions_e8']}, venues hold {world.positions_e8}"]
    return []


def halt_reason(world: World) -> str:
    """Why the pair is HALTED; empty when it is not."""
    halted = world.told("halted")
    return str(halted[-1]["reason"]) if halted and world.phase is PairPhase.HALTED else ""
