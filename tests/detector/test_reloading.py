"""A detector that is told of new settings decides the next quote by them."""

from __future__ import annotations

import copy
from typing import Any

from runtime.bootstrap import publish_settings
from tests.detector.builders import e8
from tests.detector.instance import RAW_SETTINGS, Instance
from tests.waiting import wait_until


def publish(instance: Instance, **changes: Any) -> None:
    """What the supervisor does, with keys of the pair's strategy; until the detector has taken them up."""
    raw = copy.deepcopy(RAW_SETTINGS)
    raw["pairs"][0]["strategy"] |= changes
    generation = publish_settings(instance.directory, raw)
    word = instance.memory.counters("supervisor", writer=True)
    word.set(word.index("settings_generation"), generation)
    word.close()
    wait_until(lambda: instance.count("settings_generation") == generation)


def test_the_next_decision_is_by_the_new_threshold(instance: Instance) -> None:
    """20 bps apart: enough for the old one, too little for the first new one, enough for the second."""
    instance.feeds_are_up()
    instance.executor_says()
    with instance.detector():
        publish(instance, entry_bps=30.0)
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)
        wait_until(lambda: instance.count("evaluations.btc") == 4)
        assert "signals" not in instance.outcomes()

        publish(instance, entry_bps=15.0)
        instance.publish(1, 100.2, 100.3)
        assert instance.next_signal().second_price_e8 == e8(100.2)


def test_quotes_that_confirmed_under_the_old_rules_confirm_nothing(instance: Instance) -> None:
    instance.feeds_are_up()
    instance.executor_says()

    def show(instrument_id: int, bid: float, ask: float) -> None:
        seen = instance.count("quotes_total")
        instance.publish(instrument_id, bid, ask)
        wait_until(lambda: instance.count("quotes_total") > seen)

    with instance.detector():
        publish(instance, confirm_ticks=3)
        show(0, 99.9, 100.0)
        for _ in range(2):
            show(1, 100.2, 100.3)
        assert instance.outcomes()["confirmation"] == 2

        publish(instance, confirm_ticks=3, exit_bps=1.0)
        for _ in range(2):
            show(1, 100.2, 100.3)
        assert instance.outcomes()["confirmation"] == 4
        assert "signals" not in instance.outcomes()
        show(1, 100.2, 100.3)
        assert instance.next_signal().second_price_e8 == e8(100.2)
