"""Slippage learned per contract and side: it forgets slowly, believes no single figure, survives restarts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.metrics.slippage_model import SlippageModel
from shm.layout import Memory, MemoryPlan
from shm.records import slippage_index
from tests.detector.builders import an_instrument
from tools.replay.virtual_time import RecordedClock
from venues.contract import Side

VEST, PARADEX = an_instrument(0, "vest"), an_instrument(1, "paradex")
NOW_S = 1_800_000_000


@pytest.fixture
def memory() -> Iterator[Memory]:
    directory = Path(tempfile.mkdtemp(prefix="learned-", dir="/dev/shm"))
    Memory.create(directory / "instance", MemoryPlan((), 2, 1, 16, 4096, 4096, ()), {})
    yield Memory(directory / "instance")
    shutil.rmtree(directory)


def a_learner(memory: Memory, path: Path) -> SlippageModel:
    return SlippageModel(
        memory.slippage(writer=True),
        (VEST, PARADEX),
        path,
        RecordedClock(0, NOW_S * 1_000_000_000 + 500_000_000),
    )


def test_the_first_samples_weigh_evenly_and_later_ones_a_twentieth(memory: Memory, tmp_path: Path) -> None:
    learned = a_learner(memory, tmp_path / "learned.json")
    for bps in (1.0, 2.0, 6.0):
        view = learned.observe(VEST, Side.BUY, bps)
    assert (view.samples, view.updated_unix_s) == (3, NOW_S)
    assert view.mean_bps == pytest.approx(3.0)
    for _ in range(17):
        learned.observe(VEST, Side.BUY, 3.0)
    assert learned.observe(VEST, Side.BUY, 7.0).mean_bps == pytest.approx(3.2)
    learned.close()


@pytest.mark.parametrize(("sample_bps", "mean_bps"), [(10_000.0, 1.0), (-10_000.0, -1.0)])
def test_one_bad_minute_does_not_speak_for_a_day(
    memory: Memory, tmp_path: Path, sample_bps: float, mean_bps: float
) -> None:
    """Whatever happened, it counts as 20 bps."""
    learned = a_learner(memory, tmp_path / "learned.json")
    for _ in range(19):
        learned.observe(VEST, Side.BUY, 0.0)
    assert learned.observe(VEST, Side.BUY, sample_bps).mean_bps == pytest.approx(mean_bps)
    learned.close()


def test_contracts_and_sides_learn_apart_and_are_seen_by_others(memory: Memory, tmp_path: Path) -> None:
    learned, detector = a_learner(memory, tmp_path / "learned.json"), memory.slippage()
    learned.observe(VEST, Side.SELL, 4.0)
    learned.observe(PARADEX, Side.BUY, 1.0)
    seen = [detector.read(index) for index in range(4)]
    assert [None if view is None else view.mean_bps for view in seen] == [None, 4.0, 1.0, None]
    assert slippage_index(0, is_sale=True) == 1
    learned.close()
    detector.close()


def test_a_later_life_begins_with_what_was_learned(memory: Memory, tmp_path: Path) -> None:
    """In another instance's memory too: the file is what is kept."""
    learned = a_learner(memory, tmp_path / "var" / "learned.json")
    reported = learned.observe(PARADEX, Side.SELL, 2.5)
    learned.save()
    learned.close()

    later = a_learner(memory, tmp_path / "var" / "learned.json")
    later.load()
    assert later.observe(PARADEX, Side.SELL, 2.5) == reported._replace(samples=2)
    later.close()


FIGURES = (
    "[1, 2]",
    "3",
    "[null, 1, 1]",
    "[1, Infinity, 1]",
    "[1, NaN, 1]",
    "[1e999, 1, 1]",
    "[1, 1e9, 1]",
    "[-5, 0, 1]",
)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "\0" * 9, *('{"vest:BTC-PERP:BUY": ' + figures + "}" for figures in FIGURES)]
)
def test_a_file_that_is_not_ours_is_told_apart(memory: Memory, tmp_path: Path, content: str) -> None:
    """The executor says so and begins anew: it must not fail to look after positions for this."""
    (tmp_path / "learned.json").write_text(content)
    learned = a_learner(memory, tmp_path / "learned.json")
    with pytest.raises(ValueError):
        learned.load()
    learned.close()
