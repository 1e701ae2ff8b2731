"""What the operator has ordered until further notice: entries paused, pairs closed and kept closed.

Orders given through the control socket lie in one small file beside the journal, written by the
supervisor alone and read by the executor a few times a second. They outlive processes, instances and
reboots: only ``resume`` lifts them. Beside it lies the switch for whom SSH is all there is: while
``pause-<bot_id>`` exists, made with nothing but ``touch``, entries are paused, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from observability.plain_text import plain
from settings import PROJECT, Settings
from shm.entry_block import EntryBlock

# Why such a pair is closed and kept closed, as the pair machine knows it.
FORCED_EXIT: Final = EntryBlock.FORCED_EXIT.text


class Instruction(NamedTuple):
    """One order of the operator."""

    by: str  # who or what has given it
    since: str  # RFC 3339, UTC
    reason: str = ""


class Standing(NamedTuple):
    """Every order that stands. ``number`` grows with every change."""

    number: int = 0
    paused: Instruction | None = None
    forced: Mapping[str, Instruction] = {}  # by the pair's id in config.yaml

    @property
    def is_known(self) -> bool:
        """Whether these are the orders as given, and not what holds while their file cannot be read."""
        return self.number > 0 or self.paused is None


def standing_file(settings: Settings) -> Path:
    """``standing-<bot_id>.json`` under ``persistence.var_dir``."""
    return PROJECT / settings.persistence.var_dir / f"standing-{settings.bot_id}.json"


def pause_file(settings: Settings) -> Path:
    """``pause-<bot_id>`` under ``persistence.var_dir``: entries are paused while it exists."""
    return PROJECT / settings.persistence.var_dir / f"pause-{settings.bot_id}"


def read_standing(path: Path) -> Standing:
    """The orders that stand; none without a file. A file that cannot be read pauses: what it says may be
    just that. ``resume`` writes it anew."""
    try:
        # Whatever it was written with: an order is obeyed also where its reason cannot be read.
        content: dict[str, Any] = json.loads(path.read_bytes().decode("utf-8", errors="replace"))
        forced = {pair: _order(order) for pair, order in content["forced"].items()}
        paused = _order(content["paused"]) if content["paused"] is not None else None
        return Standing(int(content["number"]), paused, forced)
    except FileNotFoundError:
        return Standing()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        unreadable = f"{path} cannot be read ({error}); resume writes it anew"
        return Standing(0, Instruction("nobody", "", unreadable))


def _order(kept: dict[str, str]) -> Instruction:
    """An order with its texts as they may be shown and logged. Raises TypeError for what is none."""
    if not all(isinstance(text, str) for text in kept.values()):
        raise TypeError(f"{kept} is no order")
    return Instruction(**{name: plain(text) for name, text in kept.items()})


def write_standing(path: Path, standing: Standing) -> None:
    """Put the orders on disk, whole or not at all, before anybody acts on them. Raises OSError."""
    content = {
        "number": standing.number,
        "paused": standing.paused._asdict() if standing.paused else None,
        "forced": {pair: order._asdict() for pair, order in standing.forced.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    with open(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # the new name, too, outlives the power
    finally:
        os.close(directory)


class StandingOrders:
    """Both files as the executor sees them."""

    def __init__(self, settings: Settings) -> None:
        self.path = standing_file(settings)
        self.pause_path = pause_file(settings)
        self.standing = Standing()
        self.is_pause_file_there = True  # until it was looked for
        self._seen: tuple[int, int, int] | None = None
        self.look()

    @property
    def is_paused(self) -> bool:
        return self.is_pause_file_there or self.standing.paused is not None

    def look(self) -> None:
        """Look at both files; off the hot path. A disk that does not say whether there is a pause file
        pauses, and ends nobody who has positions to look after."""
        try:
            self.is_pause_file_there = self.pause_path.exists()
        except OSError:
            self.is_pause_file_there = True
        try:
            status = self.path.stat()
            seen = status.st_ino, status.st_mtime_ns, status.st_size
        except OSError:
            seen = None  # not there, or reading it says why not
        if seen is None or seen != self._seen:
            self._seen = seen
            self.standing = self._read()

    def _read(self) -> Standing:
        standing = read_standing(self.path)
        if not standing.is_known:  # what was to be closed still is; the next look may be able to read it
            self._seen = None
            return standing._replace(forced=self.standing.forced)
        return standing
