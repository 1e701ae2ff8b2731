"""Faults a venue commits on purpose: a plan that the fronts consult at named points.

A front asks ``take(point)`` wherever its venue could misbehave and does what the fault says. Points:

- ``rest.<call>``: one REST call, named by the front (``rest.orders.create``). ``status``, ``code``
  or ``body`` answer in place of the call, which is then not carried out; ``drop_reply`` and
  ``delay_ms`` carry it out and lose or delay the answer.
- ``execute.<symbol>``: an accepted order, or a change of one, on its way to the engine; ``delay_ms``
  executes it late.
- ``push.<channel>``: one WebSocket push, public or private (``push.depth.BTC-PERP``,
  ``push.account_private``); ``drop``, ``duplicate``, ``delay_ms``.

Scripts (files, names, timing) stand on top of this: they add and remove faults as time passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(slots=True, eq=False)
class Fault:
    """One kind of misbehaviour at every point that matches ``point`` (shell pattern).

    ``times`` counts down as it strikes; None strikes until it is removed.
    """

    point: str
    times: int | None = 1
    delay_ms: float = 0.0
    drop: bool = False
    drop_reply: bool = False
    duplicate: bool = False
    code: str = ""  # the venue's own error code, answered with its usual status and body
    status: int = 0  # HTTP status answered with ``body``
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    struck: int = 0  # how often it has struck

    @property
    def answers_instead(self) -> bool:
        """Whether the call is answered without being carried out."""
        return bool(self.code or self.status)


class FaultPlan:
    """The faults now armed at one venue, in the order they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

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

    def take(self, point: str) -> Fault | None:
        """Return the first armed fault for this point and count the strike."""
        if not self._faults:
            return None
        for fault in self._faults:
            if fnmatchcase(point, fault.point):
                fault.struck += 1
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return fault
        return None
