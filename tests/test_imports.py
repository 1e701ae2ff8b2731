"""Imports point down: supervisor -> the processes -> venues -> shm.

Every module is parsed, none is run. A package that does not exist yet has its place in the table
already; one that is not in the table fails, so that whoever adds it says where it stands.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
# They may import anything; nothing imports them.
NOT_PART_OF_THE_HOUSE = {"tests", "verification", "benchmarks", "var"}

LEAVES = {"settings", "events", "observability", "configuration"}
PROCESSES = {"feeds", "detector", "executor", "persistence", "simulator"}
MAY_IMPORT: dict[str, set[str]] = {
    "settings": {"configuration"},
    "configuration": {"observability"},
    "observability": {"events"},
    "events": {"observability"},  # its texts are masked when an event is made
    "shm": set(),
    "venues": {"shm"} | LEAVES,
    "runtime": {"venues", "shm"} | LEAVES,  # what every process does first, and files that outlive them all
    **{process: {"runtime", "venues", "shm"} | LEAVES for process in PROCESSES},
    "monitoring": PROCESSES | {"supervision", "runtime", "venues", "shm"} | LEAVES,  # reads what they write
    # A replay runs the very detector and pair machine of the processes, beside them.
    "tools": PROCESSES | {"monitoring", "supervision", "runtime", "venues", "shm"} | LEAVES,
    "supervision": PROCESSES | {"runtime", "venues", "shm"} | LEAVES,
    "supervisor": PROCESSES | {"supervision", "runtime", "venues", "shm"} | LEAVES,
}
OURS = MAY_IMPORT.keys() | NOT_PART_OF_THE_HOUSE

SOCKETS_AND_LOOPS = {
    *("asyncio", "selectors", "socket", "socketserver", "ssl", "http.client", "urllib.request"),
    *("aiohttp", "anyio", "httptools", "httpx", "picows", "requests", "trio", "uvloop", "websockets"),
}
# (module or package) -> what it and all below it must not import, and the promise that would break
FORBIDDEN: dict[str, tuple[set[str], str]] = {
    "detector": (SOCKETS_AND_LOOPS | {"venues.rest_client"}, "detector knows no socket"),
    "venues": (SOCKETS_AND_LOOPS, "a venue's protocols open no socket"),
}
EXEMPT = {"venues.rest_client"}  # the one module of venues that carries a conversation over a socket


def imported_names(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Every dotted name a module imports, with its line; conditional and late imports included."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=source, names=names, level=level):
                parts = module.split(".")
                parents = parts[: len(parts) - level + is_package] if level else []
                origin = ".".join([*parents, *([source] if source else [])])
                for alias in names:
                    yield node.lineno, f"{origin}.{alias.name}" if origin else alias.name
            case (
                ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[what, *_])
                | ast.Call(func=ast.Attribute(attr="import_module"), args=[what, *_])
            ):
                yield node.lineno, _constant_beginning(what)


def _constant_beginning(node: ast.expr) -> str:
    """``venues`` of ``"venues"`` and of ``f"venues.{name}"``; a star where nothing is certain."""
    match node:
        case ast.Constant(value=str(name)):
            return name
        case ast.JoinedStr(values=[ast.Constant(value=str(head)), *_]) if "." in head:
            return head.rpartition(".")[0] + ".*"
    return "*"


def is_within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """What one module imports against the rules, one sentence each."""
    top = module.partition(".")[0]
    if top not in MAY_IMPORT:
        return [f"{module}: {top} has no place in MAY_IMPORT"]
    found = []
    for line, name in imported_names(ast.parse(source), module, is_package):
        where = f"{module}:{line} imports {name}"
        imported_top = name.partition(".")[0]
        if imported_top == "*":
            found.append(f"{where}: nobody can tell what that is")
        elif imported_top in OURS and imported_top not in MAY_IMPORT[top] | {top}:
            found.append(f"{where}: {top} stands beside or below {imported_top}")
        elif top == "shm" and imported_top not in sys.stdlib_module_names | {"shm"}:
            found.append(f"{where}: shm is standard library only")
        for package, (forbidden, promise) in FORBIDDEN.items():
            if is_within(module, {package}) and module not in EXEMPT and is_within(name, forbidden):
                found.append(f"{where}: {promise}")
    return found


def modules_of_the_house() -> Iterator[tuple[str, bool, Path]]:
    """(dotted name, is a package, path) of every Python file, of packages nobody placed, too."""
    for entry in sorted(PROJECT.iterdir()):
        if entry.name.startswith(".") or entry.name in NOT_PART_OF_THE_HOUSE:
            continue
        for path in sorted(entry.rglob("*.py")) if entry.is_dir() else [entry]:
            if path.suffix == ".py":
                parts = path.relative_to(PROJECT).with_suffix("").parts
                is_package = parts[-1] == "__init__"
                yield ".".join(parts[:-1] if is_package else parts), is_package, path


def test_imports_point_down() -> None:
    """What two processes need of each other is declared in ``shm``; a venue's quirks stay its own."""
    modules = list(modules_of_the_house())
    assert {"shm.segment", "venues.contract", "settings", "observability.logs"} <= {
        module for module, _, _ in modules
    }

    found = [
        violation
        for module, is_package, path in modules
        for violation in violations(module, path.read_text(), is_package=is_package)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("shm.slot", "import numpy"),
        ("shm.slot", "from settings import Settings"),
        ("shm.slot", "from venues.contract import E8"),
        ("settings", "from observability import logs"),
        ("observability.logs", "from shm.queue import QueueWriter"),
        ("venues.contract", "import executor.pair.state"),
        ("venues.vest.signing", "from feeds import session"),
        ("venues.vest.signing", "from tests.venues import conformance"),
        ("venues.vest.market_data", "import socket"),
        ("venues.rest_client", "import supervisor"),
        ("feeds.session", "import detector"),
        ("executor.process", "from detector.rules import evaluate"),
        ("persistence.process", "import monitoring.instance"),
        ("executor.process", "def late():\n    import persistence.journal"),
        ("executor.process", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import tools.kill"),
        ("executor.process", "import importlib\nimportlib.import_module('simulator.book')"),
        ("executor.process", "from importlib import import_module\nimport_module(f'feeds.{name}')"),
        ("executor.process", "__import__(name)"),
        ("tools.monitor", "import supervisor"),
        ("runtime.bootstrap", "import executor"),
        ("detector.process", "import asyncio"),
        ("detector.process", "from http import client"),
        ("detector.process", "import urllib.request as web"),
        ("detector.process", "import aiohttp.web"),
        ("detector.process", "from venues import rest_client"),
        ("detector", "from .. import feeds"),
        ("a_new_package.module", ""),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(violations(module, source, is_package="." not in module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "supervisor",
            "import feeds, detector, executor, persistence, simulator, supervision, shm, observability",
        ),
        (
            "executor.gateways.live",
            "from venues.contract import E8\nfrom shm.records import Signal\nimport asyncio",
        ),
        (
            "executor.gateways.live",
            "from . import state\nfrom .state import step\nfrom executor.pair.transition import Transition",
        ),
        ("venues.registry", "from importlib import import_module\nimport_module(f'venues.{venue}')"),
        ("venues.rest_client", "import aiohttp"),
        ("venues.vest.hosts", "from urllib.parse import urlsplit"),
        (
            "detector.process",
            "from runtime.bootstrap import start\nfrom venues.contract import E8\nimport shm.agent",
        ),
        ("shm.layout", "from shm.slot import SlotTable\nfrom .queue import QueueWriter\nimport mmap"),
        ("feeds", "from . import session\nfrom .session import Session"),
    ],
)
def test_what_points_down_is_allowed(module: str, source: str) -> None:
    assert violations(module, source, is_package="." not in module) == []
