"""The compiled detector in its process: what it decides, and what it leaves to Python."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from detector.native import NativeDetector
from detector.rules import rules_for
from detector.structures import PairC, load_detector
from observability.logs import Reporter
from settings import parse_settings
from shm.broadcast import CELL_OVERHEAD
from shm.native_access import slots_in_c
from shm.records import DEPTH_HEAD, PAIR_VIEW, SIGNAL, DepthBook, Quote
from shm.slot import OVERHEAD, SlotTable
from tests.detector.builders import a_view, e8
from tests.detector.instance import RAW_SETTINGS, Instance
from tests.waiting import wait_until

TWICE = {"confirm_ticks": 2}
BEYOND = 2.0e10  # a price of more than 2**60 e8


def test_the_counter_says_which_of_the_two_decides(instance: Instance) -> None:
    with instance.detector():
        wait_until(lambda: instance.count("native") == int(instance.is_native))
        started = [event for event in instance.read_events() if event["event"] == "process_started"]

    assert [event["is_native"] for event in started] == [instance.is_native]


def test_a_quote_that_is_not_certain_is_decided_in_python_and_counted(instance: Instance) -> None:
    """Streaks and numbers go on where they were: two quotes confirm, the one in between is Python's."""
    instance.feeds_are_up()
    instance.executor_says()

    def show(instrument_id: int, bid: float, ask: float) -> None:
        seen = instance.count("quotes_total")
        instance.publish(instrument_id, bid, ask)
        wait_until(lambda: instance.count("quotes_total") == seen + 1)

    with instance.detector():
        show(0, BEYOND, BEYOND)
        show(1, BEYOND, BEYOND)
        outcomes = instance.outcomes()
        handed_over = instance.count("handed_over_price_total")
        show(0, 99.9, 100.0)
        show(1, 100.2, 100.3)
        first = instance.next_signal()
        instance.executor_says(a_view(last_signal_id=first.signal_id))
        show(0, BEYOND, BEYOND)
        show(1, BEYOND * 1.003, BEYOND * 1.003)
        second = instance.next_signal()

    assert outcomes == {"quote_valid": 2, "threshold": 2}
    assert handed_over == (1 if instance.is_native else 0)
    assert (first.signal_id, second.signal_id) == ((1 << 32) + 1, (1 << 32) + 2)
    assert instance.count("handed_over_price_total") == (4 if instance.is_native else 0)


def test_the_quote_that_ends_a_sleep_waits_for_the_clock(instance: Instance) -> None:
    """A maintenance window may have begun, or other settings be in force: Python reads that first."""
    instance.feeds_are_up()
    instance.executor_says()
    with in_this_process(instance, NativeDetector) as detector:
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)

        detector.park(0.0)(detector)
        assert instance.count("quotes_total") == 0

        assert detector.do_work(time.monotonic_ns()) == 2
        assert instance.count("quotes_total") == 2


def test_a_turn_that_python_has_cut_goes_on_where_it_stopped(instance: Instance) -> None:
    """Quotes that come to another venue meanwhile wait for the next turn, as Python's own turn has it."""

    class Interrupted(NativeDetector):
        def _decide_in_python(self, quote: Quote, seen_mono_ns: int) -> None:
            super()._decide_in_python(quote, seen_mono_ns)
            instance.publish(1, 100.2, 100.3)

    instance.feeds_are_up()
    instance.executor_says()
    with in_this_process(instance, Interrupted) as detector:
        instance.publish(1, BEYOND, BEYOND)
        assert detector.do_work(time.monotonic_ns()) == 1
        instance.publish(0, BEYOND, BEYOND)  # Python's, which shows the other venue's next quote
        instance.publish(0, 99.9, 100.0)

        assert detector.do_work(time.monotonic_ns()) == 2
        assert instance.count("handed_over_price_total") == 2
        assert detector.has_work()


def test_a_record_larger_than_ours_is_not_taken_in(instance: Instance) -> None:
    """A table of another version may have larger slots; what lies behind the view in memory stays."""
    instance.feeds_are_up()
    path = instance.directory / "larger"
    SlotTable.create(path, count=1, capacity=2 * PAIR_VIEW.size)
    larger = SlotTable.attach(path, writer=True)
    larger.write(0, b"\xff" * 2 * PAIR_VIEW.size)
    with in_this_process(instance, NativeDetector) as detector:
        detector._core.views = slots_in_c(larger)
        before = bytes(detector._pairs_c[0])
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)
        assert detector.do_work(time.monotonic_ns()) == 2
        after = bytes(detector._pairs_c[0])

    start, end = PairC.view.offset, PairC.pending_id.offset
    assert after[start:end] == before[start:end], "neither view, nor whether there is one"
    assert instance.outcomes()["pair_state"] > 0
    larger.close()


def test_a_closed_detector_is_not_asked(instance: Instance) -> None:
    """Its memory is unmapped: C would read what is no longer there."""
    with in_this_process(instance, NativeDetector) as detector:
        assert not detector.has_work()

    with pytest.raises(AttributeError, match="_core"):
        detector.has_work()


def test_levels_that_a_book_counts_and_does_not_bring_are_none(instance: Instance) -> None:
    """Where it would lie in memory stands the book before it, which had enough."""
    instance.feeds_are_up()
    instance.executor_says()
    with in_this_process(instance, NativeDetector) as detector:
        for _ in range(2):  # which confirm
            show_thin(instance, asks=[(e8(100.0), e8(10.0))] * 20)
            detector.do_work(time.monotonic_ns())
        deep = instance.outcomes()["signals"]
        signal_id = instance.next_signal().signal_id
        instance.executor_says(a_view(last_signal_id=signal_id))
        for _ in range(2):
            show_thin(instance, asks=[(e8(100.0), e8(10.0))] * 20)
            count_only = DEPTH_HEAD.pack(0, 20, time.monotonic_ns(), 0, 1)
            instance._depth["vest"].write(0, count_only)
            detector.do_work(time.monotonic_ns())

    assert deep == 1
    assert instance.outcomes()["signals"] == deep
    assert instance.outcomes()["size"] > 0


def show_thin(instance: Instance, asks: list[tuple[int, int]]) -> None:
    """A wide market whose first leg has little at the touch; its book is the argument's."""
    instance.publish_depth(0, DepthBook([], asks, time.monotonic_ns(), 0, is_valid=True))
    instance.publish(1, 100.2, 100.3)
    instance.publish(0, 99.9, 100.0, size=0.1)


def test_a_signal_wakes_the_executor_that_sleeps(instance: Instance) -> None:
    instance.feeds_are_up()
    instance.executor_says()
    instance.memory.doorbell("executor").announce_sleep()
    with in_this_process(instance, NativeDetector, TWICE) as detector:
        show_wide(instance, detector)
        with pytest.raises(BlockingIOError):
            os.eventfd_read(instance.bells["executor"])
        show_wide(instance, detector)

    assert instance.count("signals.btc") == 1
    assert os.eventfd_read(instance.bells["executor"]) == 1


def test_what_confirmed_one_signal_confirms_no_other(instance: Instance) -> None:
    instance.feeds_are_up()
    instance.executor_says()
    with in_this_process(instance, NativeDetector, TWICE) as detector:
        show_wide(instance, detector)
        show_wide(instance, detector)
        instance.executor_says(a_view(last_signal_id=instance.next_signal().signal_id))
        show_wide(instance, detector)
        assert instance.count("signals.btc") == 1
        show_wide(instance, detector)

    assert instance.count("signals.btc") == 2


def test_a_quote_whose_checksum_does_not_match_is_not_taken(instance: Instance) -> None:
    instance.feeds_are_up()
    ring = instance._rings["vest"]
    with in_this_process(instance, NativeDetector) as detector:
        instance.publish(0, 99.9, 100.0)
        body = ring._cell_word(ring.tail) + CELL_OVERHEAD // 8
        ring._words[body + 1] ^= 1
        assert detector.do_work(time.monotonic_ns()) == 0

        ring._words[body + 1] ^= 1
        assert detector.do_work(time.monotonic_ns()) == 1


def test_a_view_whose_checksum_does_not_match_is_none(instance: Instance) -> None:
    instance.feeds_are_up()
    instance.executor_says()
    instance._views.table._words[(OVERHEAD + PAIR_VIEW.size) // 8 - 1] ^= 1  # of what decides nothing
    with in_this_process(instance, NativeDetector) as detector:
        show_wide(instance, detector)
        assert "signals" not in instance.outcomes()

        instance.executor_says()
        show_wide(instance, detector)

    assert instance.outcomes()["signals"] == 1


def test_every_signal_comes_whole_when_the_queue_goes_round(instance: Instance) -> None:
    instance.feeds_are_up()
    instance.executor_says()
    numbers = []
    with in_this_process(instance, NativeDetector) as detector:
        for _ in range(3 * instance.signals.capacity // SIGNAL.size):
            show_wide(instance, detector)
            assert instance.signals.has_more()
            numbers.append(instance.next_signal().signal_id)
            instance.executor_says(a_view(last_signal_id=numbers[-1]))

    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def show_wide(instance: Instance, detector: NativeDetector) -> None:
    """One quote of a gap that is worth a signal once it is confirmed, and a turn on it."""
    if not instance.count("quotes_total"):
        instance.publish(1, 100.2, 100.3)
        detector.do_work(time.monotonic_ns())
    instance.publish(0, 99.9, 100.0)
    detector.do_work(time.monotonic_ns())


@contextmanager
def in_this_process(
    instance: Instance, kind: type[NativeDetector], strategy: dict[str, Any] | None = None
) -> Iterator[NativeDetector]:
    if not instance.is_native:
        pytest.skip("of the compiled one alone")
    settings = parse_settings({**RAW_SETTINGS, "strategy": strategy or {}}, "config.yaml")
    detector = kind(
        load_detector(),
        instance.memory.doorbell("detector"),
        instance.memory,
        instance.memory.counters("detector", writer=True),
        settings,
        [rules_for(settings, 0, instance.instruments)],
        Reporter("detector", run_id="r", level=None),
        epoch=1,
    )
    try:
        yield detector
    finally:
        detector.on_close()
