"""Faults a venue commits on purpose: a plan that the fronts consult at named points.

A front asks ``take(point)`` wherever its venue could misbehave and does what the fault says. Points,
and what is understood there:

- ``rest.<call>``, ``ws.<method>``: a REST call or a request on a socket, named by the front
  (``rest.orders.create``, ``ws.order.create``). ``code``, ``status`` or ``body`` answer in its place, or
  with ``is_crossed`` what was meant for another create: it is not carried out, unless ``is_carried_out``.
  ``drop_reply``, ``delay_ms`` and ``garble`` carry it out and lose, delay or spoil the answer. ``duplicate``
  has it reach the venue twice, as a middlebox that repeats requests does: the first one's answer comes, or
  with ``answers_last`` the second one's.
- ``admit.replay``: a signed order that Paradex has taken already; ``duplicate`` takes it once more.
- ``execute.<symbol>``: an accepted order, or a change of one, on its way to the engine; ``delay_ms``
  executes it late, ``steps`` in so many pieces ``delay_ms`` apart, ``share`` fills at most this part of
  it and gives the rest back, ``reason`` ends it without a fill.
- ``push.<channel>``: one message of a subscription, public or private (``push.depth.BTC-PERP``,
  ``push.account_private``); ``drop``, ``duplicate``, ``delay_ms``, ``garble``.
- ``read.positions``: one answer that shows positions; ``misread`` says how they are shown.

Scripts (``fault_scripts``) stand on top of this: they arm and disarm faults as time passes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from simulator.orders import Reason, SimPosition

Misread = Literal["", "flat", "double", "opposite"]


@dataclass(slots=True, eq=False)
class Fault:
    """One kind of misbehaviour at every point that matches ``point``.

    ``point`` is a shell pattern, or several with ``|`` between them; ``symbol`` is one too and, unless
    it is ``*``, strikes only where the symbol is known. ``times`` counts down as it strikes; None
    strikes until it is removed. ``probability`` is of each strike, drawn from ``seed``.
    """

    point: str
    times: int | None = 1
    symbol: str = "*"
    probability: float = 1.0
    seed: int = 0
    delay_ms: float = 0.0
    drop: bool = False
    drop_reply: bool = False
    duplicate: bool = False
    answers_last: bool = False
    is_crossed: bool = (
        False  # answered with an earlier create's answer, or a foreign order's where there is none
    )
    garble: bool = False  # the first half of the bytes, which is no JSON
    code: str = ""  # the venue's own error code, answered with its usual status and body
    status: int = 0  # HTTP status answered with ``body``
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    is_carried_out: bool = False  # what answers in place of the call hides that it was carried out
    steps: int = 1
    share: float = 1.0
    reason: Reason | None = None
    misread: Misread = ""
    struck: int = 0  # how often it has struck
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @property
    def answers_instead(self) -> bool:
        """Whether the answer is not the call's own."""
        return bool(self.code or self.status or self.is_crossed)

    def is_due(self, point: str, symbol: str) -> bool:
        """Whether it strikes here and now. Draws a number where chance decides."""
        return (
            any(fnmatchcase(point, pattern) for pattern in self.point.split("|"))
            and (self.symbol == "*" or fnmatchcase(symbol, self.symbol))
            and (self.probability >= 1 or self._random.random() < self.probability)
        )

    def spoil(self, data: bytes) -> bytes:
        """The bytes as this fault lets them through."""
        return data[: len(data) // 2] if self.garble else data


class FaultPlan:
    """The faults now armed at one venue, in the order they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    @property
    def is_armed(self) -> bool:
        return bool(self._faults)

    def add(self, fault: Fault) -> Fault:
        """Arm a fault; return it so that it can be removed and its strikes counted."""
        self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Disarm a fault; one that has spent itself is gone already."""
        if fault in self._faults:
            self._faults.remove(fault)

    def clear(self) -> None:
        self._faults.clear()

    def take(self, point: str, symbol: str = "") -> Fault | None:
        """Return the first armed fault that strikes at this point and count the strike.

        ``symbol`` is the instrument concerned, "" where the front does not know it.
        """
        for fault in self._faults:
            if fault.is_due(point, symbol):
                fault.struck += 1
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None


def shown_positions(plan: FaultPlan, positions: Sequence[SimPosition]) -> list[SimPosition]:
    """The positions as one answer shows them. Nothing open is nothing to misread: no fault is spent."""
    shown = list(positions)
    for index, position in enumerate(shown):
        if position.size_e8 == 0:
            continue
        fault = plan.take("read.positions", position.symbol)
        if fault is not None:
            factor = {"": 1, "flat": 0, "double": 2, "opposite": -1}[fault.misread]
            shown[index] = position._replace(size_e8=factor * position.size_e8)
    return shown
