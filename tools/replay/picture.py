"""A sweep as a picture: what each value of one setting had earned, and how often it had traded."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise

from matplotlib.figure import Figure

from settings import E8
from tools.replay.simulate import ReplayResult


def draw_sweep(key: str, values: Sequence[float], outcomes: Sequence[ReplayResult]) -> bytes:
    """A PNG. One outcome per value; results include what was still open at its middle price."""
    results = [outcome.equity_change_e8 / E8 for outcome in outcomes]
    figure = Figure(figsize=(9, 6), layout="constrained")
    money, count = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    money.axhline(0, color="0.6", linewidth=0.8)
    money.plot(values, results, marker="o", color="tab:blue")
    best = max(range(len(values)), key=lambda place: results[place])
    money.annotate(
        f"{key} {values[best]:g}: {results[best]:+,.2f}",
        (values[best], results[best]),
        textcoords="offset points",
        xytext=(0, 10),
        ha="center",
    )
    money.margins(y=0.2)
    money.set_ylabel("result, quote currency")
    money.set_title(f"The same market with other values of {key}")
    width = 0.7 * min((right - left for left, right in pairwise(values)), default=1.0)
    count.bar(values, [len(outcome.trades) for outcome in outcomes], width=width, color="tab:gray")
    count.set_ylabel("round trips")
    count.set_xlabel(key)
    data = BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return data.getvalue()
