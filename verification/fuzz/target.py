"""Declares a fuzz target, and how one input carries a whole conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

_HEAD = 3  # flags, then the length in two bytes


class Part(NamedTuple):
    """One step of a conversation: a frame, an answer, a chunk. What ``flags`` mean is the target's."""

    flags: int
    content: bytes


class Target(NamedTuple):
    """Something that reads foreign bytes.

    ``run`` takes any input and returns; whatever it raises is a finding: the documented errors are
    caught inside it. ``seeds`` makes inputs worth mutating.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


def join(parts: Sequence[tuple[int, bytes]]) -> bytes:
    """The input that ``split`` takes apart again."""
    return b"".join(bytes([flags]) + len(part).to_bytes(2, "little") + part for flags, part in parts)


def split(data: bytes) -> list[Part]:
    """The parts of any input; a length that says more than there is means the rest."""
    parts = []
    while len(data) >= _HEAD:
        length = int.from_bytes(data[1:_HEAD], "little")
        parts.append(Part(data[0], data[_HEAD : _HEAD + length]))
        data = data[_HEAD + length :]
    return parts
