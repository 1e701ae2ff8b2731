"""Every target in every run: its seeds, what atheris once found, and what hypothesis makes up.

The long runs are ``make fuzz``. An input it found is kept in ``found/<target>/`` once the reader
is mended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verification.fuzz.registry import TARGETS
from verification.fuzz.target import join, split

FOUND: Final = sorted(
    path
    for path in (Path(__file__).parents[2] / "verification" / "fuzz" / "found").rglob("*")
    if path.is_file()
)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read(name: str) -> None:
    """Well-formed inputs, and a harness that survives them."""
    seeds = TARGETS[name].seeds()
    assert len(seeds) > 3
    for seed in seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_once_found_stays_mended(path: Path) -> None:
    """Each of these inputs once raised, or gave a value that downstream could not hold."""
    TARGETS[path.parent.name].run(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=40)
@given(data=st.data())
def test_any_bytes_are_read(name: str, data: st.DataObject) -> None:
    """Bytes of every kind, and seeds with a few of theirs changed."""
    target = TARGETS[name]
    if data.draw(st.booleans()):
        frame = bytearray(data.draw(st.sampled_from(target.seeds())))
        for _ in range(data.draw(st.integers(1, 5))):
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
        target.run(bytes(frame))
    else:
        target.run(data.draw(st.binary(max_size=200)))


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5))
def test_a_conversation_is_taken_apart_as_it_was_joined(parts: list[tuple[int, bytes]]) -> None:
    """A harness that fed something else than it seems to would find nothing."""
    assert split(join(parts)) == parts
