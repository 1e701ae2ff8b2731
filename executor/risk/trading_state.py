"""What others have switched: a stop asked for, entries paused, the kill latch, a journal that is full."""

from __future__ import annotations

from runtime.bootstrap import Stop
from runtime.kill_switch import KillSwitch
from runtime.operator_orders import StandingOrders
from shm.counters import CounterTable


class TradingState:
    """The supervisor's and persistence's words in shared memory, our own SIGTERM, and the kill latch."""

    def __init__(
        self,
        supervisor: CounterTable,
        persistence: CounterTable,
        latch: KillSwitch,
        orders: StandingOrders,
        stop: Stop,
    ) -> None:
        self.latch = latch
        self.orders = orders
        self._supervisor = supervisor
        self._persistence = persistence
        self._stop = stop
        self._stopping_word = supervisor.index("stopping")
        self._paused_word = supervisor.index("entries_paused")
        self._held_word = supervisor.index("entries_held")
        self._journal_full_word = persistence.index("journal_full")
        self._lease_lost_word = persistence.index("lease_lost")

    @property
    def was_terminated(self) -> bool:
        """We ourselves are to end now."""
        return self._stop.is_set()

    @property
    def is_stopping(self) -> bool:
        """The instance is being stopped; our own transition may be still to come."""
        return self._stop.is_set() or self._supervisor.get(self._stopping_word) != 0

    @property
    def is_paused(self) -> bool:
        """By the word, which the very next entry sees, or by one of the files, which outlive the word; or for
        the moment in which settings change."""
        return self._supervisor.get(self._paused_word) != 0 or self.orders.is_paused or self.held > 0

    @property
    def held(self) -> int:
        """Above 0 while settings change."""
        return self._supervisor.get(self._held_word)

    @property
    def is_lease_lost(self) -> bool:
        """Another instance has taken our account."""
        return self._persistence.get(self._lease_lost_word) != 0

    @property
    def is_journal_full(self) -> bool:
        return self._persistence.get(self._journal_full_word) != 0

    def close(self) -> None:
        self.latch.close()
        self._supervisor.close()
        self._persistence.close()
