"""Reads the venue's messages strictly: typed JSON, decimals in e8, bounded times.

Everything here raises PayloadError and nothing else; the protocol objects turn it into FrameError
with the frame it came from, the REST conversations into TransportError.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from venues.contract import parse_e8

# Bounds that keep a time in nanoseconds, and a sequence, inside the 64 bits of a shared record.
UNIX_US_BOUND: Final = 9 * 10**15
UnixMs = Annotated[int, msgspec.Meta(ge=0, lt=UNIX_US_BOUND // 1_000)]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

T = TypeVar("T")


class PayloadError(ValueError):
    """A message does not hold what is documented."""


def read_json(decoder: msgspec.json.Decoder[T], content: bytes | msgspec.Raw) -> T:
    """Return JSON as the decoder's type. Raises PayloadError if it is not that."""
    try:
        return decoder.decode(content)
    # What msgspec raises on foreign bytes; RecursionError where brackets nest without end.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"not as documented: {error}") from None


def exact_e8(text: str) -> int:
    """Return a price or size of an order or a level, where a digit too many is an error."""
    try:
        return parse_e8(text)
    except ValueError as error:
        raise PayloadError(str(error)) from None


def reported_e8(text: str | None) -> int:
    """Return an average, fee or balance: digits past the eighth are cut, absent is 0.

    The venue settles at eight decimals but computes averages and results with more.
    """
    whole, dot, fraction = (text or "0").partition(".")
    if len(fraction) > 8 and fraction.isascii() and fraction.isdigit():
        fraction = fraction[:8]
    return exact_e8(whole + dot + fraction)
