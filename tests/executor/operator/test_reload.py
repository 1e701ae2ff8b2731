"""Settings that change under a running executor: at once, between two steps, and with nothing left over."""

from __future__ import annotations

import copy
from typing import Any

from executor.recovery.state_store import StateStore
from runtime.bootstrap import publish_settings
from runtime.operator_ack import read_acknowledgement
from shm.records import PairPhase
from tests.executor.harness import LEGS, SIZE_E8, Harness, a_harness
from tests.executor.test_attack import DIE, MOMENTS
from venues.contract import E8


def publish(harness: Harness, **changes: Any) -> int:
    """What the supervisor does; keys by "section__key". Returns the generation."""
    raw = copy.deepcopy(harness.raw)
    for name, value in changes.items():
        section, _, key = name.partition("__")
        raw[section][key] = value
    harness.raw = raw
    generation = publish_settings(harness.directory, raw)
    harness.supervisor.set(harness.supervisor.index("settings_generation"), generation)
    return generation


async def reload(harness: Harness, **changes: Any) -> None:
    generation = publish(harness, **changes)
    await harness.until(lambda: harness.counter("settings_generation") == generation, "the new settings")


async def test_a_lowered_limit_refuses_the_next_entry_and_the_raised_one_lets_it_through() -> None:
    async with a_harness() as harness:
        await harness.start()
        await reload(harness, risk__max_order_notional_quote="900")
        harness.enter()  # 0.02 at 50 000 is 1000
        refused = await harness.until_logged("signal_refused")
        assert (refused["gate"], refused["limit"]) == ("order_notional", 900.0)

        await reload(harness, risk__max_order_notional_quote="5000")
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1, "entries")
        await harness.open()
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)


async def test_nothing_signed_or_rehearsed_under_the_old_rules_leaves() -> None:
    """Armed orders reach as far as the old price band, rehearsed signals know the old limits."""
    async with a_harness(execution__price_band_bps=20.0, risk__price_collar_bps=500.0) as harness:
        await harness.start()
        await harness.settle_templates()
        await reload(harness, execution__price_band_bps=2.0)
        await harness.open()

        (bought,), (sold,) = harness.orders("vest"), harness.orders("paradex")
        assert bought.limit_price_e8 is not None
        assert sold.limit_price_e8 is not None
        assert 0 < bought.limit_price_e8 - 50_001 * E8 <= 50_001 * E8 * 2 // 10_000
        assert 0 < 50_050 * E8 - sold.limit_price_e8 <= 50_050 * E8 * 2 // 10_000

        # And what is armed from now on fits the new band: nothing has to be signed when it counts.
        await harness.settle_templates()
        missed = harness.counter("template_misses_total")
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.counter("template_misses_total") == missed


async def test_an_open_pair_is_kept_and_closed_through_a_reload() -> None:
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await reload(harness, risk__max_leverage=4.0, execution__max_naked_ms=900.0)
        assert harness.phase is PairPhase.HEDGED
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)


async def test_while_settings_change_entries_are_refused_before_that_is_said() -> None:
    """The word stops the very next entry; the executor says so when the detector knows, too."""
    async with a_harness() as harness:
        await harness.start()
        harness.supervisor.set(harness.supervisor.index("entries_held"), 7)
        await harness.until(
            lambda: read_acknowledgement(harness.directory).entries_suspended == 7, "the suspension"
        )
        assert harness.view is not None
        assert harness.view.entries_allowed == 0
        harness.enter()
        assert (await harness.until_logged("signal_refused"))["gate"] == "settings_change"

        harness.supervisor.set(harness.supervisor.index("entries_held"), 0)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1, "entries")
        await harness.open()


async def test_the_next_life_works_by_the_newest_settings() -> None:
    async with a_harness() as harness:
        await harness.start()
        await reload(harness, risk__max_order_notional_quote="900")
        await harness.kill()
        await harness.start()
        harness.enter()
        assert (await harness.until_logged("signal_refused"))["gate"] == "order_notional"
        assert harness.counter("settings_generation") == 1


async def test_a_step_left_by_the_last_life_is_taken_by_the_orders_that_left() -> None:
    """Killed between its orders and their step, and the settings change before its successor starts: by
    the new rules the machine would want, and remember, other orders than those that left."""
    while not await _is_taken_by_the_orders_that_left():
        pass  # Paradex cancelled its order when the connection ended, before it was matched


async def _is_taken_by_the_orders_that_left() -> bool:
    """Whether both orders were filled; asserts what must hold then."""
    async with a_harness(execution__price_band_bps=5.0) as harness:
        await harness.start(prelude=DIE + MOMENTS["after both writes, before anything else"])
        await harness.settle_templates()
        harness.enter()
        assert harness.process is not None
        await harness.process.wait()
        journal = StateStore(harness.memory.machines(), harness.memory.taken())
        assert journal.read_event(0) is not None, "the signal must have gone the short way"
        journal.close()

        await harness.until(
            lambda: (
                all(order.status.is_final for venue in LEGS for order in harness.orders(venue))
                and all(harness.orders(venue) for venue in LEGS)
            ),
            "both orders' ends",
        )
        if not harness.orders("paradex")[0].filled_e8:
            return False

        publish(harness, execution__price_band_bps=1.0)
        await harness.start(wait_ready=False)
        await harness.until_phase(PairPhase.HEDGED)

        assert harness.counter("settings_generation") == 1
        reported = {line["venue"]: line["limit_price_e8"] for line in harness.logged("intent_written")}
        (bought,), (sold,) = harness.orders("vest"), harness.orders("paradex")
        assert bought.limit_price_e8 is not None
        assert sold.limit_price_e8 is not None
        # Venues were sent armed orders, signed a little closer to the touch than the machine allows.
        assert bought.limit_price_e8 <= reported["vest"] <= 50_001 * E8 * 10_005 // 10_000
        assert sold.limit_price_e8 >= reported["paradex"] >= 50_050 * E8 * 9_995 // 10_000 - E8
        assert reported["vest"] > 50_001 * E8 * 10_003 // 10_000, "that is the new rules' limit"
        return True
