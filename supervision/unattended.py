"""Whether a start that cannot be would leave something unattended: then it must be tried again.

Exit code 2 is for a person to correct, and systemd does not try again after it. With a position open that
would leave it alone until somebody looks: there the code is 3, whatever the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from persistence.journal import JournalError, files
from persistence.restore import holdings_of, is_held
from persistence.salvage import unread_memories
from runtime.bootstrap import EXIT_UNUSABLE
from settings import PROJECT, PersistenceSettings, RuntimeSettings, SettingsError, load_raw

EXIT_NOT_YET: Final = (
    3  # the same start may do later: a venue is away, or something is held and it must not end
)


def may_be_held(journal_dir: Path) -> bool:
    """Whether a journal tells of a position or of an order without an end, or cannot be read."""
    try:
        if not files(journal_dir):
            return False
        return any(is_held(pair) for pair in holdings_of(journal_dir).held())
    except (JournalError, OSError):
        return True


def exit_code_of_refusal(config: Path) -> int:
    """How a start ends that cannot be."""
    return EXIT_NOT_YET if is_unattended(config) else EXIT_UNUSABLE


def config_in(words: Sequence[str]) -> Path:
    """The configuration of a command line that cannot be parsed as a whole."""
    for word, following in zip(words, (*words[1:], ""), strict=True):
        if word in ("-c", "--config"):
            return Path(following)
        if word.startswith("--config="):
            return Path(word.partition("=")[2])
    return PROJECT / "config.yaml"


def is_unattended(config: Path) -> bool:
    """The same for all that a configuration may mean that cannot be used: by what can be read of it."""
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
    """Its journals of real money, and of virtual money in mode paper; everybody's where it is not said."""
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
