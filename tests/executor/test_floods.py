"""What may come a thousand times a second costs no disk: the journal has a lot of it and counts the rest."""

from __future__ import annotations

from functools import partial

from events.event import FLOOD_BURST, KEPT_TIMES
from shm.records import PairPhase
from tests.executor.harness import SIZE_E8, Harness, a_harness

RUBBISH = 3_000
EXPIRED = 300
BATCH = 20  # what the signal queue of the test has room for


def is_counted(harness: Harness, count: int) -> bool:
    return harness.counter("signals_refused_total") == count


def told_and_kept_back(harness: Harness, event: str) -> tuple[int, int]:
    lines = harness.logged(event)
    return len(lines), sum(line.get("kept_back", 0) for line in lines)


async def test_rubbish_on_the_private_stream_is_counted_and_does_not_stop_the_trading() -> None:
    """A venue, or a proxy before it, that has gone mad for a while."""
    async with a_harness() as harness:
        await harness.start()
        (session,) = harness.simulator.fronts["vest"]._hub.chosen("private")  # type: ignore[attr-defined]
        sent = 0

        def a_later_line_has_counted() -> bool:
            nonlocal sent
            session.push(b"rubbish")
            sent += 1
            return told_and_kept_back(harness, "frame_refused")[1] > RUBBISH // 2

        for _ in range(RUBBISH):
            session.push(b"rubbish")
        sent += RUBBISH
        await harness.until(a_later_line_has_counted)
        lines, kept_back = told_and_kept_back(harness, "frame_refused")
        seconds = (harness.lines[-1]["mono_ns"] - harness.logged("frame_refused")[0]["mono_ns"]) / 1e9

        assert lines <= KEPT_TIMES * (FLOOD_BURST + seconds + 1)
        assert lines + kept_back <= sent
        await harness.open()
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert harness.phase is PairPhase.HEDGED


async def test_signals_that_are_refused_one_after_the_other_are_counted() -> None:
    """A slow executor and a wild market: every signal comes too late."""
    async with a_harness() as harness:
        await harness.start()
        for batch in range(1, EXPIRED // BATCH + 1):
            for _ in range(BATCH):
                harness.enter(ttl_ms=-1)
            await harness.until(partial(is_counted, harness, batch * BATCH))
        reported = harness.logged("signal_refused")

        assert len(reported) == EXPIRED
        assert {line["gate"] for line in reported} == {"signal_age"}
