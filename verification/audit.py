"""Checks the pinned packages for known faults: ``python -m verification.audit``, exit code 1 if one has.

Every lock file is held against ``advisories.toml``, a list kept by hand that asks nobody. Where ``pip-audit``
is installed and reaches its source it is asked about ``requirements.lock``, too; where it does not, that is
printed and decides nothing: a build must not depend on somebody else's server.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from settings import PROJECT

ADVISORIES: Final = Path(__file__).with_name("advisories.toml")
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
_TIMEOUT_S: Final = 120.0


class Pin(NamedTuple):
    """One package at one version, and the file that says so."""

    package: str
    version: str
    file: str


class Advisory(NamedTuple):
    """One known fault. ``affected``: versions, as pip's specifiers have it."""

    package: str
    affected: str
    id: str
    says: str

    def concerns(self, pin: Pin) -> bool:
        return self.package == pin.package and SpecifierSet(self.affected).contains(
            pin.version, prereleases=True
        )


def lock_files(root: Path = PROJECT) -> Sequence[Path]:
    """Every file of pinned packages: the program's, and those of the programs that judge it."""
    found = (*root.glob("*.lock"), *root.glob("*/**/requirements.lock"), *root.glob("*/**/requirements.txt"))
    return sorted(path for path in found if not path.relative_to(root).parts[0].startswith("."))


def pins(path: Path, root: Path = PROJECT) -> Iterator[Pin]:
    for name, version in _PIN.findall(path.read_text()):
        yield Pin(canonicalize_name(name), version, str(path.relative_to(root)))


def advisories(path: Path = ADVISORIES) -> Sequence[Advisory]:
    """The list. Raises ValueError, KeyError or TypeError for one that is not as it should be."""
    content = tomllib.loads(path.read_text())
    assert isinstance(content["updated"], date)
    found = [Advisory(**entry) for entry in content["advisory"]]
    for advisory in found:
        SpecifierSet(advisory.affected)
    return found


def findings(pinned: Sequence[Pin], known: Sequence[Advisory]) -> list[str]:
    return [
        f"{pin.file}: {pin.package} {pin.version}: {advisory.id}, {advisory.says} ({advisory.affected})"
        for pin in pinned
        for advisory in known
        if advisory.concerns(pin)
    ]


def asked() -> tuple[list[str], str]:
    """What pip-audit finds in the program's lock; and why it was not asked, if it was not."""
    program = shutil.which("pip-audit")
    if program is None:
        return [], "pip-audit is not installed"
    lock = str(PROJECT / "requirements.lock")
    command = [program, "--requirement", lock, "--disable-pip", "--require-hashes", "--format", "json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return [], f"pip-audit gives no answer within {_TIMEOUT_S:g} s"
    except ValueError:
        return [], f"pip-audit cannot ask: {' '.join(done.stderr.split())[-200:]}"
    return [
        f"requirements.lock: {package['name']} {package['version']}: {fault['id']}"
        for package in report["dependencies"]
        for fault in package.get("vulns", ())
    ], ""


def main() -> int:
    pinned = [pin for path in lock_files() for pin in pins(path)]
    known = advisories()
    found = findings(pinned, known)
    online, why_not = asked()
    for line in (*found, *online):
        print(line)
    beside = f"; {why_not}" if why_not else ", and pip-audit agrees" if not online else ""
    print(
        f"{len(pinned)} pins held against {len(known)} known faults: {len(found) + len(online)} found{beside}"
    )
    return 1 if found or online else 0


if __name__ == "__main__":
    sys.exit(main())
