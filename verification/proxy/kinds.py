"""What can go wrong between the bot and a venue: each kind on each road where it can happen."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """What becomes of one request, answer or frame."""

    DROP = "never delivered"
    DELAY = "delivered late"
    DUPLICATE = "delivered twice"
    RESET_BEFORE = "connection reset before it"
    RESET_AMID = "connection reset amid its bytes"
    RESET_AFTER = "delivered, then the connection reset"
    HALF_OPEN = "from here on nothing passes, and nobody says so"
    GARBLE = "delivered with bytes changed"
    TRUNCATE = "delivered cut in half"
    DRIP = "delivered byte by byte"
    REORDER = "delivered after what follows it"
    ANSWER_LOST = "carried out, no answer"
    ANSWER_LATE = "carried out, answered late"
    ANSWER_CUT = "carried out, the answer cut in half"
    ANSWER_GARBLED = "carried out, the answer's bytes changed"
    ANSWER_DRIPS = "carried out, the answer byte by byte"
    ANSWER_STALE = "carried out, an earlier answer comes"
    EDGE_PAGE = "an edge's page in its place"
    EDGE_PAGE_AFTER = "carried out, an edge's page answers"
    STATUS_500_AFTER = "carried out, HTTP 500 answers"
    STATUS_429_AFTER = "carried out, HTTP 429 without a body answers"


class Road(Enum):
    """Which messages of a connection are meant."""

    CREATE = "create"  # an order, over HTTP or as a frame
    READ = "read"  # a question over HTTP
    ANSWER = "answer"  # a socket's answer to a create
    EVENT = "event"  # what the private stream says of orders


class Fault(NamedTuple):
    venue: str
    road: Road
    kind: Kind

    def __str__(self) -> str:
        return f"{self.venue} {self.road.value}: {self.kind.value}"


_HTTP: Final = (
    *(Kind.DROP, Kind.DELAY, Kind.RESET_BEFORE, Kind.RESET_AMID, Kind.RESET_AFTER, Kind.HALF_OPEN, Kind.DRIP),
    *(Kind.ANSWER_LOST, Kind.ANSWER_LATE, Kind.ANSWER_CUT, Kind.ANSWER_GARBLED, Kind.ANSWER_DRIPS),
    *(Kind.ANSWER_STALE, Kind.EDGE_PAGE, Kind.EDGE_PAGE_AFTER, Kind.STATUS_500_AFTER, Kind.STATUS_429_AFTER),
)
_FRAME: Final = (
    *(Kind.DROP, Kind.DELAY, Kind.DUPLICATE, Kind.RESET_BEFORE, Kind.RESET_AMID, Kind.RESET_AFTER),
    *(Kind.HALF_OPEN, Kind.GARBLE, Kind.TRUNCATE, Kind.DRIP),
)
_FRAMES_DOWN: Final = (*_FRAME, Kind.REORDER)
# Both take orders, one over HTTP and one over its private socket; reads and events are the same.
FAULTS: Final = (
    *(Fault("vest", Road.CREATE, kind) for kind in (*_HTTP, Kind.DUPLICATE)),
    *(Fault("vest", Road.READ, kind) for kind in _HTTP),
    *(Fault("vest", Road.EVENT, kind) for kind in _FRAMES_DOWN),
    *(Fault("paradex", Road.CREATE, kind) for kind in _FRAME),
    *(Fault("paradex", Road.ANSWER, kind) for kind in _FRAMES_DOWN),
    *(Fault("paradex", Road.EVENT, kind) for kind in _FRAMES_DOWN),
    *(
        Fault("paradex", Road.READ, kind)
        for kind in _HTTP
        if kind
        not in (
            Kind.DRIP,
            Kind.ANSWER_DRIPS,
            Kind.DELAY,
            Kind.RESET_BEFORE,
            Kind.HALF_OPEN,
            Kind.RESET_AFTER,
            Kind.STATUS_500_AFTER,
        )
    ),
)
assert len(FAULTS) == len(set(FAULTS)) == 88
