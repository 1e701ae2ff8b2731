"""``python -m tools costs``: what fills have cost on each contract and side, and what holding it costs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monitoring.instance import attach_arguments, attached_directory
from shm.layout import Memory
from shm.records import slippage_index
from tools.table import as_json, as_table

configure = attach_arguments


class CostRow(NamedTuple):
    """One side of one contract.

    Positive slippage is worse than the price seen; longs pay positive funding.
    """

    venue: str
    symbol: str
    side: str
    samples: int
    slippage_bps: float
    learned_s_ago: int
    funding_bps_per_hour: float | None  # None until it was read


def run(arguments: argparse.Namespace) -> int:
    rows = cost_rows(attached_directory(arguments), time.time())
    sys.stdout.write(as_json(rows) if arguments.json else as_table(rows, left=3))
    return 0


def cost_rows(directory: Path, now_unix_s: float) -> Sequence[CostRow]:
    """Every contract's sides from which something was learned. SegmentError if nothing runs there."""
    memory = Memory(directory)
    legs = [(item[1], item[2]) for item in json.loads((directory / "launch.json").read_text())["instruments"]]
    slippage, funding = memory.slippage(), memory.funding()
    rows = []
    for number, (venue, symbol) in enumerate(legs):
        rate = funding.read(number)
        for is_sale, side in ((False, "BUY"), (True, "SELL")):
            view = slippage.read(slippage_index(number, is_sale=is_sale))
            if view is not None:
                age_s = max(0, int(now_unix_s) - view.updated_unix_s)
                hourly_bps = rate.hourly_bps if rate else None
                rows.append(CostRow(venue, symbol, side, view.samples, view.mean_bps, age_s, hourly_bps))
    slippage.close()
    funding.close()
    return rows
