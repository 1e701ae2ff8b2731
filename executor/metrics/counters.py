"""The executor's counters, by name."""

from __future__ import annotations

from shm.counters import CounterTable


class ExecutorCounters:
    """Writes the executor's row of counters; ``shm.counter_names`` says what each one means."""

    def __init__(self, table: CounterTable) -> None:
        self._table = table
        self._index = {name: table.index(name) for name in table.names}

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        self._table.add(self._index[name], amount)

    def value(self, name: str) -> int:
        """What a counter says now."""
        return self._table.get(self._index[name])

    def set(self, name: str, value: int) -> None:
        """Show a value that goes up and down."""
        self._table.set(self._index[name], value)
