"""Settings that change under a running executor: at once, between two steps, and with nothing left over."""

from __future__ import annotations

import copy
from typing import Any

from executor.recovery.state_store import StateStore
from runtime.bootstrap import publish_settings
from runtime.operator_ack import read_acknowledgement
from shm.records import PairPhase
from tests.executor.harness import SIZE_E8, World, a_world
from tests.executor.test_attack import DIE, MOMENTS
from venues.contract import E8


def publish(world: World, **changes: Any) -> int:
    """What the supervisor does; keys by "section__key". Returns the generation."""
    raw = copy.deepcopy(world.raw)
    for name, value in changes.items():
        section, _, key = name.partition("__")
        raw[section][key] = value
    world.raw = raw
    generation = publish_settings(world.directory, raw)
    world.supervisor.set(world.supervisor.index("settings_generation"), generation)
    return generation


async def reload(world: World, **changes: Any) -> None:
    generation = publish(world, **changes)
    await world.until(lambda: world.counter("settings_generation") == generation, "the new settings")


async def test_a_lowered_limit_refuses_the_next_entry_and_the_raised_one_lets_it_through() -> None:
    async with a_world() as world:
        await world.start()
        await reload(world, risk__max_order_notional_quote="900")
        world.enter()  # 0.02 at 50 000 is 1000
        refused = await world.until_told("signal_refused")
        assert (refused["gate"], refused["limit"]) == ("order_notional", 900.0)

        await reload(world, risk__max_order_notional_quote="5000")
        await world.until(lambda: world.view is not None and world.view.entries_allowed == 1, "entries")
        await world.open()
        assert world.positions_e8 == (SIZE_E8, -SIZE_E8)


async def test_nothing_signed_or_rehearsed_under_the_old_rules_leaves() -> None:
    """Armed orders reach as far as the old price band, rehearsed signals know the old limits."""
    async with a_world(execution__price_band_bps=20.0, risk__price_collar_bps=500.0) as world:
        await world.start()
        await world.settle_templates()
        await reload(world, execution__price_band_bps=2.0)
        await world.open()

        (bought,), (sold,) = world.orders("vest"), world.orders("paradex")
        assert bought.limit_price_e8 is not None
        assert sold.limit_price_e8 is not None
        assert 0 < bought.limit_price_e8 - 50_001 * E8 <= 50_001 * E8 * 2 // 10_000
        assert 0 < 50_050 * E8 - sold.limit_price_e8 <= 50_050 * E8 * 2 // 10_000

        # And what is armed from now on fits the new band: nothing has to be signed when it counts.
        await world.settle_templates()
        missed = world.counter("template_misses_total")
        world.exit()
        await world.until_phase(PairPhase.FLAT)
        assert world.counter("template_misses_total") == missed


async def test_an_open_pair_is_kept_and_closed_through_a_reload() -> None:
    async with a_world() as world:
        await world.start()
        await world.open()
        await reload(world, risk__max_leverage=4.0, execution__max_naked_ms=900.0)
        assert world.phase is PairPhase.HEDGED
        world.exit()
        await world.until_phase(PairPhase.FLAT)
        assert world.positions_e8 == (0, 0)


async def test_while_settings_change_entries_are_refused_before_that_is_said() -> None:
    """The word stops the very next entry; the executor says so when the detector knows, too."""
    async with a_world() as world:
        await world.start()
        world.supervisor.set(world.supervisor.index("entries_held"), 7)
        await world.until(
            lambda: read_acknowledgement(world.directory).entries_suspended == 7, "the suspension"
        )
        assert world.view is not None
        assert world.view.entries_allowed == 0
        world.enter()
        assert (await world.until_told("signal_refused"))["gate"] == "settings_change"

        world.supervisor.set(world.supervisor.index("entries_held"), 0)
        await world.until(lambda: world.view is not None and world.view.entries_allowed == 1, "entries")
        await world.open()


async def test_the_next_life_works_by_the_newest_settings() -> None:
    async with a_world() as world:
        await world.start()
        await reload(world, risk__max_order_notional_quote="900")
        await world.kill()
        await world.start()
        world.enter()
        assert (await world.until_told("signal_refused"))["gate"] == "order_notional"
        assert world.counter("settings_generation") == 1


async def test_a_step_left_by_the_last_life_is_taken_by_the_orders_that_left() -> None:
    """Killed between its orders and their step, and the settings change before its successor starts: by
    the new rules the machine would want, and remember, other orders than those that left."""
    async with a_world(execution__price_band_bps=5.0) as world:
        await world.start(prelude=DIE + MOMENTS["after both writes, before anything else"])
        await world.settle_templates()
        world.enter()
        assert world.process is not None
        await world.process.wait()
        journal = StateStore(world.memory.machines(), world.memory.taken())
        assert journal.read_event(0) is not None, "the signal must have gone the short way"
        journal.close()

        publish(world, execution__price_band_bps=1.0)
        await world.start(wait_ready=False)
        await world.until_phase(PairPhase.HEDGED)

        assert world.counter("settings_generation") == 1
        told = {line["venue"]: line["limit_price_e8"] for line in world.told("intent_written")}
        (bought,), (sold,) = world.orders("vest"), world.orders("paradex")
        assert bought.limit_price_e8 is not None
        assert sold.limit_price_e8 is not None
        # Venues were sent armed orders, signed a little closer to the touch than the machine allows.
        assert bought.limit_price_e8 <= told["vest"] <= 50_001 * E8 * 10_005 // 10_000
        assert sold.limit_price_e8 >= told["paradex"] >= 50_050 * E8 * 9_995 // 10_000 - E8
        assert told["vest"] > 50_001 * E8 * 10_003 // 10_000, "that is the new rules' limit"
