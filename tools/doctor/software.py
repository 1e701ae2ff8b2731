"""Python, the libraries against what is pinned, and the compiled parts."""

from __future__ import annotations

import platform
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from runtime import native
from settings import PROJECT
from tools.doctor.finding import Finding, ok, problem, warning

_PYTHON_MIN: Final = (3, 11)
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def look_at_software(project: Path = PROJECT) -> list[Finding]:
    return [_python(), *_libraries(project), _compiled()]


def _python() -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info < _PYTHON_MIN:
        return problem("python", found, "3.11 or newer is needed")
    return ok("python", found)


def _libraries(project: Path) -> list[Finding]:
    """What pyproject.toml names, as requirements.lock pins it."""
    wanted = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[\[<>=!~ ]", item, maxsplit=1)[0] for item in wanted]
    pinned = {
        _plain(name): number for name, number in _PINNED.findall((project / "requirements.lock").read_text())
    }
    findings = []
    for name in names:
        expected = pinned.get(_plain(name))
        try:
            found = version(name)
        except PackageNotFoundError:
            findings.append(
                problem("libraries", f"{name} is not installed", "make check installs what is pinned")
            )
            continue
        if expected is not None and found != expected:
            text = f"{name} {found}, tested with {expected}"
            findings.append(warning("libraries", text, "make clean check installs what is pinned"))
    return findings or [ok("libraries", f"all {len(names)} as pinned")]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _compiled() -> Finding:
    unusable = native.unusable()
    if unusable:
        remedy = native.missing() or "python -m runtime.native"
        return warning("compiled parts", f"the slower Python code serves: {'; '.join(unusable)}", remedy)
    return ok("compiled parts", f"{len(native.PARTS)} built")
