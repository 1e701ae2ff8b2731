"""What a whole trade is expected to lose to slippage: learned where enough is known, else configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from detector.rules import Rules
from shm.records import SlippageView, slippage_index

_FILLS: Final = 4  # a round trip buys and sells each leg once, whichever way it is entered

ReadLearned = Callable[[int], SlippageView | None]


def expected_slippage_bps(rules: Rules, read: ReadLearned, now_unix_s: float) -> float:
    """The sum over the four fills of a round trip. ``read`` looks into the ``slippage`` slots.

    A fill of which too little or nothing recent is known counts with its share of the configured
    figure. One that was better than the price seen on average counts as 0: luck pays for no entry.
    """
    if not rules.is_slippage_learned:
        return rules.slippage_bps
    total_bps = 0.0
    for instrument in (rules.first, rules.second):
        for is_sale in (False, True):
            view = read(slippage_index(instrument.instrument_id, is_sale=is_sale))
            is_known = (
                view is not None
                and view.samples >= rules.learned_samples_min
                and now_unix_s - view.updated_unix_s <= rules.learned_age_s_max
            )
            total_bps += max(0.0, view.mean_bps) if view and is_known else rules.slippage_bps / _FILLS
    return total_bps
