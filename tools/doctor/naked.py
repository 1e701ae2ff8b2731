"""How long a leg may stand alone when a request is lost, against what the configuration asks for."""

from __future__ import annotations

from executor.pair.config import naked_bound_ms
from settings import Settings
from tools.doctor.finding import Finding, ok, warning


def look_at_naked_bound(settings: Settings) -> Finding:
    """A warning where ``execution.max_naked_ms`` is less than what these settings can keep."""
    bound_ms, asked_ms = naked_bound_ms(settings), settings.execution.max_naked_ms
    found = f"a lost request leaves a leg alone for at most {bound_ms:g} ms; max_naked_ms is {asked_ms:g}"
    if asked_ms >= bound_ms:
        return ok("naked legs", found)
    remedy = f"execution.max_naked_ms of {bound_ms:g} or more, or a shorter order_validity_ms"
    return warning("naked legs", found, remedy)
