"""Checks that two legs are one asset in one unit: a hedge depends on it.

The venues name the asset of a contract. Where their names differ from the configuration's, only the
operator can confirm that they mean the same (``leg_bases``). Where a name says that one contract is of a
thousand (1000PEPE, kPEPE) and the other's does not, the sizes would differ by that factor: refused always.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from settings import PairSettings, Problem
from venues.contract import Instrument

_DIGITS: Final = re.compile(r"(10{2,9})([A-Za-z][A-Za-z0-9]*)")
_LETTERS: Final = re.compile(r"(k|1K|1M)([A-Z][A-Z0-9]*)")
_MEANS: Final = {"k": 1_000, "1K": 1_000, "1M": 1_000_000}


class Unit(NamedTuple):
    """What one unit of a contract's size is, by the name its venue has for it."""

    asset: str
    amount: int


def unit_of(base: str) -> Unit:
    """1000PEPE and kPEPE are a thousand PEPE each, BTC is one BTC."""
    if found := _DIGITS.fullmatch(base):
        return Unit(found[2], int(found[1]))
    if found := _LETTERS.fullmatch(base):
        return Unit(found[2], _MEANS[found[1]])
    return Unit(base, 1)


def asset_problems(number: int, pair: PairSettings, first: Instrument, second: Instrument) -> list[Problem]:
    """Why these two are not one asset in one unit; empty when they are."""
    names = f"{first.venue} {first.symbol} is {first.base}, {second.venue} {second.symbol} is {second.base}"
    units = unit_of(first.base), unit_of(second.base)
    if units[0].amount != units[1].amount:
        return [
            Problem(
                f"pairs[{number}].legs",
                names,
                f"one contract is of {units[0].amount:,} and the other of {units[1].amount:,}: the same size "
                "on both would be no hedge, and sizes that differ are not supported; take another pair",
            )
        ]
    if pair.leg_bases is not None:
        if pair.leg_bases == (first.base, second.base):
            return []
        bases = ", ".join(pair.leg_bases)
        return [
            Problem(
                f"pairs[{number}].leg_bases",
                f"[{bases}]",
                f"must be what the venues say, in the order of the legs: {names}",
            )
        ]
    if first.base != second.base:
        return [
            Problem(
                f"pairs[{number}].legs",
                names,
                "these are not the same asset by their names; correct the legs or, if you know that both "
                f"are the same in the same unit, say so with leg_bases: [{first.base}, {second.base}]",
            )
        ]
    if first.base != pair.base:
        return [
            Problem(
                f"pairs[{number}].base",
                pair.base,
                f"is not what the venues say ({names}); correct base or the legs",
            )
        ]
    return []
