"""A copy of the project, to build C otherwise than it is meant: no process of the real one loads that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from settings import PROJECT

_LEFT_OUT: Final = shutil.ignore_patterns(".*", "__pycache__", "*.so", "var")
# What holds the compiled parts against Python, in every setting.
TESTS_OF_FEEDS: Final = (
    "tests/venues/test_frame_twins.py",
    "tests/feeds/test_native_feed.py",
    "tests/feeds/test_feed.py",
)
TESTS_OF_DETECTOR: Final = (
    "tests/detector/test_native.py",
    "tests/detector/test_native_process.py",
    "tests/detector/test_process.py",
    "tests/tools/replay/test_replay.py",
)
TESTS: Final = (*TESTS_OF_DETECTOR, *TESTS_OF_FEEDS)


@contextmanager
def project_copy() -> Iterator[Path]:
    """Sources and tests, nothing that was built."""
    with tempfile.TemporaryDirectory(prefix="tandem-native-") as directory:
        copy = Path(directory) / "project"
        shutil.copytree(PROJECT, copy, ignore=_LEFT_OUT)
        yield copy


def replace_once(project: Path, file: str, before: str, after: str) -> None:
    """Change a source of the copy. Raises ValueError where the text does not stand there exactly once."""
    path = project / file
    source = path.read_text()
    if source.count(before) != 1:
        raise ValueError(f"{file} has {before!r} {source.count(before)} times, not once: mend the list")
    path.write_text(source.replace(before, after))


def build(project: Path, environment: Mapping[str, str] | None = None) -> None:
    """Build the copy's C. Raises CalledProcessError where the compiler refuses it."""
    command = [sys.executable, "-m", "runtime.native"]
    subprocess.run(command, cwd=project, env={**os.environ, **(environment or {})}, check=True)


def run_tests(
    project: Path, tests: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The tests on what was built; up to the first that fails."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=project,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
