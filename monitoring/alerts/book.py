"""What is told of what stands: each condition once, again after a while, and its end.

Pure: time is handed in. A condition is known by its key; the same key within ``repeat_s`` is counted
instead of told, however often it comes and goes, and the count is told with the next message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from events.alerts import SeverityName


class Severity(IntEnum):
    INFO = 1  # worth knowing
    WARNING = 2  # something does not work as it should; trading is limited or may soon be
    CRITICAL = 3  # a leg, money or the whole is at stake: look now

    @property
    def word(self) -> SeverityName:
        return _SEVERITY_NAMES[self]


_SEVERITY_NAMES: Final[Mapping[Severity, SeverityName]] = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "critical",
}


class State(StrEnum):
    RAISED = "raised"  # it has begun to hold
    STANDING = "standing"  # it was told before and still holds
    RESOLVED = "resolved"  # it holds no more
    NOTICE = "notice"  # it happened, and is over with that


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now, or for a notice something that has happened."""

    kind: str  # one of settings.ALERT_KINDS
    key: str  # "halted.btc"; the same key is the same thing
    severity: Severity
    text: str
    after_s: float = 0.0  # told only once it has held this long


@dataclass(frozen=True, slots=True)
class Message:
    """What a person is told."""

    state: State
    condition: Condition
    held_s: float  # since it began; 0 for a notice
    unseen: int  # how often it came within repeat_s and was not told

    @property
    def text(self) -> str:
        condition = self.condition
        match self.state:
            case State.RESOLVED:
                text = f"over after {_duration(self.held_s)}: {condition.text}"
            case State.STANDING:
                text = f"still, for {_duration(self.held_s)}: {condition.text}"
            case _:
                text = condition.text
        return f"{text} ({self.unseen} more like it meanwhile)" if self.unseen else text


@dataclass(slots=True)
class _Entry:
    condition: Condition
    since_s: float
    told_s: float | None = None  # when this coming of it was told last


@dataclass(slots=True)
class Book:
    """Remembers what stands and what was told of it."""

    repeat_s: float
    remind_s: float  # 0: what stands is told once
    raised_total: int = 0
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _told_s: dict[str, float] = field(default_factory=dict)  # when a key's beginning was told last
    _unseen: dict[str, int] = field(default_factory=dict)
    _last: dict[str, Condition] = field(default_factory=dict)

    def update(
        self, now_s: float, conditions: Iterable[Condition], notices: Iterable[Condition] = ()
    ) -> list[Message]:
        """Take everything that holds now; return what is to be told, oldest first."""
        messages: list[Message] = []
        present = {condition.key: condition for condition in conditions}
        for key in [key for key in self._entries if key not in present]:
            entry = self._entries.pop(key)
            if entry.told_s is not None:
                held_s = now_s - entry.since_s
                messages.append(Message(State.RESOLVED, entry.condition, held_s, self._take_unseen(key)))
            elif now_s - entry.since_s >= entry.condition.after_s:
                self._count_unseen(entry.condition)
        for key, condition in present.items():
            entry = self._entries.setdefault(key, _Entry(condition, now_s))
            entry.condition = condition
            messages += self._tell(entry, now_s)
        for notice in notices:
            if self._may_tell(notice.key, now_s):
                self._note_told(notice, now_s)
                messages.append(Message(State.NOTICE, notice, 0.0, self._take_unseen(notice.key)))
            else:
                self._count_unseen(notice)
        return messages + self._tell_unseen(now_s)

    def _tell(self, entry: _Entry, now_s: float) -> list[Message]:
        condition, held_s = entry.condition, now_s - entry.since_s
        if entry.told_s is None:
            if held_s < condition.after_s or not self._may_tell(condition.key, now_s):
                return []
            entry.told_s = now_s
            self._note_told(condition, now_s)
            return [Message(State.RAISED, condition, held_s, self._take_unseen(condition.key))]
        if self.remind_s and now_s - entry.told_s >= self.remind_s:
            entry.told_s = now_s
            return [Message(State.STANDING, condition, held_s, self._take_unseen(condition.key))]
        return []

    def _tell_unseen(self, now_s: float) -> list[Message]:
        """What kept coming and going while it was not told: once the window is over, how often."""
        due = [key for key in self._unseen if key not in self._entries and self._may_tell(key, now_s)]
        messages = []
        for key in due:
            condition, unseen = self._last[key], self._take_unseen(key)
            self._note_told(condition, now_s)
            messages.append(Message(State.NOTICE, condition, 0.0, unseen - 1))
        return messages

    def _may_tell(self, key: str, now_s: float) -> bool:
        told_s = self._told_s.get(key)
        return told_s is None or now_s - told_s >= self.repeat_s

    def _note_told(self, condition: Condition, now_s: float) -> None:
        self.raised_total += 1
        self._told_s[condition.key] = now_s

    def _count_unseen(self, condition: Condition) -> None:
        self._unseen[condition.key] = self._unseen.get(condition.key, 0) + 1
        self._last[condition.key] = condition

    def _take_unseen(self, key: str) -> int:
        self._last.pop(key, None)
        return self._unseen.pop(key, 0)


def _duration(seconds: float) -> str:
    """``950 ms``, ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} min"
