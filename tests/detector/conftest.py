"""A running instance's memory as the supervisor would make it, without the supervisor."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import native
from tests.detector.instance import Instance


@pytest.fixture(params=[False, True], ids=["python", "native"])
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """Its detector decides in Python, and in C."""
    if request.param and native.no_compiler():
        pytest.skip(native.no_compiler())
    parent = Path(tempfile.mkdtemp(prefix="tandem-test-", dir="/dev/shm"))
    try:
        made = Instance(parent / "memory", is_native=request.param)
        yield made
        made.close()
    finally:
        shutil.rmtree(parent)
