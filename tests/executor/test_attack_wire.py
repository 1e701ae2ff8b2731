"""What was done to orders between their decision and their bytes, and to starts with little to go by.

Every test here is a way in which a leg was left alone or forgotten before it was closed.
"""

from __future__ import annotations

from msgspec.structs import replace

from events.codec import from_fields
from executor.pair.messages import Send, StreamBack
from executor.pair.order import Purpose
from executor.pair.state import load
from executor.recovery.restore import state_of
from executor.recovery.state_store import StateStore
from persistence.restore import fold
from runtime.carried_positions import CarriedOrder, CarriedPair, write_carried
from runtime.clock import SystemClock, unix_ms
from shm.records import PairPhase
from tests.executor.harness import SIZE_E8 as SIZE_E8_OF_WORLD
from tests.executor.harness import a_harness
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import LOT_E8, PRICES_E8, SIZE_E8, some_rules
from venues.contract import E8

FEW_ORDERS = """
from venues.contract import RateLimit
from venues.paradex import ParadexTrading
ParadexTrading.order_limits = (RateLimit(3, 60_000),)
"""


async def test_closing_what_is_left_of_one_leg_is_never_withheld() -> None:
    """An exit of which one leg filled leaves the other naked: that it goes on being called an exit
    does not make it one that may wait for a rate limit. It did, and ended HALTED."""
    async with a_harness() as harness:
        await harness.start(prelude=FEW_ORDERS)
        await harness.open()
        harness.show("paradex", 50_300, 50_301, to_feed=False)  # out of reach for the first try
        harness.exit()
        await harness.until_logged("leg_cancelled", venue="paradex", purpose="exit")
        harness.show("paradex", 50_050, 50_051, to_feed=False)
        await harness.until(lambda: harness.positions_e8 == (0, 0), "both legs closed")
        await harness.until_phase(PairPhase.FLAT)

        assert harness.counter("orders_withheld_total") == 0
        assert not harness.logged("halted")


# --------------------------------------------------------------------- a start with little to go by


def restored(held: CarriedPair, *, sizes_e8: tuple[int, int]) -> Pair:
    """The pair as a start from the journal makes it, its venues confirming ``sizes_e8``."""
    pair = Pair()
    pair.state = state_of(pair.rules, 2, held, pair.now_mono_ns, unix_ms(SystemClock()))
    for leg in (0, 1):
        pair.feed(StreamBack(pair.at, leg))
    for leg in (0, 1):
        pair.read_twice(leg, sizes_e8[leg])
    return pair


def sent(pair: Pair) -> list[Send]:
    return [command for command in pair.history if isinstance(command, Send)]


def test_a_leg_alone_whose_trade_the_journal_does_not_name_is_mended() -> None:
    """Power was lost between the line of a fill and the line that says what is held and why. Every start
    after that died of a missing trade, with the leg alone."""
    pair = restored(CarriedPair("pair", sizes_e8=(SIZE_E8, 0)), sizes_e8=(SIZE_E8, 0))

    pair.wait(500)

    (send,) = sent(pair)
    assert (send.leg, send.purpose, send.reduce_only) == (0, Purpose.UNWIND, True)
    pair.fill(send)
    assert pair.phase() is PairPhase.FLAT


def test_an_order_whose_trade_the_journal_does_not_name_is_followed() -> None:
    """The entry began on a remainder, so the journal did not take it for a new trade's."""
    order = CarriedOrder(
        1 << 30,
        0,
        "BUY",
        SIZE_E8,
        100,
        False,
        "entry",
        0,
        77,
        unix_ms(SystemClock()),
        "open",
        filled_e8=SIZE_E8 // 2,
    )
    held = CarriedPair("pair", sizes_e8=(SIZE_E8 // 2, 0), orders=(order,))
    pair = restored(held, sizes_e8=(SIZE_E8 // 2, 0))
    assert pair.state.trade is not None
    assert pair.state.trade.trade_id == 77


def test_a_remainder_that_its_venue_takes_by_now_is_closed() -> None:
    """The venue has made its lots smaller since: what was no order then is a naked leg now."""
    pair = Pair()
    remainder = replace(pair.state.legs[1], position_e8=-LOT_E8 // 2)
    pair.state = replace(pair.state, legs=(pair.state.legs[0], remainder))
    pair.rules = some_rules(
        common_lot_e8=LOT_E8 // 2,
        instruments=tuple(
            item._replace(lot_e8=LOT_E8 // 2, min_size_e8=LOT_E8 // 2) for item in pair.rules.instruments
        ),
    )
    pair.read(1, -LOT_E8 // 2)
    pair.wait(500)

    (send,) = sent(pair)
    assert (send.leg, send.size_e8, send.reduce_only) == (1, LOT_E8 // 2, True)
    pair.fill(send)
    (closed,) = pair.logged("trade_closed")
    assert closed["is_estimated"]
    notional_e8 = LOT_E8 // 2 * PRICES_E8[1] // E8
    assert abs(closed["net_e8"]) < notional_e8 // 100


# ------------------------------------------------------------------------- an error of our own, late

BROKEN_SECOND_LEG = """
from executor.gateways.live import LiveGateway
send, sent = LiveGateway.send, []
def one(gateway, order):
    if sent: raise RuntimeError("a bug of ours")
    sent.append(order)
    send(gateway, order)
LiveGateway.send = one
"""


async def test_an_error_between_the_two_writes_leaves_what_the_successor_needs() -> None:
    """The process ends of it, but not at once: what its connections said in closing was fed to a machine
    that did not know of the order, and its state took the place of the signal in the journal. The leg
    that had left was nobody's then, alone and never touched."""
    async with a_harness() as harness:
        await harness.start(prelude=BROKEN_SECOND_LEG)
        await harness.settle_templates()  # the signal is rehearsed: its orders leave before the step
        harness.enter()
        assert harness.process is not None
        assert await harness.process.wait() == 1
        assert b"a bug of ours" in harness.errors
        assert harness.positions_e8 == (SIZE_E8_OF_WORLD, 0)

        await harness.start(wait_ready=False)
        await harness.until_logged("process_started", pid=harness.process.pid)
        at_rest = (PairPhase.FLAT, PairPhase.HEDGED)
        await harness.until(lambda: harness.counter("ready") == 1 and harness.phase in at_rest, "settled")

        assert not harness.logged("halted")
        assert abs(harness.positions_e8[0]) == abs(harness.positions_e8[1])


DEAD_BEFORE_IT_IS_TOLD = """
import os, signal
from events.trades import TradeClosed
from executor.engine import Engine
carry_out = Engine._carry_out
def die(engine, pair, command):
    if type(command) is TradeClosed: os.kill(os.getpid(), signal.SIGKILL)
    carry_out(engine, pair, command)
Engine._carry_out = die
"""


async def test_a_result_is_known_as_soon_as_its_trade_is_forgotten() -> None:
    """The machine's state said that the trade was over; killed then, the day's loss was never added, and
    the limits of loss went by too small a one."""
    async with a_harness() as harness:
        await harness.start(prelude=DEAD_BEFORE_IT_IS_TOLD)
        await harness.open()
        harness.exit()
        assert harness.process is not None
        assert await harness.process.wait() == -9

        entry = StateStore(harness.memory.machines(), harness.memory.taken()).read(0)
        assert entry is not None
        assert load(entry.state).trade is None
        assert entry.result_e8 != 0


async def test_an_executor_that_cannot_read_its_predecessors_state_goes_by_the_journal() -> None:
    """The operator updated the software after a crash: machines of the older version were handed over, and
    every executor ended with an error, the pair left to itself."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await harness.kill()
        write_carried(harness.directory, fold(map(from_fields, harness.lines)).held())
        machines = harness.memory.machines(writer=True)
        for copy in (0, 1):
            body = machines.read(copy)
            assert body is not None
            machines.write(copy, body[:48] + body[40:])  # another layout, whole by its checksum
        machines.close()

        await harness.start(wait_ready=False)
        await harness.until_logged("positions_restored", count=2)  # the counters still say what was before
        await harness.until(
            lambda: harness.counter("ready") == 1 and harness.phase is PairPhase.HEDGED,
            "adopted",
        )
        harness.exit()
        await harness.until(lambda: harness.positions_e8 == (0, 0), "closed")
