"""The executor as it runs: its own process, both simulated venues over real sockets."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from events.codec import from_fields
from executor.accounts import simulated_secrets
from executor.pair.config import rules_of
from executor.pair.fast_path import dump_taken
from executor.pair.machine import step
from executor.pair.messages import At, Exit, Send
from executor.pair.pricing import LegMarket
from executor.pair.state import load
from executor.recovery.state_store import StateStore
from persistence.restore import fold, is_held
from runtime.carried_positions import CarriedPair
from runtime.unconfirmed import read_unconfirmed
from shm.records import PairPhase
from simulator.faults import Fault
from simulator.orders import NewOrder, Reason
from tests.executor.harness import LEGS, SIZE_E8, SYMBOLS, Harness, a_harness
from venues.contract import E8

# Its orders are written; it stands still there, to be killed once the venues have taken them.
STOPS_BEFORE_THE_STEP = """
import os, signal
from executor.engine import Engine
step = Engine._step
def stopping(self, pair, event, ahead=None):
    if ahead is not None:
        os.kill(os.getpid(), signal.SIGSTOP)
    step(self, pair, event)
Engine._step = stopping
"""


def client_ids(harness: Harness, venue: str) -> list[str]:
    return [order.client_id for order in harness.orders(venue)]


def held_by(harness: Harness) -> list[CarriedPair]:
    """What the journal of its events says is held."""
    return fold(map(from_fields, harness.lines)).held()


async def test_a_signal_opens_both_legs_and_an_exit_closes_them() -> None:
    """The whole of its work, once, with what it tells of it."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        # What a start after a reboot would begin from is in the lines alone.
        await harness.until(
            lambda: any(pair.layers == 1 for pair in fold(map(from_fields, harness.lines)).held())
        )
        (held,) = fold(map(from_fields, harness.lines)).held()
        assert (held.sizes_e8, held.orders) == ((SIZE_E8, -SIZE_E8), ())
        assert (held.trade_id, held.direction) == (harness.logged("trade_opened")[0]["trade_id"], 1)
        assert held.opened_unix_ms > 0
        assert held.entry_prices_e8 == (50_001 * E8, 50_050 * E8)

        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        closed = await harness.until_logged("trade_closed")
        await harness.until_phase(PairPhase.FLAT)

        assert harness.positions_e8 == (0, 0)
        assert len(harness.orders("vest")) == len(harness.orders("paradex")) == 2
        assert harness.counter("orders_sent_total") == 4
        # 49 = 50 050 - 50 001 gained on the way in, 2 x 0.5 given to each spread on the way out.
        assert closed["net_e8"] == (49 - 1) * SIZE_E8 - closed["fees_e8"]
        for result in ("gross_e8", "fees_e8", "net_e8"):
            assert harness.counter(f"{result}_total") == closed[result] != 0
        slippage = harness.logged("slippage")[0]
        assert all(us > 0 for stage in ("sent_to_acked_us", "sent_to_filled_us") for us in slippage[stage])
        await harness.until(
            lambda: not any(is_held(pair) for pair in fold(map(from_fields, harness.lines)).held())
        )
        assert await harness.terminate() == 0
        assert harness.errors == b""


async def test_both_directions_trade() -> None:
    """The gap opens either way."""
    async with a_harness() as harness:
        harness.show("paradex", 49_950, 49_951)
        await harness.start()
        await harness.open(direction=-1)
        assert harness.positions_e8 == (-SIZE_E8, SIZE_E8)
        harness.exit(direction=-1)
        await harness.until_logged("trade_closed")
        assert harness.positions_e8 == (0, 0)


async def test_in_a_calm_market_every_order_was_signed_beforehand() -> None:
    """Signing takes longer than everything else between a signal and its bytes."""
    async with a_harness() as harness:
        await harness.start()
        await harness.until(lambda: harness.counter("ready") == 1)
        await harness.settle_templates()
        await harness.open()
        await harness.settle_templates()
        harness.exit()
        await harness.until_logged("trade_closed")
        assert (harness.counter("template_hits_total"), harness.counter("template_misses_total")) == (4, 0)


async def test_a_template_the_market_has_left_is_not_sent() -> None:
    """Its limit would be beyond the band, or short of the touch."""
    async with a_harness() as harness:
        await harness.start()
        await harness.settle_templates()
        harness.show("vest", 49_900, 49_901)
        harness.enter()  # in the same instant: nothing has been armed anew
        await harness.until_phase(PairPhase.HEDGED)
        limits = {line["venue"]: line["limit_price_e8"] for line in harness.logged("intent_written")}
        limit_e8 = harness.orders("vest")[0].limit_price_e8
        assert limit_e8 is not None
        assert limit_e8 <= limits["vest"] < 50_000 * 10**8


async def test_the_leg_that_filled_is_closed_when_the_other_is_rejected_for_good() -> None:
    """The failed leg is retried as configured, then the surviving one goes."""
    async with a_harness(execution__on_single_leg="complete", execution__retry_delay_ms=10.0) as harness:
        await harness.start()
        reject = Fault("execute.*", times=None, reason=Reason.INSUFFICIENT_MARGIN)
        harness.simulator.fronts["vest"].faults.add(reject)
        harness.enter()
        await harness.until_logged("leg_auto_close")
        await harness.until_phase(PairPhase.FLAT)

        assert reject.struck == 1 + 3
        assert [line["attempt"] for line in harness.logged("order_retry")] == [1, 2, 3]
        assert harness.positions_e8 == (0, 0)
        assert len(harness.orders("paradex")) == 2
        assert harness.counter("orders_rejected_total") == 4


async def test_a_leg_that_an_answer_alone_refused_is_not_sent_again() -> None:
    """The answer may have been meant for another order: the one that filled is closed at once."""
    async with a_harness(execution__on_single_leg="complete", execution__retry_delay_ms=10.0) as harness:
        await harness.start()
        refuse = Fault("rest.orders.create", times=None, code="3002")
        harness.simulator.fronts["vest"].faults.add(refuse)
        harness.enter()
        await harness.until_logged("leg_auto_close")
        await harness.until_phase(PairPhase.FLAT)

        assert refuse.struck == 1
        assert not harness.logged("order_retry")
        assert harness.positions_e8 == (0, 0)
        assert len(harness.orders("vest")) == 0


async def test_a_lost_reply_is_doubt_until_the_venue_answers() -> None:
    """The order executed; sending it again would double the leg."""
    async with a_harness() as harness:
        await harness.start()
        harness.simulator.fronts["vest"].faults.add(Fault("rest.orders.create", drop_reply=True))
        harness.simulator.fronts["vest"].faults.add(Fault("push.account_private", times=None, drop=True))
        harness.enter()
        await harness.until_logged("leg_resolved", venue="vest")
        await harness.until_phase(PairPhase.HEDGED)

        assert harness.logged("leg_unknown", venue="vest")
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert len(harness.orders("vest")) == len(harness.orders("paradex")) == 1


@pytest.mark.parametrize("moment", ["intent_written", "leg_filled", "trade_opened"])
async def test_an_executor_killed_in_mid_trade_is_taken_up_by_the_next(moment: str) -> None:
    """Whatever its successor finds, it sends nothing twice and ends flat or hedged."""
    async with a_harness() as harness:
        await harness.start()
        harness.enter()
        await harness.until_logged(moment)
        await harness.kill()
        await harness.start(wait_ready=False)
        assert harness.process is not None
        await harness.until_logged("process_started", pid=harness.process.pid, restored=["btc"])
        await harness.until(
            lambda: harness.counter("ready") == 1 and harness.phase in (PairPhase.FLAT, PairPhase.HEDGED),
            "settled after restart",
        )
        positions = harness.positions_e8
        assert positions in ((0, 0), (SIZE_E8, -SIZE_E8))
        for venue in LEGS:
            assert len(set(client_ids(harness, venue))) == len(client_ids(harness, venue)) <= 2
        if positions != (0, 0):
            for venue in LEGS:
                await harness.until_logged("positions_restored", venue=venue)
            harness.exit()
            await harness.until_phase(PairPhase.FLAT)
            assert harness.positions_e8 == (0, 0)
            await harness.until_logged("trade_closed")  # what was told before it has been read, too
            exits = [line for line in harness.logged("intent_written") if line["purpose"] == "exit"]
            assert {line["client_order_id"] >> 24 for line in exits} == {harness.epoch}


async def test_a_stop_flattens_what_it_was_told_to() -> None:
    """SIGTERM with ``on_shutdown: flatten``: nothing remains, and the venues confirm it."""
    async with a_harness(runtime__on_shutdown="flatten") as harness:
        await harness.start()
        await harness.open()
        assert await harness.terminate() == 0
        done = await harness.until_logged("shutdown_step", step="positions")
        assert harness.positions_e8 == (0, 0)
        assert (done["positions_e8"], done["unanswered"]) == ({}, [])


async def test_a_stop_keeps_and_names_what_it_was_told_to_keep() -> None:
    """SIGTERM with ``on_shutdown: keep``: the pair stays hedged, and the log says what is held."""
    async with a_harness(runtime__on_shutdown="keep") as harness:
        await harness.start()
        await harness.open()
        assert await harness.terminate() == 0
        done = await harness.until_logged("shutdown_step", step="positions")
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert done["positions_e8"] == {
            "vest:BTC-PERP": SIZE_E8,
            "paradex:BTC-USD-PERP": -SIZE_E8,
        }


async def test_a_lost_private_stream_stops_entries_until_it_is_back() -> None:
    """What nobody tells us must not be traded upon."""
    async with a_harness() as harness:
        await harness.start()
        await harness.simulator.fronts["paradex"].close_sockets("private")
        await harness.until_logged("venue_lost", venue="paradex", what="private stream")
        await harness.until(lambda: len(harness.logged("venue_ready", venue="paradex")) == 2)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)
        await harness.open()
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)


async def test_a_paused_instance_refuses_entries_and_lets_exits_through() -> None:
    """Entries off, exits on."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        harness.supervisor.set(harness.supervisor.index("entries_paused"), 1)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 0)
        harness.enter()
        refused = await harness.until_logged("signal_refused")
        assert refused["gate"] == "paused"
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)


async def test_an_expired_signal_is_refused() -> None:
    """It was decided on prices that are gone."""
    async with a_harness() as harness:
        await harness.start()
        harness.enter(ttl_ms=-1)
        refused = await harness.until_logged("signal_refused")
        assert refused["gate"] == "signal_age"
        assert harness.counter("signals_expired_total") == 1
        assert harness.counter("orders_sent_total") == 0


async def test_a_refused_entry_is_not_asked_for_again_at_once() -> None:
    """The limit still stands at the next quote: hundreds of refusals a second would say nothing new."""
    async with a_harness(risk__max_order_notional_quote="1") as harness:
        await harness.start()
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)
        harness.enter()
        refused = await harness.until_logged("signal_refused")
        assert refused["gate"] == "order_notional"
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 0, "held")
        await harness.until(
            lambda: harness.view is not None and harness.view.entries_allowed == 1, "asked again"
        )


async def test_the_intent_reaches_persistence_before_the_answer() -> None:
    """An intent is journalled before its first byte leaves; the queue keeps the order of events."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        events = []
        while (message := harness.events.poll()) is not None:
            events.append(json.loads(message)["event"])
        assert events.index("intent_written") < events.index("leg_sent")
        assert events.count("intent_written") == 2
        assert harness.logged("intent_written")


async def test_an_open_order_of_someone_else_stops_entries_and_is_not_touched() -> None:
    """The venue is the truth about what is; nobody here can say why."""
    async with a_harness() as harness:
        await harness.start()
        theirs = harness.rest_order("vest", client_id=12345)
        reported = await harness.until_logged("reconcile_diff", venue="vest", kind="open order")
        assert reported["explained_by"] is None
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 0)
        assert harness.is_open("vest", theirs)

        harness.exchange("vest").cancel(theirs)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)


async def test_funding_that_closing_settles_is_told_as_the_venues_settle_it() -> None:
    """Paradex says it with the fill, Vest in the order's row alone."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        for venue, symbol in SYMBOLS.items():
            harness.exchange(venue).accrue_funding(symbol, 3 * 10**12)  # 3 a unit: longs pay, shorts receive
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)

        paid = {venue: await harness.until_logged("funding_paid", venue=venue) for venue in SYMBOLS}

        # A thousandth more or less: the simulated venues accrue by themselves, too, a little a second.
        expected_e8 = {"vest": -3 * SIZE_E8, "paradex": 3 * SIZE_E8}
        assert {venue: line["amount_e8"] for venue, line in paid.items()} == pytest.approx(
            expected_e8, rel=1e-3
        )
        assert len(harness.logged("funding_paid")) == 2


async def test_a_journal_that_is_full_stops_entries_and_lets_exits_through() -> None:
    """What is open goes on being looked after; nothing is begun that could not be kept."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        persistence = harness.memory.counters("persistence", writer=True)
        persistence.set(persistence.index("journal_full"), 1)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 0)
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        harness.enter()
        refused = await harness.until_logged("signal_refused")
        assert refused["gate"] == "journal_full"
        persistence.set(persistence.index("journal_full"), 0)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)


async def test_entries_stop_before_the_queue_to_persistence_is_full() -> None:
    """Persistence hangs: half the queue is kept for the lines of exits and repairs."""
    async with a_harness(runtime__event_queue_kib=128) as harness:
        await harness.start()
        for _ in range(60):
            await (
                harness.until_next_beat()
            )  # it looks once a transition, and trades here are quicker than that
            harness.enter()
            await harness.until(
                lambda: harness.phase is PairPhase.HEDGED or bool(harness.logged("signal_refused"))
            )
            if harness.logged("signal_refused"):
                break
            harness.exit()
            await harness.until_phase(PairPhase.FLAT)
            await harness.until(
                lambda: allows_entries(harness) or harness.events.used > harness.events.capacity // 2,
                "what is next",
            )
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 0)
        assert harness.events.used > harness.events.capacity // 2
        assert harness.events.refused == 0

        while harness.events.poll() is not None:
            harness.events.commit()
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)


async def test_an_open_order_of_an_earlier_life_is_cancelled() -> None:
    """Nobody waits for it any more, and it would fill at a price long gone."""
    async with a_harness() as harness:
        await harness.start()
        stray = harness.rest_order("vest", client_id=harness.epoch - 100 << 24 | 2)
        await harness.until(lambda: not harness.is_open("vest", stray))
        await harness.until_logged("reconcile_diff", venue="vest", explained_by="ours")
        # Once margins are read, too, which may take longer.
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)


async def test_a_position_nobody_explains_stops_entries_and_is_not_touched() -> None:
    """A first life that finds a position does not trade around it."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await harness.kill()
        harness.forget_journal()
        await harness.start(wait_ready=False)
        await harness.until_logged("reconcile_diff", explained_by=None)
        await harness.until_logged("halted", reason="unexplained")
        await harness.until_phase(PairPhase.HALTED)
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert len(harness.orders("vest")) == len(harness.orders("paradex")) == 1


async def test_a_login_refused_for_good_ends_the_first_life_with_the_reason() -> None:
    """Wrong keys do not become right by trying: exit code 2."""
    async with a_harness() as harness:
        harness.simulator.fronts["vest"].faults.add(Fault("rest.register", times=None, code="1022"))
        await harness.start(wait_ready=False)
        assert harness.process is not None
        assert await harness.process.wait() == 2
        await harness.until(lambda: b"INVALID_SIGNATURE" in harness.errors)


@pytest.mark.parametrize("answer", [{"status": 503}, {"code": "1003"}])
async def test_a_venue_that_is_down_at_the_start_is_waited_for(answer: dict[str, Any]) -> None:
    """Neither a 503 nor "too many requests" is a refusal of our keys."""
    async with a_harness() as harness:
        down = harness.simulator.fronts["vest"].faults.add(Fault("rest.*", times=None, **answer))
        await harness.start(wait_ready=False)
        await harness.until(lambda: down.struck >= 3)
        harness.simulator.fronts["vest"].faults.clear()
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)
        assert harness.logged("venue_lost", venue="vest")


def allows_entries(harness: Harness) -> bool:
    return harness.view is not None and harness.view.entries_allowed == 1


async def test_too_many_failures_in_a_row_open_the_breaker() -> None:
    """No further entries for a while, and the log says for how long."""
    async with a_harness(
        risk__max_consecutive_failures=3, risk__breaker_pause_s=60.0, execution__on_single_leg="unwind"
    ) as harness:
        await harness.start()
        harness.simulator.fronts["vest"].faults.add(Fault("rest.orders.create", times=None, code="3002"))
        while not harness.logged("breaker_opened"):
            harness.enter()
            await harness.until(lambda: harness.phase is not PairPhase.FLAT)
            await harness.until_phase(PairPhase.FLAT)
            await harness.until(lambda: allows_entries(harness) or bool(harness.logged("breaker_opened")))
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 0)
        sent = harness.counter("orders_sent_total")
        harness.enter()
        refused = await harness.until_logged("signal_refused")
        assert refused["gate"] == "breaker"
        assert harness.counter("orders_sent_total") == sent
        assert harness.positions_e8 == (0, 0)


async def test_after_its_pause_the_breaker_lets_one_entry_try_and_its_success_closes_it() -> None:
    """Every change is told; an exit was possible all the time."""
    async with a_harness(
        risk__max_consecutive_failures=2, risk__breaker_pause_s=0.5, execution__on_single_leg="unwind"
    ) as harness:
        await harness.start()
        harness.simulator.fronts["vest"].faults.add(Fault("rest.orders.create", code="3002"))
        harness.enter()
        await harness.until_logged("breaker_opened")
        await harness.until_logged("breaker_half_open")
        assert not harness.logged("breaker_closed")
        await harness.until(lambda: allows_entries(harness))
        await harness.open()
        await harness.until_logged("breaker_closed")
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)


async def test_legs_that_stood_alone_for_too_long_today_stop_entries() -> None:
    """The budget is of the day, not of a life: the next one goes on counting where this one was killed."""
    async with a_harness(risk__naked_budget_s_per_day=0.001, execution__on_single_leg="unwind") as harness:
        await harness.start()
        harness.simulator.fronts["vest"].faults.add(Fault("rest.orders.create", code="3002"))
        harness.enter()
        spent = await harness.until_logged("naked_budget_spent")
        assert spent["naked_s"] >= spent["limit_s"] == 0.001
        await harness.until_phase(PairPhase.FLAT)
        await harness.until_logged("naked_end")
        await harness.until(lambda: not allows_entries(harness))
        await harness.kill()
        assert harness.process is not None
        await harness.start(wait_ready=False)
        await harness.until_logged("naked_budget_spent", pid=harness.process.pid)
        assert not allows_entries(harness)
        assert harness.positions_e8 == (0, 0)


async def test_no_key_and_no_token_appears_in_what_is_told() -> None:
    """Log and queue are read by others."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        assert await harness.terminate() == 0
        facts = json.dumps(harness.lines).encode() + harness.errors
        secrets = [*simulated_secrets("vest").values(), *simulated_secrets("paradex").values()]
        keys = [secret for secret in secrets if len(secret) > 60]
        assert len(keys) == 3
        assert not any(key.removeprefix("0x").lstrip("0").encode() in facts for key in keys)


async def test_a_signal_whose_step_was_not_finished_is_taken_up_by_the_next_life() -> None:
    """Its orders may have left: they are in doubt until the venues have spoken, and none is sent twice."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await harness.kill()
        # What a kill leaves between an order's first byte and the journalling of the step behind it.
        prices = (LegMarket(True, 50_000 * E8, 50_001 * E8), LegMarket(True, 50_050 * E8, 50_051 * E8))
        journal = StateStore(harness.memory.machines(writer=True), harness.memory.taken(writer=True))
        entry = journal.read(0)
        assert entry is not None
        event = Exit(At(time.monotonic_ns(), prices), 1 << 40, "signal")
        rules = rules_of(harness.settings, harness.instruments, 0)
        _, commands = step(rules, load(entry.state), event)
        sends = tuple(command for command in commands if isinstance(command, Send))
        journal.write_event(0, dump_taken(event, sends))
        journal.close()

        await harness.start(wait_ready=False)
        facts = await harness.until_logged("intent_written", purpose="exit")
        await harness.until(lambda: len(harness.logged("leg_unknown", purpose="exit")) == 2, "two in doubt")
        assert len(harness.orders("vest")) == len(harness.orders("paradex")) == 1
        await harness.until_phase(PairPhase.FLAT)

        assert harness.positions_e8 == (0, 0)
        assert len(harness.orders("vest")) == len(harness.orders("paradex")) == 2
        assert str(facts["client_order_id"]) not in client_ids(harness, facts["venue"])


async def test_orders_that_left_by_settings_of_then_are_known_by_what_they_were() -> None:
    """The operator's other price band makes other orders of the signal; at the venues are the first ones."""
    async with a_harness() as harness:
        await harness.start(prelude=STOPS_BEFORE_THE_STEP)
        await harness.settle_templates()
        harness.enter()
        await harness.until(lambda: all(harness.orders(venue) for venue in SYMBOLS), "an order at each venue")
        assert harness.process is not None
        harness.process.kill()
        await harness.process.wait()
        assert not harness.logged("intent_written")
        harness.raw["execution"]["price_band_bps"] = 1.0
        harness.rewrite_launch()

        await harness.start(wait_ready=False)
        await harness.until(lambda: len(harness.logged("intent_written")) == 2, "both intents told")
        await harness.until_phase(PairPhase.HEDGED)

        facts = harness.logged("intent_written")
        # Five basis points around what the signal saw, not one.
        assert [line["limit_price_e8"] for line in facts] == [50_026 * E8, 50_025 * E8]
        for line in facts:
            (sent,) = client_ids(harness, line["venue"])
            assert sent.endswith(str(line["client_order_id"]))
        assert not harness.logged("halted")


async def test_keeping_warm_sends_nothing() -> None:
    """It asks what a signal would ask, hundreds of times, and only the signals that came count."""
    async with a_harness(runtime__keep_warm_ms=0.5) as harness:
        await harness.start()
        await harness.settle_templates()
        assert not harness.orders("vest")
        await harness.open()
        await harness.settle_templates()
        harness.exit()
        await harness.until_logged("trade_closed")

        assert (harness.counter("signals_total"), harness.counter("signals_refused_total")) == (2, 0)
        assert len(harness.orders("vest")) == len(harness.orders("paradex")) == 2


async def test_a_stop_cancels_our_open_orders_and_says_how_many_are_gone() -> None:
    """One that rests is left over from a message that was lost; the venues' word ends the wait."""
    async with a_harness(execution__reconcile_interval_s=3_599.0, risk__max_margin_age_s=3_600.0) as harness:
        await harness.start()
        ours = harness.rest_order("vest", client_id=(harness.epoch << 6) << 18 | 1 << 17)
        foreign = harness.rest_order("vest", client_id=77)
        assert await harness.terminate() == 0
        done = await harness.until_logged("shutdown_step", step="open orders")

        assert done["cancelled"] == {"vest": 1, "paradex": 0}
        assert done["foreign_orders"] == 1
        assert not harness.is_open("vest", ours)
        assert harness.is_open("vest", foreign)


@pytest.mark.parametrize(
    ("venue", "point"),
    [("vest", "rest.orders.cancel"), ("vest", "rest.orders.query"), ("paradex", "rest.orders.*")],
)
async def test_a_stop_that_is_not_confirmed_warns_and_leaves_word_of_it(venue: str, point: str) -> None:
    """A cancel that the venue refuses to take, or an answer that never comes: look there."""
    async with a_harness(execution__reconcile_interval_s=3_599.0, risk__max_margin_age_s=3_600.0) as harness:
        await harness.start()
        ours = harness.rest_order("vest", client_id=(harness.epoch << 6) << 18 | 1 << 17)
        harness.simulator.fronts[venue].faults.add(Fault(point, times=None, status=503, body=b"away"))

        assert await harness.terminate() == 0

        done = await harness.until_logged("shutdown_step", step="open orders")
        assert (done["level"], done["unconfirmed"]) == ("warning", [venue])
        if point == "rest.orders.cancel":
            assert str((harness.epoch << 6) << 18 | 1 << 17) in done["detail"]
        assert read_unconfirmed(harness.directory) == [f"{venue}: open orders"]
        assert harness.is_open("vest", ours) == (venue == "vest")


async def test_a_stop_that_is_confirmed_leaves_nothing_to_look_at() -> None:
    async with a_harness() as harness:
        await harness.start()
        assert await harness.terminate() == 0
        assert read_unconfirmed(harness.directory) == []


async def test_a_close_is_confirmed_by_both_venues_for_the_trade() -> None:
    """At once: the regular look at positions is an hour away."""
    async with a_harness(execution__reconcile_interval_s=3_599.0, risk__max_margin_age_s=3_600.0) as harness:
        await harness.start()
        await harness.open()
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        closed = await harness.until_logged("trade_closed")
        for venue in LEGS:
            facts = await harness.until_logged("flat_confirmed", venue=venue, trade_id=closed["trade_id"])
            assert facts["position_e8"] == 0


async def test_a_close_that_a_venue_does_not_show_is_an_error() -> None:
    async with a_harness(execution__reconcile_interval_s=3_599.0, risk__max_margin_age_s=3_600.0) as harness:
        await harness.start()
        await harness.open()
        faults = harness.simulator.fronts["vest"].faults
        faults.add(Fault("rest.account", times=None, status=503, body=b"away"))
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        closed = await harness.until_logged("trade_closed")
        exchange = harness.exchange("vest")  # somebody buys before the venue is asked
        new = NewOrder("BTC-PERP", 1, SIZE_E8, 60_000 * E8, client_id="77")
        exchange.execute(exchange.submit(exchange.account_ids[0], new).order_id)
        faults.clear()
        facts = await harness.until_logged("not_flat", venue="vest")
        assert (facts["level"], facts["trade_id"], facts["position_e8"]) == (
            "error",
            closed["trade_id"],
            SIZE_E8,
        )
