"""One line of the doctor's report."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from settings import SettingsError


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it runs, but slower, shorter or not as you may think
    PROBLEM = "problem"  # a start fails, or trading is not what the configuration says


class Finding(NamedTuple):
    """``remedy`` is empty where there is nothing to do."""

    grade: Grade
    check: str
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(Grade.OK, check, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    return Finding(Grade.WARNING, check, found, remedy)


def problem(check: str, found: str, remedy: str) -> Finding:
    return Finding(Grade.PROBLEM, check, found, remedy)


def from_settings_error(check: str, error: SettingsError) -> list[Finding]:
    """Each of its problems, which say themselves what is allowed."""
    return [problem(check, str(item), "correct it there") for item in error.problems]
