"""The channels whose usual frames a compiled reader may take (``<venue>/_frame.c``), and their state.

Both twins keep it in the same words, so that either may take the next frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

WORDS_PER_CHANNEL: Final = 2  # newest, is_plain: as ChannelState in _reading.h


class ChannelState:
    """One channel's two words."""

    __slots__ = ("_place", "_words")

    def __init__(self, words: memoryview[int], place: int) -> None:
        self._words = words
        self._place = WORDS_PER_CHANNEL * place

    @property
    def newest(self) -> int:
        """What the venue orders the channel's frames by, of the last one: a sequence, or a time."""
        return self._words[self._place]

    @newest.setter
    def newest(self, value: int) -> None:
        self._words[self._place] = value

    @property
    def is_plain(self) -> bool:
        """Whether the next frame may be taken without a look at more: the last one was as usual, and
        nothing is being mended."""
        return bool(self._words[self._place + 1])

    @is_plain.setter
    def is_plain(self, value: bool) -> None:
        self._words[self._place + 1] = value


class UsualFrames:
    """``channels``: instrument id and name, the name as the channel's frames have it. None of them: every
    frame is Python's."""

    def __init__(self, channels: Iterable[tuple[int, bytes]]) -> None:
        self.channels = tuple(channels)
        self.words = memoryview(bytearray(8 * WORDS_PER_CHANNEL * max(1, len(self.channels)))).cast("q")

    def state(self, place: int) -> ChannelState:
        """Of the channel at this place of ``channels``."""
        return ChannelState(self.words, place)
