"""What goes into the pair machine and what comes out of it, and nothing else.

The process around the machine turns what it hears into **events**, calls ``machine.step`` and
carries out the **commands**, in order. Commands of one step form one batch: the process writes the
new state into shared memory *before* it carries out the first of them, then writes every ``Send``
of the batch before it waits for anything.

The machine is four names: ``machine.step(rules, state, event) -> (state, commands)`` (or its halves,
``decide``, whose sends may leave at once, and ``conclude``),
``state.new_state(rules, epoch, held=None)`` for a first start, ``state.dump``/``state.load`` for the
journal (then ``Restarted`` comes first), ``machine.due_mono_ns(rules, state)`` for the next ``Tick``. An
presigned order is signed for ``state.next_client_order_id(rules, state, leg)``: a ``Send`` with that id may
take it, any other id means the presigned order is spent.

Every event begins with ``at``: our clock and both legs' prices when the event was taken up. The
machine has no other source of time or price. Leg 0 is the pair's first instrument, leg 1 its
second. Prices are in the leg's own quote currency, results in that of leg 0, sizes in base currency, all
scaled by 10**8 (``_e8``); order sizes are unsigned with a ``Side``, positions signed. ``_mono_ns`` is this
host's monotonic clock.
"""

from __future__ import annotations

from typing import NamedTuple

from events.event import Event as DomainEvent
from executor.pair.order import Purpose
from executor.pair.pricing import NO_MARKET, LegMarket
from shm.records import PairView
from venues.contract import PAR_E8, Fill, OrderStatus, Outcome, Side

# ----------------------------------------------------------------------------------------- events


class At(NamedTuple):
    """When an event was taken up, and what both legs could be traded at then."""

    now_mono_ns: int
    markets: tuple[LegMarket, LegMarket] = (NO_MARKET, NO_MARKET)
    # What one unit of leg 1's quote currency is worth in leg 0's; 0 where that is not known.
    rate_e8: int = PAR_E8


class Enter(NamedTuple):
    """Open one layer: the detector's signal, after the executor's own gates let it pass."""

    at: At
    signal_id: int
    direction: int  # +1 buys leg 0 and sells leg 1; -1 the reverse
    layer: int
    size_e8: int  # on the pair's common lot
    prices_e8: tuple[int, int]  # the touch the detector saw on each leg
    spread_bps: float  # entry spread that triggered


class Exit(NamedTuple):
    """Close both legs of whatever the pair holds."""

    at: At
    signal_id: int  # 0 when not the detector asked
    reason: str  # "signal", "max_hold", "operator"


class Acked(NamedTuple):
    """The answer to a ``Send``.

    IN_DOUBT as soon as the transport knows that no usable answer will come (connection lost,
    5xx, unreadable body). Silence needs no event: the machine keeps its own reply timeout.
    """

    at: At
    client_order_id: int
    outcome: Outcome
    venue_order_id: str = ""
    code: str = ""
    text: str = ""
    retry_after_ms: int | None = None
    is_of_grid: bool = False  # refused for the steps or bounds of its price or size, as far as is known


class OrderReport(NamedTuple):
    """What the venue says an order has become: private stream, or inside a ``QueryAnswered``.

    The id is the order's that the venue names; whether what it says of it fits is the machine's to see.
    """

    at: At
    client_order_id: int
    status: OrderStatus
    filled_e8: int | None  # cumulative; None when the venue does not say
    average_price_e8: int | None = None
    fee_e8: int | None = None  # cumulative, positive = paid
    reason: str = ""
    venue_order_id: str = ""
    instrument_id: int = -1  # -1, None: the venue does not say
    side: Side | None = None
    size_e8: int | None = None
    is_of_grid: bool = False  # rejected for the steps or bounds of its price or size, as far as it says


class FillReport(NamedTuple):
    """One execution from the private stream. May come twice, late, or before the ack."""

    at: At
    leg: int
    client_order_id: int  # 0 when the venue does not say: not taken for ours, positions are read
    fill_id: str
    price_e8: int
    size_e8: int
    fee_e8: int


class FillsRead(NamedTuple):
    """The executions of one order as the venue lists them: asked for where they were not all received."""

    at: At
    client_order_id: int
    fills: tuple[Fill, ...]


class QueryAnswered(NamedTuple):
    """The answer to a ``Query``. A query that failed is no answer: the machine asks again itself."""

    at: At
    client_order_id: int
    asked_mono_ns: int  # when the request left
    reported: OrderReport | None  # None: the venue does not know the order *now*
    is_by_venue_id: bool = False  # it was asked for by the id that the venue is believed to have given it


class CancelConfirmed(NamedTuple):
    """A venue took a ``Cancel``: the order is about to end, or has. How is reported, or asked for.

    A cancel that is refused is no event. "No such order" is no denial here: by our id a venue may
    know open orders alone, and one that has filled is not open.
    """

    at: At
    client_order_id: int


class PositionRead(NamedTuple):
    """One leg's position as the venue answered a ``ReadPositions``. A flat leg is reported as 0.

    Positions pushed by a private stream do not belong here: nothing says how old they are.
    """

    at: At
    leg: int
    size_e8: int  # signed
    asked_mono_ns: int  # when the request left: reads asked before the last change count nothing


class GridRead(NamedTuple):
    """The venue has published what the leg's prices and sizes must be, and the rules go by it."""

    at: At
    leg: int
    asked_mono_ns: int  # when the request left


class SendFailed(NamedTuple):
    """A ``Send`` certainly did not leave: refused by a gate, off the grid, or no byte written."""

    at: At
    client_order_id: int
    reason: str


class Tick(NamedTuple):
    """Time passes. Due at ``machine.due_mono_ns(state)`` at the latest; more often does no harm."""

    at: At


class Restarted(NamedTuple):
    """The first event after ``load``: whatever was under way when the last process ended is in doubt.

    epoch: number of this executor process, larger than that of every one before, below 2**29.
    """

    at: At
    epoch: int


class StreamLost(NamedTuple):
    """The private stream of a leg's venue is down: nothing will be reported, nothing is opened."""

    at: At
    leg: int


class StreamBack(NamedTuple):
    """The private stream stands again; what was missed meanwhile is asked for."""

    at: At
    leg: int


class FlattenRequested(NamedTuple):
    """Close everything, in any phase, and open nothing until ``OperatorResumed``."""

    at: At
    reason: str


class EntriesStopped(NamedTuple):
    """Open nothing from now on (shutdown, pause, breaker, kill latch). Exits and repairs go on."""

    at: At
    reason: str


class EntriesAllowed(NamedTuple):
    """Takes back ``EntriesStopped``."""

    at: At


class OperatorResumed(NamedTuple):
    """The operator looked at a HALTED pair and lets it go on.

    adopt: take what the venues hold for ours, where the halt was an unexplained position.
    """

    at: At
    adopt: bool = False


Event = (
    Enter
    | Exit
    | Acked
    | OrderReport
    | FillReport
    | FillsRead
    | QueryAnswered
    | CancelConfirmed
    | PositionRead
    | GridRead
    | SendFailed
    | Tick
    | Restarted
    | StreamLost
    | StreamBack
    | FlattenRequested
    | EntriesStopped
    | EntriesAllowed
    | OperatorResumed
)

# --------------------------------------------------------------------------------------- commands


class Send(NamedTuple):
    """Write this order now. Sends of one batch leave together."""

    client_order_id: int  # never used before and never again
    leg: int
    side: Side
    size_e8: int
    limit_price_e8: int  # the worst price allowed: a presigned order may be tighter, never wider
    reduce_only: bool
    purpose: Purpose
    attempt: int  # 0 for the first try, then the number of the retry


class Cancel(NamedTuple):
    """Ask the venue to cancel an order that is in doubt or should have ended; answer ``CancelConfirmed``."""

    client_order_id: int
    leg: int
    venue_order_id: str  # "" when the venue has not reported it


class Query(NamedTuple):
    """Ask the venue what became of an order."""

    client_order_id: int
    leg: int
    venue_order_id: str


class ReadPositions(NamedTuple):
    """Ask both venues for the pair's positions; answer with one ``PositionRead`` per leg."""


class ReadGrid(NamedTuple):
    """Ask the leg's venue for its contract's grid; answer with ``GridRead``, the rules renewed before it."""

    leg: int


class Publish(NamedTuple):
    """The pair changed as others see it. The process adds its own gates to ``entries_allowed``."""

    view: PairView


# An event of ``events`` says what has happened; everybody who keeps or counts something hears it.
Command = Send | Cancel | Query | ReadPositions | ReadGrid | Publish | DomainEvent


class Prediction(NamedTuple):
    """What a signal of one kind would send from one state; its limit prices are those of then."""

    state: object  # the machine's, compared by identity: every change makes another one
    sends: tuple[Send, ...]  # none: the signal goes the long way
    layer: int  # of an entry
    size_e8: int


class PendingSignal(NamedTuple):
    """A signal and the orders that leave for it before its step is taken."""

    event: Enter | Exit
    sends: tuple[Send, ...]
