"""The client order id: which epoch, pair and leg an order belongs to, in 53 bits.

    epoch (29 bits) | pair (6 bits) | sequence (17 bits) | leg (1 bit)

53 bits, because JSON readers keep larger integers as floats. The epoch grows with every executor start,
so an id is never used twice. The lowest bit is the leg, so an order on one leg does not spend what is
presigned for the other.
"""

from __future__ import annotations

from typing import Final

SEQUENCE_BITS: Final = 18  # the leg's bit included
PAIR_BITS: Final = 6
EPOCH_BITS: Final = 29
SEQUENCES_KEPT: Final = 1 << 12  # ids no entry may use: a trade that was opened must always be closable
SEQUENCES_OF_LEG: Final = 1 << SEQUENCE_BITS - 1


def compose(epoch: int, pair_id: int, sequence: int, leg: int) -> int:
    """The id of a leg's n-th order in an epoch."""
    assert leg in (0, 1), "a pair has two legs"
    assert 0 <= sequence < SEQUENCES_OF_LEG, "the sequence of this epoch is used up"
    return (epoch << PAIR_BITS | pair_id) << SEQUENCE_BITS | sequence << 1 | leg


def leg_of(client_order_id: int) -> int:
    return client_order_id & 1


def pair_id_of(client_order_id: int) -> int:
    return client_order_id >> SEQUENCE_BITS & (1 << PAIR_BITS) - 1


def epoch_of(client_order_id: int) -> int:
    return client_order_id >> SEQUENCE_BITS + PAIR_BITS


def check_epoch(epoch: int) -> None:
    """AssertionError unless the epoch fits its bits."""
    assert 0 < epoch < 1 << EPOCH_BITS, f"epoch {epoch} does not fit a client order id"


def check_pair_id(pair_id: int) -> None:
    """AssertionError unless the pair's number fits its bits."""
    assert 0 <= pair_id < 1 << PAIR_BITS, f"pair {pair_id} does not fit a client order id"
