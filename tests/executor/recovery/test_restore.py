"""After a reboot nothing is left in memory: what the journal says is adopted once the venues confirm it."""

from __future__ import annotations

import signal

import pytest
from msgspec.structs import replace

from events.codec import from_fields
from executor.pair.state import dump, load
from executor.recovery.state_store import StateStore
from persistence.restore import fold
from runtime.carried_positions import CarriedPair, write_carried
from shm.records import PairPhase
from simulator.faults import Fault
from simulator.orders import NewOrder
from tests.executor.harness import LEGS, SIZE_E8, SYMBOLS, Harness, a_harness
from tests.executor.invariants import broken_promises
from venues.contract import E8


async def reboot(harness: Harness, *more: CarriedPair) -> None:
    """Kill the executor and take its memory away; persistence hands over what the lines tell."""
    await harness.kill()
    harness.forget_journal()
    write_carried(harness.directory, [*fold(map(from_fields, harness.lines)).held(), *more])


def close_by_hand(harness: Harness, venue: str) -> None:
    """The operator, at the venue's own page."""
    exchange = harness.exchange(venue)
    new = NewOrder(SYMBOLS[venue], -1, SIZE_E8, 49_000 * E8, time_in_force="IOC", client_id="1")
    exchange.execute(exchange.submit(exchange.account_ids[0], new).order_id)


def client_ids(harness: Harness) -> list[str]:
    return [order.client_id for venue in LEGS for order in harness.orders(venue)]


@pytest.mark.parametrize("moment", ["leg_sent", "leg_filled", "trade_opened"])
async def test_what_was_under_way_at_a_reboot_is_asked_for_adopted_and_closed(moment: str) -> None:
    """Nothing is sent twice, nothing is forgotten, and the trade keeps its name and its prices."""
    async with a_harness() as harness:
        await harness.start()
        harness.enter()
        reported = await harness.until_logged(moment)
        await reboot(harness)
        sent_before = len(client_ids(harness))
        await harness.start(wait_ready=False)
        assert harness.process is not None
        await harness.until_logged("process_started", pid=harness.process.pid)
        await harness.until(
            lambda: harness.counter("ready") == 1 and harness.phase in (PairPhase.FLAT, PairPhase.HEDGED),
            "settled after the reboot",
        )

        assert not harness.logged("halted")
        assert len(set(client_ids(harness))) == len(client_ids(harness))
        if harness.positions_e8 == (SIZE_E8, -SIZE_E8):
            assert len(client_ids(harness)) == sent_before
            restored = await harness.until_logged("positions_restored", count=2)
            assert restored["positions_e8"] == {"vest:BTC-PERP": SIZE_E8, "paradex:BTC-USD-PERP": -SIZE_E8}
            harness.exit()
            closed = await harness.until_logged("trade_closed")
            assert closed["trade_id"] == reported["trade_id"]
            entry_prices = [order.average_price_e8 for venue in LEGS for order in harness.orders(venue)[:1]]
            assert sorted(closed["entry_prices_e8"]) == sorted(entry_prices)
            assert not closed["is_estimated"]
        assert harness.positions_e8 == (0, 0)


async def test_a_leg_closed_while_nobody_watched_is_followed_by_the_other() -> None:
    """The venue has the last word on what is held: the journal's second leg alone would be naked."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await reboot(harness)
        close_by_hand(harness, "vest")
        await harness.start(wait_ready=False)
        await harness.until_logged("reconcile_diff", explained_by="closed outside")
        await harness.until(lambda: harness.positions_e8 == (0, 0), "the other leg is closed")


async def test_a_position_without_a_reason_is_reported_and_never_touched() -> None:
    """Without the journal nobody knows whose it is. Nothing is opened, on no pair."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await harness.kill()
        harness.forget_journal()
        await harness.start(wait_ready=False)
        await harness.until_logged("halted", reason="unexplained")
        await harness.until(
            lambda: harness.view is not None and harness.view.entries_allowed == 0, "entries stopped"
        )
        await harness.settle_templates()

        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert len(client_ids(harness)) == 2


async def test_what_an_order_did_that_was_called_refused_is_reported_after_a_reboot() -> None:
    """The journal ends with an order's refusal, so a leg that it made after all is nobody's by then: the
    operator gets the venue's figure, and nothing is traded on top of it."""
    async with a_harness() as harness:
        await harness.start()
        await reboot(harness)
        exchange = harness.exchange("vest")
        number = str((harness.epoch << 32) + 2)
        late = NewOrder(SYMBOLS["vest"], 1, SIZE_E8, 50_100 * E8, time_in_force="IOC", client_id=number)
        exchange.execute(exchange.submit(exchange.account_ids[0], late).order_id)
        await harness.start(wait_ready=False)
        halted = await harness.until_logged("halted", reason="unexplained")

        assert halted["positions_e8"] == [0, 0]
        assert halted["venue_positions_e8"][LEGS["vest"]] == SIZE_E8
        await harness.until(lambda: broken_promises(harness) == [], "the view says so too")
        (difference,) = harness.logged("reconcile_diff")
        assert (difference["venue"], difference["difference_e8"]) == ("vest", SIZE_E8)
        assert harness.positions_e8 == (SIZE_E8, 0)


async def test_what_no_configured_pair_explains_any_more_stops_entries() -> None:
    """The operator took a pair out of the configuration while it held something."""
    async with a_harness() as harness:
        await harness.start()
        gone = CarriedPair("sol", ("vest:SOL-PERP", "paradex:SOL-USD-PERP"), 77, 1, 1, (E8, -E8))
        await reboot(harness, gone)
        await harness.start(wait_ready=False)
        line = await harness.until_logged("reconcile_diff", kind="pair", pair="sol")
        await harness.until(lambda: harness.counter("ready") == 1, "ready")
        harness.enter()
        refused = await harness.until_logged("signal_refused")

        assert "reconcile --adopt" in line["detail"]
        assert refused["gate"] == "unexplained_position"
        assert harness.positions_e8 == (0, 0)


async def test_a_life_killed_while_it_ended_flat_does_not_keep_the_next_one_from_opening() -> None:
    """Its pair machine is taken over, and with it went the wish to close everything: nothing was ever opened
    again, and no line said why."""
    async with a_harness(runtime__on_shutdown="flatten") as harness:
        await harness.start()
        await harness.open()
        assert harness.process is not None
        harness.process.send_signal(signal.SIGTERM)
        await harness.until_logged("intent_written", purpose="exit")
        await harness.kill()
        await harness.start()
        await harness.until_phase(PairPhase.FLAT)
        await harness.open()

        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)


async def test_a_close_the_operator_asked_for_ends_with_the_pair_open_for_entries_again() -> None:
    """The executor was killed while it closed, and what it had been asked went with the memory: the next one
    closed, too, and then refused every entry."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await harness.kill()
        journal = StateStore(harness.memory.machines(writer=True), harness.memory.taken(writer=True))
        entry = journal.read(0)
        assert entry is not None
        journal.write(0, entry._replace(state=dump(replace(load(entry.state), flatten="reconcile"))))
        journal.close()
        await harness.start(wait_ready=False)
        await harness.until(lambda: harness.positions_e8 == (0, 0), "closed")
        await harness.until(
            lambda: harness.view is not None and harness.view.entries_allowed == 1, "open again"
        )


@pytest.mark.parametrize("reboots", [False, True])
async def test_funding_that_a_life_had_noticed_and_not_told_is_told_by_the_next(reboots: bool) -> None:
    """Vest says what an exit has settled in the order's row alone, which may be asked for in vain until
    the executor has ended: the payment was missing from the books for ever."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        harness.exchange("vest").accrue_funding(SYMBOLS["vest"], 3 * 10**12)
        await harness.until(lambda: bool(harness.logged("funding_read")), "the entry's funding is read")
        faults = harness.simulator.fronts["vest"].faults
        faults.add(Fault("rest.orders.query", times=None, status=503))
        harness.exit()
        await harness.until(lambda: len(harness.logged("fill", venue="vest")) == 2, "the exit's fill is told")
        await harness.until_phase(PairPhase.FLAT)
        assert harness.logged("funding_paid", venue="vest") == []
        await (reboot(harness) if reboots else harness.kill())
        faults.clear()
        await harness.start()
        paid = await harness.until_logged("funding_paid", venue="vest")

        assert paid["amount_e8"] == pytest.approx(-3 * SIZE_E8, rel=0.01)  # and a little while it is held
        assert paid["payment_id"] == harness.logged("fill", venue="vest")[1]["venue_order_id"]


async def test_a_new_life_tells_again_what_it_holds() -> None:
    """The last one may have been killed between a change and its line, and the journal never heard of it."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await harness.kill()
        await harness.start()
        assert harness.process is not None
        reported = await harness.until_logged("holding", pid=harness.process.pid)

        assert [leg["size_e8"] for leg in reported["legs"]] == [SIZE_E8, -SIZE_E8]
        assert reported["live"] == []
        # And of its orders: an end that was never told left them open in the database, without fills.
        retold = harness.logged("leg_retold", pid=harness.process.pid)
        ends = [(line["venue"], line["order_state"], line["filled_e8"]) for line in retold]
        assert ends == [("vest", "filled", SIZE_E8), ("paradex", "filled", SIZE_E8)]
