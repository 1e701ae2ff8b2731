"""The audit finds a pinned package with a known fault, and needs nobody for it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from settings import PROJECT
from verification import audit
from verification.audit import Advisory, Pin, advisories, findings, lock_files, pins

AN_ADVISORY = Advisory("some-package", ">=1.2,<1.5", "CVE-1", "a fault")


@pytest.mark.parametrize(
    ("version", "is_found"),
    [("1.1.9", False), ("1.2", True), ("1.4.99", True), ("1.4rc1", True), ("1.5", False), ("1.10", False)],
)
def test_a_version_in_the_range_is_found(version: str, is_found: bool) -> None:
    found = findings([Pin("some-package", version, "a.lock")], [AN_ADVISORY])
    assert bool(found) is is_found
    assert all("a.lock: some-package" in line and "CVE-1" in line for line in found)


def test_every_pin_of_every_lock_is_read(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "Some_Package==1.3 ; python_version < '4' \\\n    --hash=sha256:aa==1\nother.one==2\n# x==3\n"
    )
    assert [(pin.package, pin.version) for pin in pins(lock, tmp_path)] == [
        ("some-package", "1.3"), ("other-one", "2"),
    ]  # fmt: skip
    names = {str(path.relative_to(PROJECT)) for path in lock_files()}
    assert {"requirements.lock", "benchmarks/baselines/requirements.lock"} <= names
    assert all(list(pins(path)) for path in lock_files())


def test_nothing_pinned_has_a_known_fault() -> None:
    pinned = [pin for path in lock_files() for pin in pins(path)]
    assert findings(pinned, advisories()) == []
    assert len(pinned) > 50


def test_ci_runs_it() -> None:
    assert "make audit" in (PROJECT / ".ci/run").read_text()
    assert "verification.audit" in (PROJECT / "Makefile").read_text()


@pytest.mark.parametrize(
    ("script", "found", "why_not"),
    [
        ("echo 'connection refused' >&2; exit 1", 0, "cannot ask: connection refused"),
        ("cat answer; exit 1", 1, ""),
        ("echo '{\"dependencies\": []}'", 0, ""),
    ],
)
def test_pip_audit_is_asked_where_it_can_be(
    script: str, found: int, why_not: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": [{"id": "CVE-2"}]},
            {"name": "b", "version": "2"},
        ]
    }
    (tmp_path / "answer").write_text(json.dumps(answer))
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncd {tmp_path}\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    lines, why = audit.asked()
    assert len(lines) == found
    assert why_not in why
