"""Alerts: what a person was alerted to, and whether it was delivered"""

from __future__ import annotations

from typing import Literal

from events.event import Event, Text

SeverityName = Literal["info", "warning", "critical"]


class AlertRaised(Event, frozen=True, kw_only=True, tag="alert"):
    """a condition is raised, persists or is resolved, or something happened: severity, key, text"""

    state: Literal["raised", "standing", "resolved", "notice"]
    kind: str
    key: str
    severity: SeverityName
    text: Text


class AlertOutcome(Event, frozen=True, kw_only=True):
    """What became of alerts at one target."""

    target: str
    alerts: int
    detail: Text


class AlertSent(AlertOutcome, frozen=True, kw_only=True):
    """a target has taken alerts"""


class AlertFailed(AlertOutcome, frozen=True, kw_only=True):
    """a target did not take alerts; they are sent again"""

    LEVELS = ("warning",)


class AlertDropped(AlertOutcome, frozen=True, kw_only=True):
    """a target was away for so long that an alert had to make room"""

    LEVELS = ("warning",)
