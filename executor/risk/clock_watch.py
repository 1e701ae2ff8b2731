"""Whether this host's clock and the venues' agree: beyond a second nothing is opened, and an alert is sent.

What closes or mends goes on: it is stamped with the venue's own time (``VenueClock``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from events.event import Event
from events.positions import ClockOff, ClockOn
from executor.gateways.contract import OrderGateway
from executor.metrics.counters import ExecutorCounters
from runtime.venue_clock import VenueClock

LIMIT_NS: Final = 1_000_000_000
AGREE_NS: Final = 500_000_000  # closer than this they agree again


class ClockWatch:
    """``poll`` is called now and then; ``off`` names the venues whose clocks and ours differ."""

    def __init__(
        self,
        gateways: Mapping[str, OrderGateway],
        venues: tuple[str, ...],
        report: Callable[[Event], object],
        counters: ExecutorCounters,
    ) -> None:
        self._gateways = gateways
        self._venues = venues
        self._report = report
        self._counters = counters
        self.off: set[str] = set()

    def poll(self) -> None:
        """Compare the clocks, and report those that have begun or ceased to differ."""
        clocks = {
            venue: gateway.clock
            for venue, gateway in self._gateways.items()
            if isinstance(gateway.clock, VenueClock)
        }
        offsets_ns = {venue: clock.offset_ns() for venue, clock in clocks.items()}
        before, self.off = (
            self.off,
            {
                venue
                for venue, clock in clocks.items()
                if abs(clock.off_by_ns()) > LIMIT_NS
                or (venue in self.off and abs(offsets_ns[venue]) > AGREE_NS)
            },
        )
        for venue in sorted(self.off - before):
            self._report(
                ClockOff(
                    venue=venue,
                    offset_ms=offsets_ns[venue] / 1e6,
                    limit_ms=LIMIT_NS / 1e6,
                    detail=self._remedy(venue, clocks, offsets_ns),
                )
            )
        for venue in sorted(before - self.off):
            self._report(ClockOn(venue=venue, offset_ms=offsets_ns[venue] / 1e6))
        worst = max(self._venues, key=lambda venue: abs(offsets_ns.get(venue, 0)))
        self._counters.set("clock_offset_us", offsets_ns.get(worst, 0) // 1_000)
        self._counters.set("clock_offset_venue", self._venues.index(worst))

    def _remedy(self, venue: str, clocks: Mapping[str, VenueClock], offsets_ns: Mapping[str, int]) -> str:
        lead_s = -offsets_ns[venue] / 1e9
        ours = f"this host's clock is {abs(lead_s):.1f} s {'ahead of' if lead_s > 0 else 'behind'}"
        others = [
            other
            for other, clock in clocks.items()
            if other != venue and clock.is_known and abs(offsets_ns[other]) <= AGREE_NS
        ]
        if others:
            whose = f"{ours} {venue}'s and agrees with {', '.join(others)}: look at {venue}'s status page"
        else:
            whose = f"{ours} the venues': set it (chronyc makestep, or start chrony or systemd-timesyncd)"
        return f"{whose}. Nothing is opened until they agree; what closes is stamped with the venue's time"
