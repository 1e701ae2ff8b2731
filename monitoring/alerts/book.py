"""Which messages a standing condition makes: one at its beginning, reminders, one at its end.

Pure: time is handed in. A condition is known by its key; the same key within ``repeat_s`` is counted
instead of sent, however often it comes and goes; the next message has the count.
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
    STANDING = "standing"  # it was sent before and still holds
    RESOLVED = "resolved"  # it holds no more
    NOTICE = "notice"  # it happened, and is over with that


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds now, or for a notice something that has happened."""

    kind: str  # one of settings.ALERT_KINDS
    key: str  # "halted.btc"; the same key is the same thing
    severity: Severity
    text: str
    after_s: float = 0.0  # sent only once it has held this long


@dataclass(frozen=True, slots=True)
class Message:
    """What a person receives."""

    state: State
    condition: Condition
    held_s: float  # since it began; 0 for a notice
    unseen: int  # how often it came within repeat_s and was not sent

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
    sent_s: float | None = None  # when this coming of it was sent last


@dataclass(slots=True)
class Book:
    """Remembers what stands and what was sent of it."""

    repeat_s: float
    remind_s: float  # 0: what stands is sent once
    raised_total: int = 0
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _sent_s: dict[str, float] = field(default_factory=dict)  # when a key's beginning was sent last
    _unseen: dict[str, int] = field(default_factory=dict)
    _last: dict[str, Condition] = field(default_factory=dict)

    def update(
        self, now_s: float, conditions: Iterable[Condition], notices: Iterable[Condition] = ()
    ) -> list[Message]:
        """Take everything that holds now; return what is to be sent, oldest first."""
        messages: list[Message] = []
        present = {condition.key: condition for condition in conditions}
        for key in [key for key in self._entries if key not in present]:
            entry = self._entries.pop(key)
            if entry.sent_s is not None:
                held_s = now_s - entry.since_s
                messages.append(Message(State.RESOLVED, entry.condition, held_s, self._take_unseen(key)))
            elif now_s - entry.since_s >= entry.condition.after_s:
                self._count_unseen(entry.condition)
        for key, condition in present.items():
            entry = self._entries.setdefault(key, _Entry(condition, now_s))
            entry.condition = condition
            messages += self._messages_of(entry, now_s)
        for notice in notices:
            if self._may_send(notice.key, now_s):
                self._note_told(notice, now_s)
                messages.append(Message(State.NOTICE, notice, 0.0, self._take_unseen(notice.key)))
            else:
                self._count_unseen(notice)
        return messages + self._unseen_messages(now_s)

    def _messages_of(self, entry: _Entry, now_s: float) -> list[Message]:
        condition, held_s = entry.condition, now_s - entry.since_s
        if entry.sent_s is None:
            if held_s < condition.after_s or not self._may_send(condition.key, now_s):
                return []
            entry.sent_s = now_s
            self._note_told(condition, now_s)
            return [Message(State.RAISED, condition, held_s, self._take_unseen(condition.key))]
        if self.remind_s and now_s - entry.sent_s >= self.remind_s:
            entry.sent_s = now_s
            return [Message(State.STANDING, condition, held_s, self._take_unseen(condition.key))]
        return []

    def _unseen_messages(self, now_s: float) -> list[Message]:
        """What kept coming and going while nothing was sent: once the window is over, how often."""
        due = [key for key in self._unseen if key not in self._entries and self._may_send(key, now_s)]
        messages = []
        for key in due:
            condition, unseen = self._last[key], self._take_unseen(key)
            self._note_told(condition, now_s)
            messages.append(Message(State.NOTICE, condition, 0.0, unseen - 1))
        return messages

    def _may_send(self, key: str, now_s: float) -> bool:
        sent_s = self._sent_s.get(key)
        return sent_s is None or now_s - sent_s >= self.repeat_s

    def _note_told(self, condition: Condition, now_s: float) -> None:
        self.raised_total += 1
        self._sent_s[condition.key] = now_s

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
