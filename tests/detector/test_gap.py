"""The widest gap is a true maximum, whatever the detector was doing and however often it was started."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from detector.gap import Gap
from shm.counters import CounterTable
from tests.detector.builders import NOW_NS, a_quote, some_rules
from tests.tools.shown import shown_instance


@pytest.fixture
def counters() -> Iterator[CounterTable]:
    with shown_instance() as shown:
        yield shown.table("detector")


def best_bps(counters: CounterTable) -> tuple[float, float]:
    counted = counters.snapshot()
    return counted["best_forward_ppb.btc"] / 100_000, counted["best_backward_ppb.btc"] / 100_000


def test_the_widest_of_each_direction_is_kept_also_below_nothing(counters: CounterTable) -> None:
    """Forward buys the first leg's ask and sells the second's bid."""
    gap, rules = Gap(counters, "btc"), some_rules()
    gap.note(a_quote(99.9, 100.0), a_quote(99.95, 100.1), 150.0)  # -5 forward, -20 backward
    gap.note(a_quote(99.9, 100.0), a_quote(99.90, 100.0), 150.0)  # -10, -10
    gap.show(rules, 0.4, 0.0, NOW_NS)
    assert best_bps(counters) == pytest.approx((-5.0, -10.0))
    gap.note(a_quote(99.9, 100.0), a_quote(100.028, 100.1), 150.0)  # +2.8
    gap.show(rules, 0.4, 0.0, NOW_NS + 1)
    assert best_bps(counters) == pytest.approx((2.8, -10.0))
    assert counters.snapshot()["best_forward_mono_ns.btc"] == NOW_NS + 1
    assert counters.snapshot()["best_backward_mono_ns.btc"] == NOW_NS


def test_what_is_too_good_to_be_true_is_no_gap(counters: CounterTable) -> None:
    gap = Gap(counters, "btc")
    gap.note(a_quote(99.9, 100.0), a_quote(102.0, 102.1), 150.0)
    gap.show(some_rules(), 0.0, 0.0, NOW_NS)
    assert counters.snapshot()["best_forward_mono_ns.btc"] == 0
    assert gap.take_widest() is None


def test_a_detector_that_is_started_anew_goes_on_from_the_widest_so_far(counters: CounterTable) -> None:
    wide = a_quote(99.9, 100.0), a_quote(100.1, 100.2)
    first = Gap(counters, "btc")
    first.note(*wide, 150.0)
    first.show(some_rules(), 0.0, 0.0, NOW_NS)
    later = Gap(counters, "btc")
    later.note(a_quote(99.9, 100.0), a_quote(100.0, 100.1), 150.0)
    later.show(some_rules(), 0.0, 0.0, NOW_NS + 1)
    assert best_bps(counters)[0] == pytest.approx(10.0)
    assert later.take_widest() == pytest.approx((0.0, -19.98), abs=0.01)


def test_a_report_says_the_widest_since_the_one_before(counters: CounterTable) -> None:
    gap = Gap(counters, "btc")
    for bid in (100.05, 100.02, 100.01):
        gap.note(a_quote(99.9, 100.0), a_quote(bid, 100.2), 150.0)
        gap.show(some_rules(), 0.0, 0.0, NOW_NS)
    widest = gap.take_widest()
    assert widest is not None
    assert widest[0] == pytest.approx(5.0)
    assert gap.take_widest() is None


def test_the_level_is_what_the_detector_goes_by(counters: CounterTable) -> None:
    Gap(counters, "btc").show(some_rules(fees_bps=11.0, edge_bps_min=2.0), 0.4, -0.3, NOW_NS)
    counted = counters.snapshot()
    assert counted["fees_ppb.btc"] == 1_100_000
    assert counted["slippage_ppb.btc"] == 40_000
    assert counted["funding_ppb.btc"] == -30_000
    assert counted["edge_min_ppb.btc"] == 200_000
    assert counted["threshold_ppb.btc"] == 1_000_000
    assert counted["level_mono_ns.btc"] == NOW_NS
