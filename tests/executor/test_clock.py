"""The host's clock steps while something is held: told, nothing is opened, and what closes is not refused."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from shm.records import PairPhase
from tests.executor.harness import a_harness

# As the host's clock would: everything that reads the wall clock in the process sees it.
_WALL = """
import mmap, os, struct, time
offset = mmap.mmap(os.open({path!r}, os.O_RDONLY), 8, prot=mmap.PROT_READ)
time_ns, seconds = time.time_ns, time.time
time.time_ns = lambda: time_ns() + struct.unpack_from("<q", offset)[0]
time.time = lambda: seconds() + struct.unpack_from("<q", offset)[0] / 1e9
"""


class Wall:
    """The executor's wall clock, to be set."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        self.prelude = _WALL.format(path=str(path))
        self._file = path.open("r+b")
        self._offset = mmap.mmap(self._file.fileno(), 8)

    def set(self, ahead_s: float) -> None:
        self._offset[:] = int(ahead_s * 1e9).to_bytes(8, "little", signed=True)


@pytest.mark.parametrize("ahead_s", [30.0, -30.0])
async def test_a_step_of_the_clock_stops_entries_and_closes_all_the_same(
    tmp_path: Path, ahead_s: float
) -> None:
    wall = Wall(tmp_path / "offset")
    async with a_harness() as harness:
        await harness.start(prelude=wall.prelude)
        await harness.open()
        wall.set(ahead_s)
        reported = {
            venue: await harness.until_logged("clock_off", venue=venue) for venue in ("vest", "paradex")
        }
        for line in reported.values():
            assert abs(line["offset_ms"] + ahead_s * 1e3) < 15_000
            assert "this host's clock" in line["detail"]
            assert "chronyc" in line["detail"]
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert not harness.logged("leg_rejected")
        assert harness.positions_e8 == (0, 0)

        harness.show("paradex", 50_050, 50_051)
        harness.enter()
        refused = await harness.until_logged("signal_refused")
        assert refused["gate"] == "clock_off"
        assert harness.view is not None
        assert not harness.view.entries_allowed

        wall.set(0)
        await harness.until_logged("clock_on", venue="vest")
        await harness.until_logged("clock_on", venue="paradex")
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1, "entries")
        await harness.open()


async def test_a_start_with_a_wrong_clock_logs_in_and_opens_nothing(tmp_path: Path) -> None:
    wall = Wall(tmp_path / "offset")
    wall.set(45)
    async with a_harness() as harness:
        await harness.start(prelude=wall.prelude, wait_ready=False)
        await harness.until_logged("clock_off", venue="paradex")
        await harness.until_logged("venue_ready", venue="paradex")
        await harness.until_logged("venue_ready", venue="vest")
        wall.set(0)
        await harness.until(
            lambda: harness.view is not None and harness.view.entries_allowed == 1, "entries", 60
        )


@pytest.mark.parametrize("venue", ["vest", "paradex"])
async def test_a_venue_whose_own_clock_is_wrong_is_named(venue: str) -> None:
    async with a_harness() as harness:
        await harness.start()
        harness.simulator.clocks[venue].ahead_ms = -8_000
        line = await harness.until_logged("clock_off", venue=venue)
        other = "paradex" if venue == "vest" else "vest"
        assert f"agrees with {other}" in line["detail"]
        assert not harness.logged("clock_off", venue=other)
        harness.simulator.clocks[venue].ahead_ms = 0
        await harness.until_logged("clock_on", venue=venue)


async def test_on_a_machine_that_has_just_booted_nothing_waits_for_an_interval_since_then() -> None:
    """The monotonic clock begins at the boot: what was never asked is due, however long the interval."""
    just_booted = (
        "import executor.housekeeping as housekeeping\n"
        "mono_s, booted_s = housekeeping.mono_s, []\n"
        "def since_boot(clock):\n"
        "    booted_s.append(mono_s(clock))\n"
        "    return booted_s[-1] - booted_s[0]\n"
        "housekeeping.mono_s = since_boot\n"
    )
    async with a_harness(execution__reconcile_interval_s=3_599.0, risk__max_margin_age_s=3_600.0) as harness:
        await harness.start(prelude=just_booted)
        assert harness.counter("entry_blocks") == 0
