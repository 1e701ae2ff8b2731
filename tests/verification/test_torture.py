"""A sample of the long run (``make torture``): a few seconds of what it does for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import native
from verification.torture import a_library, broken_promises, torture_queue, torture_ring, torture_slot


def test_slot_and_ring_keep_their_promises_under_load(directory: Path) -> None:
    figures = {"slot": torture_slot(directory, 30_000), "ring": torture_ring(directory, 100_000)}

    assert broken_promises(figures) == []
    assert figures["slot"]["accepted"] > 0
    assert figures["ring"]["missed"] > 0


@pytest.mark.parametrize("which", ["C to Python", "Python to C", "C to C"])
def test_slot_and_ring_keep_them_across_the_languages(directory: Path, which: str) -> None:
    writer, _, reader = which.partition(" to ")
    with a_library() as library:
        if library is None:
            pytest.skip(native.no_compiler())
        ends = {
            "writer_in_c": library if writer == "C" else None,
            "reader_in_c": library if reader == "C" else None,
        }
        figures = {
            "slot": torture_slot(directory, 30_000, **ends),
            "ring": torture_ring(directory, 100_000, **ends),
        }

    assert broken_promises(figures) == []
    assert figures["slot"]["accepted"] > 0
    assert figures["ring"]["seen"] + figures["ring"]["missed"] == 100_000


def test_a_queue_whose_ends_are_killed_again_and_again_loses_nothing(directory: Path) -> None:
    figures = torture_queue(directory, 30_000, kills=6)

    assert broken_promises({"queue": figures}) == []
    assert figures["received"] >= 30_000 - 3
    assert figures["refused"] > 0, "the ring was full at times; otherwise refusals were not tested"
