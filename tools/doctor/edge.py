"""Thresholds against what a round trip costs: four fees, and what fills have cost lately."""

from __future__ import annotations

import time

from executor.metrics.slippage_model import learned_file, read_kept
from settings import PairSettings, Settings
from shm.records import SlippageView
from supervision.preflight import round_trip_fees_bps
from tools.doctor.finding import Finding, ok, warning
from venues.contract import Instrument, Side


def look_at_edge(settings: Settings, instruments: dict[int, Instrument]) -> list[Finding]:
    """One finding for each pair of which both instruments are known, by instrument_id."""
    try:
        kept = read_kept(learned_file(settings))
    except (OSError, ValueError) as error:
        kept = {}
        text = f"what was learned about slippage cannot be read: {error}"
        unread = [warning("edge", text, f"remove {learned_file(settings)}")]
    else:
        unread = []
    return unread + [
        _of_pair(settings, pair, (instruments[2 * number], instruments[2 * number + 1]), kept)
        for number, pair in enumerate(settings.pairs)
        if 2 * number in instruments and 2 * number + 1 in instruments
    ]


def _of_pair(
    settings: Settings,
    pair: PairSettings,
    legs: tuple[Instrument, Instrument],
    kept: dict[str, SlippageView],
) -> Finding:
    strategy = pair.strategy
    fees_bps = round_trip_fees_bps(settings, legs)
    learned_bps = _learned_bps(pair, legs, kept)
    slippage_bps = strategy.expected_slippage_bps if learned_bps is None else learned_bps
    source = "expected_slippage_bps" if learned_bps is None else "learned slippage"
    costs_bps = fees_bps + slippage_bps
    costs = f"four fees {fees_bps:.2f} and {source} {slippage_bps:.2f} make {costs_bps:.2f} bps"
    gained_bps = strategy.entry_bps - strategy.exit_bps
    if strategy.entry_bps < costs_bps:
        text = f"{pair.id}: {costs}, above entry_bps {strategy.entry_bps:g}: that gap does not pay"
        return warning("edge", text, f"entry_bps above {costs_bps:.2f}, and above what exit_bps gives back")
    if gained_bps < costs_bps:
        text = f"{pair.id}: {costs}; from entry_bps to exit_bps a trade gains {gained_bps:g}"
        return warning("edge", text, "raise entry_bps or lower exit_bps")
    return ok("edge", f"{pair.id}: {costs}; from entry_bps to exit_bps a trade gains {gained_bps:g}")


def _learned_bps(
    pair: PairSettings, legs: tuple[Instrument, Instrument], kept: dict[str, SlippageView]
) -> float | None:
    """Both sides of both contracts; None unless all four are known as the detector asks for it."""
    strategy = pair.strategy
    if not strategy.learn_slippage:
        return None
    views = [kept.get(f"{leg.venue}:{leg.symbol}:{side.name}") for leg in legs for side in Side]
    oldest_unix_s = time.time() - strategy.learned_slippage_max_age_s
    if not all(
        view is not None
        and view.samples >= strategy.learned_slippage_samples_min
        and view.updated_unix_s >= oldest_unix_s
        for view in views
    ):
        return None
    return sum(view.mean_bps for view in views if view is not None)
