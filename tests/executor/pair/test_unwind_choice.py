"""The choice between completing and unwinding is worth making."""

from __future__ import annotations

from statistics import fmean

from verification.unwind_choice import compare


def test_choosing_by_cost_loses_less_than_always_doing_the_same() -> None:
    """On the same prices, thirty trades that lost a leg; ``make explore`` compares a thousand."""
    losses = {policy: -fmean(one.net_bps for one in found) for policy, found in compare(30).items()}

    print(losses)
    assert losses["auto"] < min(losses["complete"], losses["unwind"])
