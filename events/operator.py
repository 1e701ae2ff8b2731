"""The operator: instructions, and what came of them"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from events.event import Event, Text


class Paused(Event, frozen=True, kw_only=True):
    """the operator has paused entries; by which switch, who, since when; exits go on"""

    LEVELS = ("warning",)
    switch: str
    by: Text
    since: str
    reason: Text


class Resumed(Event, frozen=True, kw_only=True):
    """what the operator had paused, or a pair that was to be kept closed, is free again"""

    what: str
    switch: str | UnsetType = UNSET
    pair: str | UnsetType = UNSET


class ForcedExit(Event, frozen=True, kw_only=True):
    """the operator has a pair closed and kept closed; who, since when"""

    LEVELS = ("warning",)
    pair: str
    by: Text
    since: str
    reason: Text


class SettingChange(Struct, frozen=True, kw_only=True):
    """One key that was changed."""

    key: str
    old: Any
    new: Any


class Reloaded(Event, frozen=True, kw_only=True):
    """settings have changed while running: every key, old and new"""

    generation: int
    by: Text
    changes: tuple[SettingChange, ...]


class ReloadWaits(Event, frozen=True, kw_only=True):
    """settings that change once the pairs concerned are flat"""

    by: Text
    keys: tuple[str, ...]
    pairs: tuple[str, ...]


class ReloadRefused(Event, frozen=True, kw_only=True):
    """a reload that changed nothing, or not all, and why"""

    LEVELS = ("warning",)
    by: Text
    problems: tuple[Text, ...]


class Control(Event, frozen=True, kw_only=True):
    """a request through the control socket; by whom, and what was answered"""

    FLOOD_BY = ("command",)
    command: Text
    by: Text
    ok: bool
    detail: Text


class ControlRefused(Event, frozen=True, kw_only=True):
    """a request on the control socket was refused, and why"""

    LEVELS = ("warning",)
    FLOOD_BY = ()
    detail: Text
