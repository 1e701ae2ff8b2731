"""Shows progress bars of replays, on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from observability.standard_streams import for_drawing


@contextmanager
def replay_bars(quotes: int) -> Iterator[Callable[[str], Callable[[int], None]]]:
    """``bar(label)`` begins a bar over that many quotes and returns the function that advances it."""
    console = Console(file=for_drawing(sys.stderr))
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def bar(label: str) -> Callable[[int], None]:
            task = progress.add_task(label, total=quotes)
            return lambda done: progress.update(task, completed=done)

        yield bar
