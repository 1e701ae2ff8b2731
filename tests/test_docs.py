"""What the pages for people name exists: commands, files, sections, events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from events.codec import EVENTS
from settings import PROJECT
from tools.__main__ import COMMANDS

PAGES = sorted([PROJECT / "README.md", PROJECT / "ARCHITECTURE.md", *(PROJECT / "docs").glob("*.md")])
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    """Its sections, as links name them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> Iterator[tuple[str, str]]:
    """(file, section) of every link within the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            path, _, section = target.partition("#")
            yield path, section


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, section in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not section or section in anchors(target), f"{path}#{section}"


@each_page
def test_every_command_that_is_named_can_be_typed(page: Path) -> None:
    named = set(re.findall(r"python -m tools ([a-z][\w-]*)", page.read_text()))
    assert named - set(COMMANDS) == set()


@each_page
def test_every_make_target_that_is_named_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", page.read_text()))
    assert named - targets == set()


def test_the_runbook_names_events_that_are_told() -> None:
    """Whoever looks for a line in the night looks for it by this name."""
    text = (PROJECT / "docs" / "operations.md").read_text()
    reported = set(re.findall(r"`([a-z]+_[a-z_]+)`", text))
    no_events = {
        "in_doubt",
        "not_mended",
        "max_naked_ms",
        "max_hedge_drift_s",
        "journal_max_mib",
        "bot_id",
        "authorized_keys",
    }
    no_events |= {"positions_e8", "under_way_e8"}

    assert len(reported & set(EVENTS)) > 15
    assert reported - set(EVENTS) - no_events == set()
