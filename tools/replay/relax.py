"""The one setting that would just have let a refused evaluation pass its gate."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from typing import Final

from settings import PairSettings
from shm.entry_block import EntryBlock
from tools.replay.watching import Miss
from venues.contract import E8

_TIMES: Final = frozenset({EntryBlock.QUOTE_AGE, EntryBlock.LEG_SKEW, EntryBlock.COOL_DOWN})


def relaxed(miss: Miss, pair: PairSettings) -> tuple[str, object]:
    """Key and value for ``overrides.changed``: everything else as it was, this gate passes at its limit."""
    key = f"{miss.pair}.{miss.setting}"
    if miss.gate in _TIMES:
        return key, miss.value / 1e6  # ns as ms
    if miss.gate is EntryBlock.CONFIRMATION:
        return key, int(miss.value)
    if miss.gate is EntryBlock.SIZE:
        # What was there for what was needed; rounded down to the lot where sizes are cut.
        size = Decimal(pair.size_base_e8) * int(miss.value) / int(miss.limit) / E8
        return key, str(size.quantize(Decimal(1).scaleb(-8), ROUND_FLOOR))
    return key, miss.value


def configured(miss: Miss, pair: PairSettings) -> str:
    """The setting as it is."""
    if miss.setting == "size_base":
        return f"{pair.size_base_e8 / E8:g}"
    return f"{getattr(pair.strategy, miss.setting):g}"
