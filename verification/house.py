"""Measures the shape of the code: ``python -m verification.house [DIRECTORY]`` prints one figure a line.

The layout was chosen by these figures: few modules at the top, shallow imports, no decision that hangs on an
event's name, no clock but the one handed in. Nothing is imported; every file is parsed. Another checkout can
be named to compare with.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

CORE: Final = (
    "shm",
    "venues",
    "feeds",
    "detector",
    "executor",
    "persistence",
    "runtime",
    "supervision",
    "events",
)
DECIDERS: Final = ("executor", "persistence", "monitoring", "tools")
ARGUMENTS_MAX: Final = 6
_CLOCKS: Final = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
_PACKING: Final = {"pack", "pack_into"}


class Figure(NamedTuple):
    """One measured property, its goal in words, and the places behind it."""

    name: str
    value: float
    goal: str
    places: Sequence[str] = ()


class Source(NamedTuple):
    """One parsed module."""

    path: Path  # relative to the root
    tree: ast.Module
    lines: int

    @property
    def module(self) -> str:
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def measure(root: Path) -> list[Figure]:
    """Every figure of the tree below ``root``."""
    sources = {
        package: list(_sources(root, package)) for package in dict.fromkeys((*CORE, *DECIDERS, "monitoring"))
    }
    executor = sources["executor"]
    core = [source for package in CORE for source in sources[package]]
    top = sorted(path.name for path in root.glob("*.py"))
    executor_top = sorted(path.name for path in (root / "executor").glob("*.py"))
    by_name = [
        place for package in DECIDERS for source in sources[package] for place in _name_matches(source)
    ]
    clocks = [place for source in executor for place in _clock_reads(source)]
    untyped = [
        place
        for source in sources["venues"]
        if source.module == "venues.registry"
        for place in _any_returns(source)
    ]
    long_calls = [place for source in core for place in _long_calls(source)]
    classes = Counter(
        name for name, _ in {(name, _slot(source)) for source in core for name in _public_classes(source)}
    )
    doubles = sorted(name for name, count in classes.items() if count > 1)
    public = [(node, source) for source in core for node in _public_functions(source)]
    documented = sum(ast.get_docstring(node) is not None for node, _ in public)
    guarded = [*executor, *sources["venues"]]
    asserts = sum(isinstance(node, ast.Assert) for source in guarded for node in ast.walk(source.tree))
    guarded_lines = sum(source.lines for source in guarded)
    return [
        Figure("modules at the top", len(top), "at most 3", top),
        Figure("files at the executor's top", len(executor_top), "at most 12", executor_top),
        Figure("import floors of the executor", floors(executor), "at most 8"),
        Figure("comparisons with an event's name", len(by_name), "0", by_name),
        Figure("clock reads in the executor", len(clocks), "0", clocks),
        Figure("results of any type in venues/registry.py", len(untyped), "0", untyped),
        Figure(
            f"calls with more than {ARGUMENTS_MAX} arguments by position", len(long_calls), "0", long_calls
        ),
        Figure("class names used twice in the core", len(doubles), "0", doubles),
        Figure("public functions with a docstring, %", _percent(documented, len(public)), "at least 85"),
        Figure(
            "assertions per 1000 lines, executor and venues",
            round(1000 * asserts / max(guarded_lines, 1), 1),
            "at least 8",
        ),
    ]


def floors(sources: Sequence[Source]) -> int:
    """Modules on the longest chain of imports within one package; modules in a circle count as one."""
    modules = {source.module: source for source in sources}
    imports: Mapping[str, set[str]] = {
        name: {target for target in _imported(source) if target in modules and target != name}
        for name, source in modules.items()
    }

    @cache
    def reachable(name: str) -> frozenset[str]:
        found, waiting = set[str](), [name]
        while waiting:
            for target in imports[waiting.pop()]:
                if target not in found:
                    found.add(target)
                    waiting.append(target)
        return frozenset(found)

    @cache
    def height(name: str) -> int:
        below = [target for target in reachable(name) if name not in reachable(target)]
        return 1 + max((height(target) for target in below), default=0)

    return max(map(height, modules), default=0)


def _imported(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _name_matches(source: Source) -> Iterator[str]:
    """Places that compare something called ``event`` with a text."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(_is_event_name, sides)) and any(map(_is_text, sides)):
                yield _place(source, node)
        elif (
            isinstance(node, ast.Match)
            and _is_event_name(node.subject)
            and any(
                _is_text_pattern(pattern) for case in node.cases for pattern in _alternatives(case.pattern)
            )
        ):
            yield _place(source, node)


def _is_event_name(node: ast.expr) -> bool:
    match node:
        case (
            ast.Attribute(attr="event")
            | ast.Subscript(slice=ast.Constant(value="event"))
            | ast.Name(id="event")
        ):
            return True
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="event"), *_]):
            return True
    return False


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.Set | ast.List):
        return any(map(_is_text, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _alternatives(pattern: ast.pattern) -> Iterator[ast.pattern]:
    """What a subject itself is compared with. A field's text in a class pattern is no name of the event."""
    match pattern:
        case ast.MatchOr(patterns=patterns):
            for part in patterns:
                yield from _alternatives(part)
        case ast.MatchAs(pattern=ast.pattern() as inner):
            yield from _alternatives(inner)
        case _:
            yield pattern


def _is_text_pattern(node: ast.AST) -> bool:
    return isinstance(node, ast.MatchValue) and _is_text(node.value)


def _clock_reads(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr=name) if name in _CLOCKS:
                yield _place(source, node)


def _any_returns(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.FunctionDef)
            and isinstance(node.returns, ast.Name)
            and node.returns.id == "Any"
        ):
            yield _place(source, node)


def _long_calls(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and len(node.args) > ARGUMENTS_MAX:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called not in _PACKING:
                yield _place(source, node)


def _public_classes(source: Source) -> Iterator[str]:
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def _slot(source: Source) -> str:
    """Where a class has its place: one file, and the same file of every venue counts as one.

    Each venue's folder mirrors the others, file by file and class by class: a ``Session`` in the ``session``
    of each is the pattern, not a homonym. A name in two different files of venues counts as any other does.
    """
    match source.path.parts:
        case ("venues", _, file):
            return f"venues/*/{file}"
    return str(source.path)


def _public_functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Functions of modules and of public classes; what is overloaded or trivial counts like the rest."""
    for node in source.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith(
                    "_"
                ):
                    yield inner


def _sources(root: Path, package: str) -> Iterator[Source]:
    for path in sorted((root / package).rglob("*.py")):
        text = path.read_text()
        yield Source(path.relative_to(root), ast.parse(text), text.count("\n"))


def _place(source: Source, node: ast.AST) -> str:
    return f"{source.path}:{getattr(node, 'lineno', 0)}"


def _percent(part: int, whole: int) -> float:
    return round(100 * part / max(whole, 1), 1)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    shows_places = "--places" in words
    directories = [word for word in words if not word.startswith("-")]
    root = Path(directories[0]) if directories else Path(__file__).resolve().parents[1]
    for figure in measure(root):
        print(f"{figure.name:52} {figure.value:>8g}   ({figure.goal})")
        if shows_places:
            print("".join(f"    {place}\n" for place in figure.places), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
