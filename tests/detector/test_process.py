"""The real detector process over real shared memory; the test is feeds, executor and persistence."""

from __future__ import annotations

import signal

import pytest

from shm.counter_names import handed_over
from shm.records import PairPhase, SignalKind
from tests.detector.builders import a_book, a_view, e8
from tests.detector.instance import Instance
from tests.waiting import wait_until


def test_a_gap_becomes_one_signal_until_the_executor_has_consumed_it(instance: Instance) -> None:
    """Its number, prices and times are right; the second waits for the executor's word."""
    instance.feeds_are_up()
    instance.executor_says()
    with instance.detector(epoch=3):
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)
        found = instance.next_signal()

        assert (found.signal_id, found.writer_epoch, found.pair_id) == ((3 << 32) + 1, 3, 0)
        assert (found.kind, found.direction, found.layer, found.size_e8) == (SignalKind.ENTER, 1, 0, e8(1))
        assert (found.first_price_e8, found.second_price_e8) == (e8(100.0), e8(100.2))
        assert round(found.spread_bps, 6) == 20.0
        assert found.edge_bps == found.spread_bps - 4.0  # four taker orders at 1 bps
        assert (
            found.recv_mono_ns
            <= found.publish_mono_ns
            <= found.seen_mono_ns
            <= found.decided_mono_ns
            == found.expires_mono_ns - 60_000 * 1_000_000
        )

        instance.publish(0, 99.9, 100.0)
        wait_until(lambda: instance.outcomes().get("pair_state") == 1)
        assert not instance.signals.has_more()

        instance.executor_says(a_view(last_signal_id=found.signal_id))
        instance.publish(0, 99.9, 100.0)
        assert instance.next_signal().signal_id == found.signal_id + 1


def test_a_hedged_pair_gets_its_exit(instance: Instance) -> None:
    """The gap has closed: long first at 100, short second at 100."""
    instance.feeds_are_up()
    instance.executor_says(
        a_view(PairPhase.HEDGED, direction=1, size_e8=e8(1), layers_open=1, opened_mono_ns=1)
    )
    with instance.detector():
        instance.publish(0, 100.0, 100.1)
        instance.publish(1, 99.9, 100.0)
        found = instance.next_signal()

    assert (found.kind, found.direction, found.size_e8, found.edge_bps) == (SignalKind.EXIT, 1, e8(1), 0.0)
    assert (found.first_price_e8, found.second_price_e8) == (e8(100.0), e8(100.0))


def test_a_thin_touch_is_helped_by_the_depth_slot(instance: Instance) -> None:
    """The book in shared memory, not only the quote, decides about size."""
    instance.feeds_are_up()
    instance.executor_says()
    with instance.detector():
        instance.publish(1, 100.2, 100.3)
        instance.publish(0, 99.9, 100.0, size=0.5)
        wait_until(lambda: instance.outcomes().get("size") == 1)
        book = a_book(bids=[], asks=[(100.0, 0.5), (100.01, 0.5)])
        instance.publish_depth(0, book._replace(recv_mono_ns=2**62))
        instance.publish(0, 99.9, 100.0, size=0.5)
        assert instance.next_signal().size_e8 == e8(1)


def test_every_evaluation_is_accounted_for(instance: Instance) -> None:
    """evaluations = signals + refusals, whatever came; two evaluations for every quote."""
    instance.feeds_are_up()
    instance.executor_says()
    with instance.detector():
        for step in range(50):
            instance.publish(0, 99.9, 100.0)
            instance.publish(1, 100 + step / 100, 100.4 + step / 100)
            wait_until(lambda expected=2 * (step + 1): instance.count("quotes_total") == expected)  # type: ignore[misc]

        wait_until(lambda: instance.count("evaluations.btc") == 200)
        outcomes = instance.outcomes()

    assert sum(outcomes.values()) == 200
    assert outcomes["signals"] == 1
    assert {"quote_valid", "threshold", "pair_state"} <= outcomes.keys()


def test_without_its_feeds_nothing_is_traded(instance: Instance) -> None:
    """Quotes that look fine in the ring, and counters that say nobody stands behind them."""
    instance.executor_says()
    with instance.detector():
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)
        wait_until(lambda: instance.count("quotes_total") == 2)
        wait_until(lambda: instance.outcomes() == {"feed_alive": 4})


def test_a_restarted_detector_knows_the_quotes_it_did_not_see(instance: Instance) -> None:
    """It starts behind the newest record of each ring; the slots hold what stands."""
    instance.feeds_are_up()
    instance.executor_says()
    instance.publish(1, 100.2, 100.3)
    with instance.detector():
        instance.publish(0, 99.9, 100.0)
        assert instance.next_signal().second_price_e8 == e8(100.2)


def test_being_overtaken_is_counted_said_and_mended_from_the_slots(instance: Instance) -> None:
    """A stopped detector misses what the ring no longer holds, and resumes with what is true now."""
    instance.feeds_are_up()
    instance.executor_says()
    with instance.detector() as process:
        instance.publish(1, 100.0, 100.1)
        wait_until(lambda: instance.count("quotes_total") == 1)
        process.send_signal(signal.SIGSTOP)
        for _ in range(200):
            instance.publish(0, 99.9, 100.0)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: instance.count("overtaken_total") > 0)
        missed = instance.count("overtaken_total")
        wait_until(lambda: instance.count("quotes_total") == 1 + 200 - missed)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0

    logged = [event for event in instance.read_events() if event["event"] == "quotes_overtaken"]
    assert sum(event["quotes"] for event in logged) == missed
    assert {event["venue"] for event in logged} == {"vest"}


RATE = {"usd_per_usdc": {"venue": "paradex", "symbol": "USDC-USD-PERP", "max_age_ms": 3_600_000}}


@pytest.mark.parametrize("instance", [("python", RATE), ("native", RATE)], indirect=True)
def test_a_live_rate_is_read_from_its_own_instruments_quotes(instance: Instance) -> None:
    """102.5 USDC at 0.98 is 100.45 USD: Python decides, by a rate that was there before or comes later."""
    instance.feeds_are_up()
    instance.executor_says()
    instance.publish(2, 0.9799, 0.9801)
    with instance.detector():
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 102.5, 102.6)
        found = instance.next_signal()
        assert round(found.spread_bps, 6) == 45.0
        assert (found.first_price_e8, found.second_price_e8) == (e8(100.0), e8(102.5))

        instance.executor_says(a_view(last_signal_id=found.signal_id))
        instance.publish(2, 0.9755, 0.9757)
        instance.publish(0, 99.9, 100.0)
        wait_until(lambda: instance.outcomes().get("threshold", 0) >= 2)
        assert not instance.signals.has_more()
        wait_until(lambda: instance.count("quote_rate_e8.btc") == e8(0.9756))
        if instance.is_native:
            wait_until(lambda: instance.count(handed_over("rules")) >= 3)


@pytest.mark.parametrize("instance", [("python", RATE), ("native", RATE)], indirect=True)
def test_after_being_overtaken_the_rate_is_read_from_its_slot_too(instance: Instance) -> None:
    """The rate's own quote was among those that the ring has lost."""
    instance.feeds_are_up()
    instance.executor_says()
    instance.publish(2, 0.9755, 0.9757)
    with instance.detector() as process:
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 102.5, 102.6)
        wait_until(lambda: instance.count("quotes_total") >= 2)
        process.send_signal(signal.SIGSTOP)
        instance.publish(2, 0.9799, 0.9801)
        for _ in range(100):
            instance.publish(1, 102.5, 102.6)
        process.send_signal(signal.SIGCONT)
        assert round(instance.next_signal().spread_bps, 6) == 45.0


def test_sigterm_ends_it_cleanly_and_its_log_went_to_the_queue(instance: Instance) -> None:
    """Exit code 0, nothing on stdout or stderr, and the lines an operator looks for."""
    instance.feeds_are_up()
    instance.executor_says()
    with instance.detector() as process:
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)
        instance.next_signal()
        wait_until(lambda: instance.count("evaluations.btc") == 4)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")

    events = {event["event"]: event for event in instance.read_events()}
    assert list(events) == ["process_started", "signal", "refusals", "process_stopped"]
    assert events["signal"]["pair"] == "btc"
    assert events["signal"]["spread_bps"] == 20.0
    refusals = events["refusals"]
    assert refusals["evaluations"] == refusals["signals"] + sum(refusals["gates"].values()) == 4
    assert refusals["spreads_bps"] == [20.0, -39.88]  # 100.0 to 100.2 forward, 100.3 to 99.9 backward


def test_a_size_no_venue_takes_stops_the_start_with_the_remedy(instance: Instance) -> None:
    """Exit code 2 and one line, as for every unusable configuration."""
    instance.instruments = (instance.instruments[0]._replace(min_size_e8=e8(2)), instance.instruments[1])
    with instance.detector() as process:
        assert process.wait() == 2
        assert process.stderr is not None
        last = process.stderr.read().decode().splitlines()
    assert last == [
        "detector: pair btc: layer 1 of 1 is 1.00000000 BTC, below the minimum 2.00000000 of vest BTC-PERP; "
        "raise size_base or use fewer layers"
    ]


def test_keeping_warm_decides_nothing(instance: Instance) -> None:
    """The shadow sees the same quotes a hundred times; the confirmation counts those that came."""
    instance.feeds_are_up()
    instance.executor_says()
    with instance.detector(strategy={"confirm_ticks": 3}, runtime={"keep_warm_ms": 0.5}):
        instance.publish(0, 99.9, 100.0)
        instance.publish(1, 100.2, 100.3)
        instance.publish(0, 99.9, 100.0)
        wait_until(lambda: instance.outcomes().get("confirmation") == 2)
        beats: set[int] = set()
        while len(beats) < 100:
            beats.add(instance.count("heartbeat_mono_ns"))
        instance.feeds_are_up()
        assert not instance.signals.has_more()

        instance.publish(1, 100.2, 100.3)
        instance.next_signal()

    outcomes = instance.outcomes()
    assert outcomes["signals"] == 1
    assert sum(outcomes.values()) == instance.count("evaluations.btc") == 2 * instance.count("quotes_total")
