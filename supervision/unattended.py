"""Chooses the exit code of a refused start: 3, try again, while a position may be open; otherwise 2.

Exit code 2 is for a person to correct, and systemd does not try again after it. An open position would then
stay unattended until somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from persistence.journal import JournalError, files
from persistence.restore import holdings_of, is_held
from persistence.salvage import unread_memories
from runtime.bootstrap import EXIT_UNUSABLE
from settings import PROJECT, PersistenceSettings, RuntimeSettings, SettingsError, load_raw

# The same start may succeed later: a venue is away, or a position may be open and needs its executor.
EXIT_NOT_YET: Final = 3


def may_be_held(journal_dir: Path) -> bool:
    """Whether a journal has an open position or an order without an end, or cannot be read."""
    try:
        if not files(journal_dir):
            return False
        return any(is_held(pair) for pair in holdings_of(journal_dir).held())
    except (JournalError, OSError):
        return True


def exit_code_of_refusal(config: Path) -> int:
    """The exit code of a start that is refused."""
    return EXIT_NOT_YET if is_unattended(config) else EXIT_UNUSABLE


@contextmanager
def refused_command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Parse ``arguments`` within: argparse ends a refused command line with 2, which may have to be 3."""
    try:
        yield
    except SystemExit as error:
        if error.code == EXIT_UNUSABLE:
            raise SystemExit(exit_code_of_refusal(config_in(arguments))) from None
        raise


def config_in(arguments: Sequence[str]) -> Path:
    """The configuration of a command line that cannot be parsed as a whole."""
    for number, argument in enumerate(arguments):
        if argument in ("-c", "--config"):
            return Path(*arguments[number + 1 : number + 2])
        if argument.startswith("--config="):
            return Path(argument.partition("=")[2])
    return PROJECT / "config.yaml"


def is_unattended(config: Path) -> bool:
    """Whether a position may be open, by what can be read of a configuration that cannot be used."""
    try:
        raw = load_raw(config)
    except (SettingsError, OSError, ValueError):
        raw = None
    top = raw if isinstance(raw, Mapping) else {}
    journals = PROJECT / _text(top, "persistence", "var_dir", PersistenceSettings().var_dir) / "journal"
    bot_id = top.get("bot_id")
    if isinstance(bot_id, str) and (left := _memory_left(top, bot_id)):
        return left
    return any(may_be_held(path) for path in _of_bot(journals, bot_id, top.get("mode")))


def _of_bot(journals: Path, bot_id: object, mode: object) -> Iterator[Path]:
    """The bot's live journal, and its paper one in mode paper; every bot's where bot_id is missing."""
    modes = ("live", "paper") if mode not in ("live", "sim") else ("live",)
    name = bot_id if isinstance(bot_id, str) else "*"
    for mode in modes:
        yield from journals.glob(f"{name}-{mode}")


def _memory_left(raw: Mapping[str, Any], bot_id: str) -> bool:
    """Whether a killed run left its memory: it may know of more than the journal does."""
    directory = Path(_text(raw, "runtime", "memory_dir", RuntimeSettings().memory_dir)) / f"tandem-{bot_id}"
    left = (directory, directory.with_name(f"{directory.name}.left"), *unread_memories(directory))
    return raw.get("mode") != "sim" and any(path.is_dir() for path in left)


def _text(raw: Mapping[str, Any], section: str, key: str, default: str) -> str:
    inner = raw.get(section)
    value = inner.get(key) if isinstance(inner, Mapping) else None
    return value if isinstance(value, str) else default
