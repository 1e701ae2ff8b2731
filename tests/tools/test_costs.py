"""``tools costs``: what was learned is shown by contract and side, funding beside it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.bootstrap import write_launch
from shm.layout import Memory, MemoryPlan
from shm.records import FundingView, SlippageView, slippage_index
from tests.detector.builders import an_instrument
from tools.__main__ import main
from tools.costs import CostRow, cost_rows


@pytest.fixture
def directory() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="test-costs-", dir="/dev/shm"))
    Memory.create(parent / "instance", MemoryPlan((), 2, 1, 16, 4096, 4096, ()), {})
    legs = an_instrument(0, "vest"), an_instrument(1, "paradex", symbol="BTC-USD-PERP")
    write_launch(parent / "instance", {}, "run", legs)
    yield parent / "instance"
    shutil.rmtree(parent)


def test_sides_that_taught_something_are_shown(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A side nobody has traded has no row; a rate nobody has read is none."""
    memory = Memory(directory)
    slippage, funding = memory.slippage(writer=True), memory.funding(writer=True)
    slippage.write(slippage_index(0, is_sale=True), SlippageView(12, 0.75, 1_000))
    slippage.write(slippage_index(1, is_sale=False), SlippageView(3, -0.5, 1_090))
    funding.write(0, FundingView(0.125, 5))
    slippage.close()
    funding.close()

    assert cost_rows(directory, 1_100.5) == [
        CostRow("vest", "BTC-PERP", "SELL", 12, 0.75, 100, 0.125),
        CostRow("paradex", "BTC-USD-PERP", "BUY", 3, -0.5, 10, None),
    ]
    assert main(["costs", "--memory", str(directory), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["slippage_bps"] == 0.75
