"""The simulator is a venue in its own right: it may not share the trader's reading of a protocol."""

from __future__ import annotations

import ast
from pathlib import Path

SIMULATOR = Path(__file__).parents[2] / "simulator"
OURS = {"detector", "executor", "feeds", "persistence", "supervisor", "tools", "venues"}


def imported_modules(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_it_imports_nothing_of_a_venue_but_the_contract() -> None:
    """A mistake made twice by the same code would pass every test and fail on the first real order."""
    files = sorted(SIMULATOR.rglob("*.py"))
    assert len(files) > 20
    for path in files:
        ours = {name for name in imported_modules(path) if name.split(".")[0] in OURS}
        assert ours <= {"venues.contract"}, path
