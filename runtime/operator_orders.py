"""Keeps the operator's standing orders on disk: entries paused, pairs closed and kept closed.

Instructions given through the control socket lie in one small file beside the journal. The supervisor
alone writes it; the executor reads it a few times a second. They outlive processes, instances and
reboots: only ``resume`` lifts them. Without the socket, ``touch pause-<bot_id>`` beside that file pauses
entries for as long as it exists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from observability.plain_text import plain
from runtime.atomic_file import write_atomically
from settings import PROJECT, Settings
from shm.entry_block import EntryBlock

# Why such a pair is closed and kept closed, as the pair machine knows it.
FORCED_EXIT: Final = EntryBlock.FORCED_EXIT.text


class Instruction(NamedTuple):
    """One thing the operator has ordered until further notice."""

    by: str  # who or what has given it
    since: str  # RFC 3339, UTC
    reason: str = ""


class Instructions(NamedTuple):
    """Every instruction in force. ``number`` grows with every change."""

    number: int = 0
    paused: Instruction | None = None
    forced: Mapping[str, Instruction] = {}  # by the pair's id in config.yaml

    @property
    def is_known(self) -> bool:
        """Whether these were read, and are not the stand-in for a file that cannot be read."""
        return self.number > 0 or self.paused is None


def instructions_file(settings: Settings) -> Path:
    """``standing-<bot_id>.json`` under ``persistence.var_dir``."""
    return PROJECT / settings.persistence.var_dir / f"standing-{settings.bot_id}.json"


def pause_file(settings: Settings) -> Path:
    """``pause-<bot_id>`` under ``persistence.var_dir``: entries are paused while it exists."""
    return PROJECT / settings.persistence.var_dir / f"pause-{settings.bot_id}"


def read_instructions(path: Path) -> Instructions:
    """The instructions in force; none without a file.

    A file that cannot be read pauses, for it may say just that. ``resume`` writes it anew.
    """
    try:
        # Any encoding: an instruction is obeyed even where its reason cannot be read.
        content: dict[str, Any] = json.loads(path.read_bytes().decode("utf-8", errors="replace"))
        forced = {pair: _instruction(kept) for pair, kept in content["forced"].items()}
        paused = _instruction(content["paused"]) if content["paused"] is not None else None
        return Instructions(int(content["number"]), paused, forced)
    except FileNotFoundError:
        return Instructions()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        return Instructions(
            0, Instruction("nobody", "", f"{path} cannot be read ({error}); resume writes it anew")
        )


def _instruction(kept: dict[str, str]) -> Instruction:
    """An instruction with its texts made printable. Raises TypeError where one is no text."""
    if not all(isinstance(text, str) for text in kept.values()):
        raise TypeError(f"{kept} is no instruction")
    return Instruction(**{name: plain(text) for name, text in kept.items()})


def write_instructions(path: Path, instructions: Instructions) -> None:
    """Put the instructions on disk before anybody acts on them. Raises OSError; then nothing has changed."""
    content = {
        "number": instructions.number,
        "paused": instructions.paused._asdict() if instructions.paused else None,
        "forced": {pair: order._asdict() for pair, order in instructions.forced.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content), is_durable=True)


class StandingOrders:
    """Both files as the executor reads them."""

    def __init__(self, settings: Settings) -> None:
        self.path = instructions_file(settings)
        self.pause_path = pause_file(settings)
        self.instructions = Instructions()
        self.is_pause_file_there = True  # until the first poll
        self._seen: tuple[int, int, int] | None = None
        self.look()

    @property
    def is_paused(self) -> bool:
        """Whether either file pauses entries."""
        return self.is_pause_file_there or self.instructions.paused is not None

    def look(self) -> None:
        """Read both files anew; not on the hot path.

        A disk that cannot say whether the pause file exists counts as a pause: to end the process instead
        would leave its positions unattended.
        """
        try:
            self.is_pause_file_there = self.pause_path.exists()
        except OSError:
            self.is_pause_file_there = True
        try:
            status = self.path.stat()
            seen = status.st_ino, status.st_mtime_ns, status.st_size
        except OSError:
            seen = None  # absent, or reading it below shows why
        if seen is None or seen != self._seen:
            self._seen = seen
            self.instructions = self._read()

    def _read(self) -> Instructions:
        instructions = read_instructions(self.path)
        if (
            not instructions.is_known
        ):  # forced exits stay in force; the next poll may be able to read the file
            self._seen = None
            return instructions._replace(forced=self.instructions.forced)
        return instructions
