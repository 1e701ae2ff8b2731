"""Scaling in: triggers, sizes, lots and the venues' limits."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.layers import Layer, SizeError, cut_layers, layer_sizes_e8, trigger_spreads_bps
from tests.detector.builders import an_instrument, e8
from venues.contract import common_lot_e8


def test_triggers_are_evenly_spaced_and_hold_both_ends() -> None:
    """The first layer opens at entry_bps, the last at entry_max_bps."""
    assert trigger_spreads_bps(10, 30, 5) == (10, 15, 20, 25, 30)
    assert trigger_spreads_bps(10, 30, 2) == (10, 30)
    assert trigger_spreads_bps(10, 30, 1) == (10,)


def test_sizes_grow_as_squares() -> None:
    """1:4:9:16:25 of the whole."""
    assert layer_sizes_e8(55, 5, 1) == (1, 4, 9, 16, 25)
    assert layer_sizes_e8(14, 3, 1) == (1, 4, 9)
    assert layer_sizes_e8(100, 1, 1) == (100,)


def test_what_rounding_takes_goes_to_the_wider_layers() -> None:
    """10 lots in three: 0.71, 2.86 and 6.43 become 0, 3 and 7."""
    assert layer_sizes_e8(10, 3, 1) == (0, 3, 7)


@given(total=st.integers(1, 10**13), count=st.integers(1, 5), lot=st.integers(1, 10**9))
def test_layers_lie_on_the_lot_and_add_up_to_the_rounded_total(total: int, count: int, lot: int) -> None:
    """Rounding each size for itself would lose or invent lots."""
    sizes = layer_sizes_e8(total, count, lot)

    assert all(size % lot == 0 and size >= 0 for size in sizes)
    assert sum(sizes) == total // lot * lot


def test_the_common_lot_is_on_both_grids() -> None:
    """Lots of 0.002 and 0.003 meet at 0.006: a size on one grid alone would leave a leg naked."""
    first, second = an_instrument(lot_e8=e8(0.002)), an_instrument(lot_e8=e8(0.003))
    assert common_lot_e8(first, second) == e8(0.006)


def cut(**changes: Any) -> tuple[Layer, ...]:
    """14 BTC in three layers from 10 to 20 bps, on lots of 1 BTC."""
    second = an_instrument(1, "paradex", **{"lot_e8": e8(1), **changes})
    return cut_layers("btc", an_instrument(), second, size_e8=e8(14), count=3, entry_bps=10, entry_max_bps=20)


def test_layers_pair_a_trigger_with_a_size() -> None:
    """The widest gap gets the largest part."""
    assert cut() == (Layer(10, e8(1)), Layer(15, e8(4)), Layer(20, e8(9)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"min_size_e8": e8(1.5)},
            "pair btc: layer 1 of 3 is 1.00000000 BTC, below the minimum 1.50000000 of paradex",
        ),
        (
            {"max_size_e8": e8(8)},
            "pair btc: layer 3 of 3 is 9.00000000 BTC, above the maximum 8.00000000 of paradex",
        ),
        ({"lot_e8": e8(100)}, "pair btc: layer 1 of 3 is 0.00000000 BTC, below the minimum"),
    ],
)
def test_a_layer_outside_a_venues_limits_is_refused_with_the_remedy(
    changes: dict[str, Any], text: str
) -> None:
    """Better at the start than as a rejected order in the middle of a trade."""
    with pytest.raises(SizeError, match=re.escape(text) + ".*size_base"):
        cut(**changes)


def test_limits_themselves_are_allowed() -> None:
    """A venue's minimum is the smallest size it takes."""
    assert cut(min_size_e8=e8(1), max_size_e8=e8(9))
