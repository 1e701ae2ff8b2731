"""From configuration to one pair's rules."""

from __future__ import annotations

from executor.pair.config import rules_of
from settings import PROJECT, load_raw, parse_settings
from venues.contract import Instrument


def an_instrument(number: int, *, lot_e8: int) -> Instrument:
    return Instrument(number, "vest", f"S{number}", "BTC", 10, lot_e8, lot_e8, 0, 0, 2, 4, 4.5, True)


INSTRUMENTS = (an_instrument(0, lot_e8=6_000), an_instrument(1, lot_e8=4_000)) * 2


def test_a_leg_left_alone_may_go_as_far_as_any_price_is_trusted() -> None:
    """Stuck at the last retry's limit it might never be closed in a market that runs away."""
    settings = parse_settings(load_raw(PROJECT / "config.yaml"), "config.yaml")
    execution = settings.execution

    rules = rules_of(settings, INSTRUMENTS, 0)

    assert rules.price_band_bps_max == settings.risk.price_collar_bps
    assert rules.price_band_bps_max > execution.price_band_bps + execution.widen_bps * execution.max_retries


def test_both_venues_take_the_common_lot_and_a_fee_in_the_configuration_goes_before_the_venues() -> None:
    raw = load_raw(PROJECT / "config.yaml")
    raw["venues"]["vest"]["taker_fee_bps"] = 1.25
    rules = rules_of(parse_settings(raw, "config.yaml"), INSTRUMENTS, 0)

    assert rules.common_lot_e8 == 12_000
    assert rules.taker_fees_bps == (1.25, 1.25)
    assert rules.retry_delay_ns == 100_000_000
    assert (rules.drift_lots_max, rules.drift_bps_max) == (1, 10.0)
