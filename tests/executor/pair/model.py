"""A model of everything around one pair machine: two venues, the wires, the process, its crashes.

A ``World`` is an immutable value and a ``Move`` is one thing that may happen next, so a test can walk
it at random and the exploration can visit every interleaving. The venues fill wholly, in part or
not at all; messages wait in ``mail`` and come in any order, twice, late or never; the process dies
between writing its journal and its first byte, or after it. The venues' own positions are the
truth that every promise of the machine is checked against.

The clock moves with ticks alone. What is asked in the same instant as something changed is taken by
the machine for older than the change, so nothing it may believe is made up by the frozen clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from executor.pair.machine import conclude, decide, due_mono_ns
from executor.pair.messages import (
    Acked,
    At,
    Cancel,
    CancelConfirmed,
    Command,
    Enter,
    Event,
    Exit,
    FillReport,
    GridRead,
    OrderReport,
    PositionRead,
    Query,
    QueryAnswered,
    ReadGrid,
    ReadPositions,
    Restarted,
    Send,
    SendFailed,
    StreamBack,
    StreamLost,
    Tick,
)
from executor.pair.order import ENDED, Purpose
from executor.pair.pricing import LegMarket
from executor.pair.rules import PairRules
from executor.pair.state import Halt, PairState, Plan, dump, load, new_state, next_client_order_id
from executor.pair.transition import open_refusals
from shm.records import PairPhase
from venues.contract import E8, Instrument, OrderStatus, Outcome

MS = 1_000_000
LOT_E8 = E8 // 1000
SIZE_E8 = 2 * LOT_E8
PRICES_E8 = (100 * E8, 101 * E8)
MARKETS = (
    LegMarket(True, bid_e8=PRICES_E8[0] - E8 // 10, ask_e8=PRICES_E8[0]),
    LegMarket(True, bid_e8=PRICES_E8[1], ask_e8=PRICES_E8[1] + E8 // 10),
)
FEE_PER_LOT_E8 = 1_000


def an_instrument(leg: int, **changes: Any) -> Instrument:
    """BTC on a venue with a lot of 0.001 and a tick of 0.1."""
    instrument = Instrument(
        instrument_id=leg,
        venue=("vest", "paradex")[leg],
        symbol=("BTC-PERP", "BTC-USD-PERP")[leg],
        base="BTC",
        tick_e8=E8 // 10,
        lot_e8=LOT_E8,
        min_size_e8=LOT_E8,
        min_notional_e8=0,
        max_size_e8=0,
        price_decimals=1,
        size_decimals=3,
        taker_fee_bps=1.0,
        is_trading=True,
    )
    return instrument._replace(**changes)


def some_rules(**changes: Any) -> PairRules:
    """Short schedules, so that everything that can happen happens within few moves."""
    rules = PairRules(
        pair_id=3,
        pair="btc",
        instruments=(an_instrument(0), an_instrument(1)),
        common_lot_e8=LOT_E8,
        layers_max=1,
        price_band_bps=5,
        widen_bps=5,
        price_band_bps_max=50,
        max_retries=1,
        retry_delay_ns=100 * MS,
        reply_timeout_ns=800 * MS,
        query_interval_ns=250 * MS,
        max_naked_ns=1_500 * MS,
        on_single_leg="auto",
        taker_fees_bps=(1.0, 1.0),
        later_exit_bps=3.0,
        reconcile_interval_ns=10_000 * MS,
        appear_ns=1_000 * MS,
        unknown_answers_min=2,
        max_doubt_ns=4_000 * MS,
        max_unmended_ns=4_000 * MS,
        gone_reads_min=2,
        read_lag_ns=0,
        back_again_ns=5_000 * MS,
    )
    return rules._replace(**changes)


class VenueOrder(NamedTuple):
    """An order as its venue knows it, or, while on the wire, does not know it yet."""

    send: Send
    sent_mono_ns: int
    is_on_wire: bool = True
    status: OrderStatus = OrderStatus.OPEN
    filled_e8: int = 0
    tells_amount: bool = True
    is_known: bool = True  # False: it never reached the venue
    is_resting: bool = False  # open in the venue's book, though it should take at once or not at all
    is_cancel_asked: bool = False
    is_called_refused: bool = False  # by an answer that was meant for another order
    is_crossed_with: int = 0  # the order whose id the answer to its create named


class Budget(NamedTuple):
    """How often each kind of trouble may still happen."""

    partials: int = 0
    empties: int = 0  # an IOC that finds nothing
    refusals: int = 0  # by the answer to its create alone: nothing else is ever told of it
    false_refusals: int = 0  # the same, and yet it executes, or has executed
    lost_on_wire: int = 0  # the order never reaches the venue, and nobody hears
    lost_messages: int = 0
    doubled_messages: int = 0
    uncounted: int = 0  # over, but the venue does not say how much it filled
    unsent: int = 0
    restarts: int = 0
    rests: int = 0  # an order stays open in the venue's book until it fills or is cancelled
    is_stuck: bool = False  # ... and nobody fills it: only its cancel ends it
    disconnects: int = 0  # a private stream breaks: what its venue tells meanwhile is lost
    outsiders: int = 0  # a position is closed by somebody else, wholly or in part
    strangers: int = 0  # somebody else trades on our account; half of the time it is told
    grid_refusals: int = 0  # rejected for its price or size; the venue's grid may be read at last
    crossed: int = 0  # the answer to a create names the venue's id of an earlier order
    too_late: int = 0  # an order comes into being after its validity has ended
    delays: int = 99  # time passes though something is under way
    exits: int = 1
    entries: int = 1
    rash: bool = False  # entries are asked for at any moment, not only of a pair at rest
    chatty: bool = False  # acks and single executions are told besides the order's end


class System(NamedTuple):
    """One pair, its venues and what is between them."""

    rules: PairRules
    state: PairState
    now_mono_ns: int
    positions_e8: tuple[int, int]  # the truth
    orders: tuple[VenueOrder, ...]  # all that were ever sent
    mail: tuple[Event, ...]  # on its way to the machine, in the order of writing
    budget: Budget
    direction: int = 1
    signals: int = 0
    streams: tuple[bool, bool] = (True, True)
    grids: tuple[bool, bool] = (True, True)  # whether the machine has been shown each leg's since it changed
    is_meddled: bool = False  # positions are not what our own orders made, or were made when none could be


# Changes of the phase that any system has made since this was cleared.
phase_steps_taken: set[tuple[PairPhase, PairPhase]] = set()


class Broken(AssertionError):
    """The machine broke a promise."""


def a_system(budget: Budget, rules: PairRules | None = None, direction: int = 1) -> System:
    """A flat pair whose venues have confirmed it: ready to trade."""
    rules = rules or some_rules()
    system = System(rules, new_state(rules, 1), 10_000 * MS, (0, 0), (), (), budget, direction)
    for leg in (0, 1):
        system = feed(system, StreamBack(_NOW, leg))
    system = deliver_all(play(deliver_all(system), Move("tick")))
    assert system.state.view is not None
    assert system.state.view.entries_allowed
    return system


# ------------------------------------------------------------------------------------- what happens


class Move(NamedTuple):
    """One thing that may happen next; ``number`` is that of an order or of a message."""

    kind: str
    number: int = 0
    detail: str = ""


def moves(system: System) -> Iterator[Move]:
    """Everything that may happen next."""
    budget, state = system.budget, system.state
    at_rest = not any(leg.live for leg in state.legs)
    is_open_to_entries = at_rest and state.phase in (PairPhase.FLAT, PairPhase.HEDGED)
    if budget.entries and (budget.rash or is_open_to_entries):
        yield from _with_crashes(system, "enter")
    if budget.exits and at_rest and state.phase in (PairPhase.HEDGED, PairPhase.HALTED):
        yield from _with_crashes(system, "exit")
    for index, order in enumerate(system.orders):
        if order.is_on_wire:
            yield from _fates(system, index)
    for index, event in enumerate(system.mail):
        if event in system.mail[:index]:
            continue  # the same message once more: what it does is visited already
        yield from _with_crashes(system, "deliver", index)
        if budget.doubled_messages:
            yield Move("deliver_and_keep", index)
        if budget.lost_messages:
            yield Move("lose", index)
    if budget.delays or not _is_busy(system):
        yield from _with_crashes(system, "tick")
    if budget.outsiders and any(system.positions_e8):
        leg = 0 if system.positions_e8[0] else 1
        yield Move("close_outside", leg)
        if abs(system.positions_e8[leg]) > LOT_E8:
            yield Move("close_outside", leg, "partly")
    if budget.strangers:
        yield Move("stranger_trades", 1, "told by fill")
        yield Move("stranger_trades", 1, "told by order")
        yield Move("stranger_trades", 1, "in silence")
    for leg in (0, 1):
        if not system.streams[leg]:
            yield Move("stream_back", leg)
        elif budget.disconnects:
            yield Move("stream_lost", leg)


def _with_crashes(system: System, kind: str, index: int = 0) -> Iterator[Move]:
    """The move, and the process dying right after journalling what it decided: before any byte left,
    between the two legs, and after all of them."""
    move = Move(kind, index)
    yield move
    if system.budget.restarts:
        ready, event = _happens(system, move)
        sends = decide(ready.rules, ready.state, _dated(event, At(ready.now_mono_ns, MARKETS))).sends
        for sent in range(len(sends) + 1):
            yield Move(kind, index, f"die with {sent} sent")


def _fates(system: System, index: int) -> Iterator[Move]:
    order, budget = system.orders[index], system.budget
    if order.is_resting:
        if not budget.is_stuck:
            yield Move("fill", index)
        if order.is_cancel_asked:
            yield Move("cancel", index)
        return
    age_ns = system.now_mono_ns - order.sent_mono_ns
    if age_ns > system.rules.appear_ns and not budget.too_late:
        yield Move("expire", index)  # its signature is no longer valid: the venue drops it
        return
    yield Move("fill", index)
    if budget.partials and order.send.size_e8 > LOT_E8:
        yield Move("fill_partly", index)
        if budget.uncounted:
            yield Move("fill_partly", index, "uncounted")
    if budget.empties:
        yield Move("fill_nothing", index)
        if budget.uncounted:
            yield Move("fill_nothing", index, "uncounted")
    if budget.refusals:
        yield Move("refuse", index)
    if budget.grid_refusals:
        yield Move("refuse_grid", index)
    if budget.false_refusals and not order.is_called_refused:
        yield Move("call_refused", index, "before it executes")
        yield Move("call_refused", index, "executed")
        yield Move("call_refused", index, "executed, not listed")  # but in the position
        if budget.partials and order.send.size_e8 > LOT_E8:
            yield Move("call_refused", index, "executed in part")
    if budget.crossed and not order.is_crossed_with:
        for number, other in enumerate(system.orders[:index]):
            if other.send.leg == order.send.leg and not other.is_on_wire and other.is_known:
                yield Move("cross", index, f"with {number}")
    if budget.rests:
        yield Move("rest", index)
    if budget.lost_on_wire:
        yield Move("vanish", index)
    if budget.unsent and order.sent_mono_ns == system.now_mono_ns:
        yield Move("not_sent", index)


def play(system: System, move: Move) -> System:
    """The system after a move. Raises Broken when the machine broke a promise."""
    sends_left = int(move.detail.split()[2]) if move.detail.startswith("die") else None
    match move.kind:
        case "enter" | "exit" | "tick" | "deliver":
            ready, event = _happens(system, move)
            return _feed_and_die(ready, event, sends_left)
        case "deliver_and_keep":
            return feed(_spend(system, "doubled_messages"), system.mail[move.number])
        case "lose":
            return _without_mail(_spend(system, "lost_messages"), move.number)
        case "close_outside":
            held_e8 = system.positions_e8[move.number]
            half_e8 = held_e8 // 2 // LOT_E8 * LOT_E8  # a venue holds whole lots
            left_e8 = half_e8 if move.detail == "partly" else 0
            system = _spend(system, "outsiders")._replace(is_meddled=True)
            return _with_position(system, move.number, left_e8)
        case "stranger_trades":
            system = _spend(system, "strangers")._replace(is_meddled=True)
            return _stranger_trades(system, move.number, move.detail)
        case "stream_lost":
            return feed(_spend(system, "disconnects"), StreamLost(_NOW, move.number))
        case "stream_back":
            return feed(system, StreamBack(_NOW, move.number))
        case _:
            return _decide_order(system, move)


def _happens(system: System, move: Move) -> tuple[System, Event]:
    """The system in which a move's event reaches the machine, and the event."""
    match move.kind:
        case "enter":
            system = _spend(system, "entries")._replace(signals=system.signals + 1)
            layer = _layers(system)
            return system, Enter(_NOW, system.signals, system.direction, layer, SIZE_E8, PRICES_E8, 100.0)
        case "exit":
            system = _spend(system, "exits")._replace(signals=system.signals + 1)
            return system, Exit(_NOW, system.signals, "signal")
        case "tick":
            if _is_busy(system):
                system = _spend(system, "delays")
            due = max(due_mono_ns(system.rules, system.state), system.now_mono_ns + MS)
            return system._replace(now_mono_ns=due), Tick(_NOW)
        case _:
            return _without_mail(system, move.number), system.mail[move.number]


def _decide_order(system: System, move: Move) -> System:
    order = system.orders[move.number]
    send = order.send
    is_late = system.now_mono_ns - order.sent_mono_ns > system.rules.appear_ns
    is_counted = move.detail == "nothing told"  # with the refusal it was called by
    if is_late and move.kind != "expire" and not order.is_resting and not is_counted:
        system = _spend(system, "too_late")._replace(is_meddled=True)
    refused = Acked(_NOW, send.client_order_id, Outcome.REFUSED, code="no")
    if move.kind == "call_refused":
        system = _spend(system, "false_refusals")
        system = _with_order(system, move.number, order._replace(is_called_refused=True))
        system = system._replace(mail=(*system.mail, refused))
        if move.detail == "before it executes":
            return system
        kind = "fill_partly" if move.detail == "executed in part" else "fill"
        system = _decide_order(system, Move(kind, move.number, "nothing told"))
        is_known = move.detail != "executed, not listed"
        return _with_order(system, move.number, system.orders[move.number]._replace(is_known=is_known))
    if move.kind == "cross":
        other = system.orders[int(move.detail.split()[1])].send.client_order_id
        acked = Acked(_NOW, send.client_order_id, Outcome.ACCEPTED, venue_order_id=f"v{other}")
        system = _with_order(_spend(system, "crossed"), move.number, order._replace(is_crossed_with=other))
        return system._replace(mail=(*system.mail, acked))
    if move.kind == "rest":
        system = _spend(system, "rests")
        system = _with_order(system, move.number, order._replace(is_resting=True))
        opened = OrderReport(_NOW, send.client_order_id, OrderStatus.OPEN, 0)
        return system._replace(mail=(*system.mail, opened)) if system.streams[send.leg] else system
    tells = move.detail != "uncounted"
    if not tells:
        system = _spend(system, "uncounted")
    filled_e8, status = 0, OrderStatus.CANCELLED
    facts: tuple[Event, ...] = ()
    match move.kind:
        case "fill":
            filled_e8 = send.size_e8
        case "fill_partly":
            system = _spend(system, "partials")
            filled_e8 = send.size_e8 // 2 // LOT_E8 * LOT_E8
        case "fill_nothing":
            system = _spend(system, "empties")
        case "cancel":
            pass
        case "refuse":
            system = _spend(system, "refusals")
            status = OrderStatus.REJECTED
            facts = (refused,)
        case "refuse_grid":
            system = _spend(system, "grid_refusals")._replace(grids=_with(system.grids, send.leg, False))
            status = OrderStatus.REJECTED
            facts = (OrderReport(_NOW, send.client_order_id, status, 0, is_of_grid=True),)
        case "vanish":
            return _without_order(_spend(system, "lost_on_wire"), move.number)
        case "expire":
            return _without_order(system, move.number)
        case "not_sent":
            system = _spend(_without_order(system, move.number), "unsent")
            return system._replace(mail=(*system.mail, SendFailed(_NOW, send.client_order_id, "cut")))
    held_e8 = system.positions_e8[send.leg]
    if send.reduce_only:  # as the venues do it: cut down to what there is to reduce
        filled_e8 = min(filled_e8, max(0, -held_e8 * send.side))
    if filled_e8 == send.size_e8:
        status = OrderStatus.FILLED
    order = order._replace(
        is_on_wire=False,
        is_resting=False,
        status=status,
        filled_e8=filled_e8,
        tells_amount=tells,
        is_known=status is not OrderStatus.REJECTED,  # what was turned away at the door is no order
    )
    if not facts and system.streams[send.leg] and move.detail != "nothing told":
        facts = _news(order) if system.budget.chatty else (_told(order),)
    system = _with_position(system, send.leg, system.positions_e8[send.leg] + send.side * filled_e8)
    return _with_order(system, move.number, order)._replace(mail=(*system.mail, *facts))


def _stranger_trades(system: System, leg: int, how: str) -> System:
    """Somebody else buys a lot: a second instance, the operator, another bot on the account."""
    system = _with_position(system, leg, system.positions_e8[leg] + LOT_E8)
    theirs = next_client_order_id(system.rules, replace(system.state, epoch=1_000_000), leg)
    if how == "told by fill":
        facts: Event = FillReport(_NOW, leg, 0, "theirs", PRICES_E8[leg], LOT_E8, 0)
    elif how == "told by order":
        facts = OrderReport(_NOW, theirs, OrderStatus.FILLED, LOT_E8, PRICES_E8[leg])
    else:
        return system
    return system._replace(mail=(*system.mail, facts))


def _news(order: VenueOrder) -> tuple[Event, ...]:
    send = order.send
    facts = (
        Acked(_NOW, send.client_order_id, Outcome.ACCEPTED, venue_order_id=f"v{send.client_order_id}"),
        _told(order),
    )
    if not (order.filled_e8 and order.tells_amount):
        return facts
    fill = FillReport(
        _NOW,
        send.leg,
        send.client_order_id,
        f"f{send.client_order_id}",
        send.limit_price_e8,
        order.filled_e8,
        order.filled_e8 // LOT_E8 * FEE_PER_LOT_E8,
    )
    return (*facts, fill)


def _told(order: VenueOrder) -> OrderReport:
    tells = order.tells_amount
    return OrderReport(
        _NOW,
        order.send.client_order_id,
        order.status,
        order.filled_e8 if tells else None,
        order.send.limit_price_e8 if tells and order.filled_e8 else None,
        order.filled_e8 // LOT_E8 * FEE_PER_LOT_E8 if tells else None,
        side=order.send.side,
        size_e8=order.send.size_e8,
    )


# ---------------------------------------------------------------------- the process around the machine


def feed(system: System, event: Event, sends_left: int | None = None) -> System:
    """One step of the machine, its promises checked and its commands carried out.

    sends_left: the process dies after that many sends; None: it lives.
    """
    before = system.state
    event = _dated(event, At(system.now_mono_ns, MARKETS))
    match event:
        case StreamLost() | StreamBack():
            streams = list(system.streams)
            streams[event.leg] = isinstance(event, StreamBack)
            system = system._replace(streams=(streams[0], streams[1]))
        case Restarted():
            system = system._replace(streams=(False, False))
        case GridRead():
            system = system._replace(grids=_with(system.grids, event.leg, True))
    transition = decide(system.rules, before, event)
    journalled = transition.state  # what stands in the journal while the batch is written
    state, commands = conclude(transition)
    _check_step(system, state, commands)
    if state.phase is not before.phase:
        phase_steps_taken.add((before.phase, state.phase))
    assert [command for command in commands if isinstance(command, Send)] == transition.sends
    if sends_left is not None and sends_left < len(transition.sends):
        state = journalled  # it died before it came to the step's second half
    if transition.sends or sends_left is not None:
        assert load(dump(state)) == state  # a successor starts from these bytes
    system = system._replace(state=state)
    left = 99 if sends_left is None else sends_left
    for command in commands:
        match command:
            case Send() if left > 0:
                left -= 1
                system = system._replace(orders=(*system.orders, VenueOrder(command, system.now_mono_ns)))
            case Query() if sends_left is None:
                system = _answer_query(system, command)
            case Cancel() if sends_left is None:
                system = _take_cancel(system, command)
            case ReadGrid() if sends_left is None:
                read = GridRead(_NOW, command.leg, system.now_mono_ns)
                system = system._replace(
                    mail=(*(event for event in system.mail if event[:2] != read[:2]), read)
                )
            case ReadPositions() if sends_left is None:
                system = _answer_positions(system)
    return system


def _feed_and_die(system: System, event: Event, sends_left: int | None) -> System:
    system = feed(system, event, sends_left)
    if sends_left is None:
        return system
    system = _spend(system, "restarts")
    system = system._replace(
        state=load(dump(system.state)), mail=(), now_mono_ns=system.now_mono_ns + 300 * MS
    )
    system = feed(system, Restarted(_NOW, system.state.epoch + 1))
    for leg in (0, 1):
        system = feed(system, StreamBack(_NOW, leg))
    return system


def _take_cancel(system: System, cancel: Cancel) -> System:
    for index, order in enumerate(system.orders):
        if order.send.client_order_id == cancel.client_order_id and order.is_resting:
            system = _with_order(system, index, order._replace(is_cancel_asked=True))
            return system._replace(mail=(*system.mail, CancelConfirmed(_NOW, cancel.client_order_id)))
    return system


def _answer_query(system: System, query: Query) -> System:
    """By the venue's id where the machine has one, which may be another order's."""
    by_id = int(query.venue_order_id[1:]) if query.venue_order_id[1:] else 0
    facts = next(
        (
            _told(order)
            for order in system.orders
            if order.send.client_order_id == (by_id or query.client_order_id)
            and (order.is_resting or not order.is_on_wire)
            and order.is_known
        ),
        None,
    )
    answer = QueryAnswered(_NOW, query.client_order_id, system.now_mono_ns, facts, bool(by_id))
    return system._replace(mail=(*_with_one_older(system.mail, answer), answer))


def _answer_positions(system: System) -> System:
    for leg in (0, 1):
        read = PositionRead(_NOW, leg, system.positions_e8[leg], system.now_mono_ns)
        system = system._replace(mail=(*_with_one_older(system.mail, read), read))
    return system


def _with_one_older(mail: tuple[Event, ...], answer: QueryAnswered | PositionRead) -> tuple[Event, ...]:
    """The mail with at most one older answer to the same question: enough to be misled by."""
    same = [event for event in mail if isinstance(event, type(answer)) and event[1] == answer[1]]
    return tuple(event for event in mail if event not in same[:-1])


def deliver_all(system: System) -> System:
    """All mail, oldest first, until none is left."""
    while system.mail:
        system = play(system, Move("deliver", 0))
    return system


def run_out(system: System, fate: str = "fill", known: Callable[[System], bool] | None = None) -> System:
    """No more trouble: orders meet ``fate``, messages come in order, time passes, until nothing moves.

    Raises Broken when the pair does not come to rest, or not as the machine believes. known: says
    of a system that its end is known already, so the rest of the way need not be walked.
    """
    plenty = Budget(empties=1, refusals=1, delays=1, exits=0, entries=0)
    has_rested = is_reconciled = False
    sent = len(system.orders)
    for _ in range(500):
        system = system._replace(budget=plenty._replace(is_stuck=system.budget.is_stuck))
        if len(system.orders) > sent:  # what was read before says nothing about what they did
            sent, is_reconciled = len(system.orders), False
        if known is not None and not has_rested and known(system):
            return system
        waiting = [index for index, order in enumerate(system.orders) if _may_end(system, order)]
        if not all(system.streams):
            system = play(system, Move("stream_back", system.streams.index(False)))
        elif waiting:
            order = system.orders[waiting[0]]
            is_late = system.now_mono_ns - order.sent_mono_ns > system.rules.appear_ns
            kind = "expire" if is_late else fate
            if order.is_resting:  # it waits for its cancel, which may come when it has filled
                is_cancelled = order.is_cancel_asked and (system.budget.is_stuck or fate != "fill")
                kind = "cancel" if is_cancelled else "fill"
            system = play(system, Move(kind, waiting[0]))
        elif system.mail:
            # An outside change shows only when positions are read once more.
            is_reconciled |= has_rested and isinstance(system.mail[0], PositionRead)
            system = play(system, Move("deliver", 0))
        elif is_at_rest(system.rules, system.state) and is_reconciled:
            check_rest(system)
            return system
        else:
            has_rested |= is_at_rest(system.rules, system.state)
            system = play(system, Move("tick"))
    raise Broken(f"no rest: {system.state.phase.name} {system.state.plan.name} {system.positions_e8}")


def is_quiet(system: System) -> bool:
    """At rest, and nothing is on its way."""
    is_resting = is_at_rest(system.rules, system.state) and not system.mail and all(system.streams)
    return is_resting and not any(order.is_on_wire for order in system.orders)


def knows_truth(system: System) -> bool:
    """Whether the machine believes what the venues hold, or has halted over what it read there."""
    return _believed_e8(system.state) == system.positions_e8


def _believed_e8(state: PairState) -> tuple[int, ...]:
    if state.halt is Halt.UNEXPLAINED:
        return tuple(leg.position_e8 if leg.is_verified else leg.read_e8 for leg in state.legs)
    return tuple(leg.held_e8 for leg in state.legs)


def is_at_rest(rules: PairRules, state: PairState) -> bool:
    """Nothing under way, nothing planned, positions confirmed; or halted."""
    if any(leg.live or open_refusals(leg) for leg in state.legs):
        return False
    if state.halt is Halt.UNEXPLAINED:  # the other leg may still be found to have changed, too
        return not any(leg.is_verified and leg.reads and leg.read_e8 != leg.position_e8 for leg in state.legs)
    if any(leg.is_to_confirm for leg in state.legs):
        return False
    if any(leg.reads and leg.read_e8 != leg.position_e8 for leg in state.legs):
        return False  # a surprise that waits for its second read
    if state.halt is not Halt.NONE:
        return True
    if state.drift_mono_ns:
        return False  # a difference that is tolerated for a while only
    return state.plan is Plan.NONE and all(leg.is_verified for leg in state.legs)


# ------------------------------------------------------------------------------------- the promises


def _check_step(system: System, state: PairState, commands: list[Command]) -> None:
    _check_amounts(system, state)
    sends = [command for command in commands if isinstance(command, Send)]
    if not sends:
        return
    # An order the venue may still execute, or one whose end the machine has not been told. One that the venue
    # is said to have refused may be followed by what can only shrink a position.
    for order in system.orders:
        age_ns = system.now_mono_ns - order.sent_mono_ns
        if order.is_called_refused and all(send.reduce_only for send in sends):
            continue
        if order.is_on_wire and (order.is_resting or age_ns <= system.rules.appear_ns):
            raise Broken(f"sent {sends} while {order.send.client_order_id} may still execute")
    if any(order.state not in ENDED for leg in system.state.legs for order in leg.live):
        after = {order.client_order_id: order for leg in state.legs for order in leg.past}
        for leg in system.state.legs:
            for live in leg.live:
                ended = after.get(live.client_order_id)
                if ended is None or ended.state not in ENDED:
                    raise Broken(f"sent {sends} while {live.client_order_id} was in doubt")
    used = {order.send.client_order_id for order in system.orders}
    for send in sends:
        if send.client_order_id in used or not 0 < send.client_order_id < 1 << 53:
            raise Broken(f"client order id {send.client_order_id} used twice")
        used.add(send.client_order_id)
        held_e8 = state.legs[send.leg].position_e8
        shrinks = held_e8 * send.side < 0
        if shrinks and not send.reduce_only:
            raise Broken(f"{send} shrinks {held_e8} but is not reduce-only")
        if send.reduce_only and send.size_e8 > abs(held_e8):
            raise Broken(f"{send} closes more than {held_e8}")
        if send.purpose is Purpose.ENTRY and state.legs[0].position_e8 + state.legs[1].position_e8:
            raise Broken(f"{send} opens on a naked pair")
        if not send.reduce_only and not system.grids[send.leg]:
            raise Broken(f"{send} opens on a grid that its venue has refused")
        if not send.reduce_only and state.halt is not Halt.NONE:
            raise Broken(f"{send} opens while halted")
    if len({send.leg for send in sends}) != len(sends):
        raise Broken(f"two orders on one leg in one batch: {sends}")


def _check_amounts(system: System, state: PairState) -> None:
    """No order is believed to have filled more than its venue knows it has."""
    truth = {order.send.client_order_id: order.filled_e8 for order in system.orders}
    for leg in state.legs:
        for order in (*leg.live, *leg.past):
            filled_e8 = order.filled_e8
            # An amount read off a position that an outsider moved may be wrong, and says so.
            if order.counted_e8 or not filled_e8:
                continue
            if filled_e8 > truth[order.client_order_id]:
                raise Broken(f"{order.client_order_id} is believed to have filled {filled_e8}")


def check_exposure(system: System, late_e8: int = 0) -> None:
    """The truth never exceeds what the entries asked for, plus what came too late."""
    limit_e8 = system.rules.layers_max * SIZE_E8 + late_e8
    if any(abs(position_e8) > limit_e8 for position_e8 in system.positions_e8):
        raise Broken(f"positions {system.positions_e8} exceed {limit_e8}")


def check_rest(system: System) -> None:
    state, truth = system.state, system.positions_e8
    if not knows_truth(system):
        raise Broken(
            f"at rest in {state.phase.name} believing {_believed_e8(state)}, the venues hold {truth}"
        )
    if state.halt is Halt.UNEXPLAINED and not system.is_meddled:
        raise Broken(f"halted over {truth}, which nobody but our own orders made")
    match state.phase:
        case PairPhase.FLAT if truth == (0, 0):
            return
        case PairPhase.HEDGED if sum(truth) == 0 and truth[0]:
            return
        case PairPhase.HALTED:
            return
    raise Broken(f"at rest in {state.phase.name} holding {truth}")


# ------------------------------------------------------------------------------------------- helpers

_NOW = At(0)


def _dated(event: Event, at: At) -> Event:
    if isinstance(event, QueryAnswered) and event.reported is not None:
        event = event._replace(reported=event.reported._replace(at=at))
    return event._replace(at=at)


def _is_busy(system: System) -> bool:
    """Whether something is under way, so that time passing means that it is late."""
    return bool(system.mail) or any(_may_end(system, order) for order in system.orders)


def _may_end(system: System, order: VenueOrder) -> bool:
    """Whether an order is at the venue or on the way there, and does not wait for a cancel alone."""
    is_stuck = system.budget.is_stuck and order.is_resting and not order.is_cancel_asked
    return order.is_on_wire and not is_stuck


def _spend(system: System, kind: str) -> System:
    left = getattr(system.budget, kind) - 1
    assert left >= 0, kind
    return system._replace(budget=system.budget._replace(**{kind: left}))


def _without_mail(system: System, index: int) -> System:
    return system._replace(mail=system.mail[:index] + system.mail[index + 1 :])


def _without_order(system: System, index: int) -> System:
    # It stays listed, so that its id stays used; it will never execute.
    return _with_order(system, index, system.orders[index]._replace(is_on_wire=False, is_known=False))


def _with_order(system: System, index: int, order: VenueOrder) -> System:
    return system._replace(orders=(*system.orders[:index], order, *system.orders[index + 1 :]))


def _with_position(system: System, leg: int, position_e8: int) -> System:
    first_e8, second_e8 = system.positions_e8
    return system._replace(positions_e8=(position_e8, second_e8) if leg == 0 else (first_e8, position_e8))


def _with(both: tuple[bool, bool], leg: int, value: bool) -> tuple[bool, bool]:
    return (value, both[1]) if leg == 0 else (both[0], value)


def _layers(system: System) -> int:
    trade = system.state.trade
    return trade.layers if trade is not None and not trade.closed_mono_ns else 0
