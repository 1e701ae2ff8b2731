"""The short way must never send what the machine would not: compared over random histories."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from executor.pair.fast_path import dump_taken, load_taken, predicted_sends
from executor.pair.machine import predict, step, take_pending
from executor.pair.messages import At, Enter, Exit, PendingSignal, Send
from executor.pair.pricing import NO_MARKET, LegMarket
from executor.pair.state import PairState
from shm.layout import EVENT_CAPACITY
from tests.executor.pair.model import (
    MARKETS,
    MS,
    PRICES_E8,
    SIZE_E8,
    Budget,
    System,
    a_system,
    an_instrument,
    deliver_all,
    moves,
    play,
    some_rules,
)
from venues.contract import E8

TROUBLE = Budget(
    partials=2,
    empties=2,
    refusals=2,
    lost_messages=1,
    doubled_messages=1,
    unsent=1,
    restarts=1,
    outsiders=1,
    delays=12,
    exits=4,
    entries=4,
)


def moved(market: LegMarket, rng: Random) -> LegMarket:
    """The market a little later; sometimes there is none."""
    if rng.random() < 0.1:
        return NO_MARKET
    shift_e8 = rng.randrange(-3, 4) * E8 // 10
    return market._replace(bid_e8=market.bid_e8 + shift_e8, ask_e8=market.ask_e8 + shift_e8)


def signals(system: System, rng: Random) -> list[tuple[Enter | Exit, Enter | Exit]]:
    """(what is rehearsed now, what comes later) for whatever may be asked of the pair."""
    state, later_ns = system.state, system.now_mono_ns + rng.randrange(6_000) * MS
    now, then = (
        At(system.now_mono_ns, MARKETS),
        At(later_ns, (moved(MARKETS[0], rng), moved(MARKETS[1], rng))),
    )
    newest = state.last_signal_id
    pairs: list[tuple[Enter | Exit, Enter | Exit]] = [
        (Exit(now, newest + 1, "signal"), Exit(then, newest + rng.randrange(3), "signal"))
    ]
    for layer in range(system.rules.layers_max + 1):
        for direction in (1, -1):
            expected = Enter(now, newest + 1, direction, layer, SIZE_E8, PRICES_E8, 10.0)
            prices_e8 = (
                PRICES_E8[0] + rng.randrange(-3, 4) * E8 // 10,
                PRICES_E8[1] - rng.randrange(-1, 2) * PRICES_E8[1] // 2,
            )
            came = Enter(
                then,
                newest + rng.randrange(-1, 3),
                direction if rng.random() < 0.9 else -direction,
                layer if rng.random() < 0.9 else layer + 1,
                SIZE_E8 if rng.random() < 0.9 else 2 * SIZE_E8,
                prices_e8,
                rng.random(),
            )
            pairs.append((expected, came))
    return pairs


def sends_of(system: System, event: Enter | Exit) -> tuple[Send, ...]:
    _, commands = step(system.rules, system.state, event)
    return tuple(command for command in commands if isinstance(command, Send))


def walk(seed: int) -> tuple[int, int]:
    """Play one random history; (certain entries, certain exits) met, each compared with the machine."""
    rng = Random(seed)
    # A least notional lets some entries be refused for their price alone.
    instruments = (an_instrument(0), an_instrument(1, min_notional_e8=E8 // 5))
    rules = some_rules(layers_max=2, instruments=instruments)
    system = a_system(TROUBLE, rules, rng.choice((1, -1)))
    entries = exits = 0
    for _ in range(40):
        possible = list(moves(system))
        if not possible:
            break
        system = play(system, rng.choice(possible))
        if rng.random() < 0.5:
            system = deliver_all(system)
        for expected, came in signals(system, rng):
            rehearsal = predict(system.rules, system.state, expected)
            certain = predicted_sends(system.rules, system.state, came, rehearsal)
            if certain is None:
                continue
            assert certain == sends_of(system, came), f"seed={seed}: {came} in {system.state}"
            taken_up = take_pending(system.rules, system.state, PendingSignal(came, certain))
            assert taken_up == step(system.rules, system.state, came), (
                f"seed={seed}: {came} in {system.state}"
            )
            if type(came) is Enter:
                entries += 1
            else:
                exits += 1
    return entries, exits


@pytest.mark.parametrize("block", range(5))
def test_what_is_certain_is_what_the_machine_sends(block: int) -> None:
    """In every phase, with every trouble, later and at other prices than it was rehearsed for; and what
    a successor takes up of it is the very step."""
    met = [walk(seed) for seed in range(block * 40, block * 40 + 40)]

    assert sum(entries for entries, _ in met) > 25
    assert sum(exits for _, exits in met) > 5


def a_flat_pair() -> System:
    return a_system(Budget())


def an_entry(now_ns: int, signal_id: int = 1) -> Enter:
    return Enter(At(now_ns, MARKETS), signal_id, 1, 0, SIZE_E8, PRICES_E8, 10.0)


def test_a_signal_like_the_rehearsed_one_is_certain() -> None:
    system = a_flat_pair()
    rehearsal = predict(system.rules, system.state, an_entry(system.now_mono_ns))

    sends = predicted_sends(
        system.rules, system.state, an_entry(system.now_mono_ns + 60_000 * MS, 7), rehearsal
    )

    assert sends is not None
    assert [send.side for send in sends] == [1, -1]


def test_any_change_of_the_state_voids_a_rehearsal() -> None:
    """Even one that looks the same: what it was rehearsed from is gone."""
    system = a_flat_pair()
    rehearsal = predict(system.rules, system.state, an_entry(system.now_mono_ns))
    again: PairState = replace(system.state, epoch=system.state.epoch)
    assert again == system.state

    assert predicted_sends(system.rules, again, an_entry(system.now_mono_ns), rehearsal) is None


@pytest.mark.parametrize("event", [an_entry(5), Exit(At(9, MARKETS), 3, "signal")])
def test_a_journalled_signal_is_read_back_whole(event: Enter | Exit) -> None:
    """A successor takes the very step its predecessor was about to take."""
    system = a_flat_pair()
    sends = sends_of(system, an_entry(system.now_mono_ns))
    body = dump_taken(event, sends)

    assert load_taken(body) == PendingSignal(event, sends)
    assert len(body) < EVENT_CAPACITY - 8


def test_other_settings_in_the_next_life_assume_no_other_orders() -> None:
    """One leg's order may have left by limits and layers that the operator has changed since."""
    system = a_flat_pair()
    event = an_entry(system.now_mono_ns)
    sends = sends_of(system, event)
    today = system.rules._replace(layers_max=0, price_band_bps=0.5, price_band_bps_max=0.5)
    assert not [command for command in step(today, system.state, event)[1] if isinstance(command, Send)]

    state, commands = take_pending(today, system.state, PendingSignal(event, sends))

    assert tuple(command for command in commands if isinstance(command, Send)) == sends
    assert [order.client_order_id for leg in state.legs for order in leg.live] == [
        send.client_order_id for send in sends
    ]
