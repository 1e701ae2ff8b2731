"""A running instance's memory as the supervisor would make it, without the supervisor."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import native
from tests.detector.instance import Instance


@pytest.fixture(params=["python", "native"])
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """Its detector decides in Python, and in C; a parameter ("native", quote) says how currencies compare."""
    which, quote = request.param if isinstance(request.param, tuple) else (request.param, None)
    is_native = which == "native"
    if is_native and native.no_compiler():
        pytest.skip(native.no_compiler())
    parent = Path(tempfile.mkdtemp(prefix="tandem-test-", dir="/dev/shm"))
    try:
        made = Instance(parent / "memory", is_native=is_native, quote=quote)
        yield made
        made.close()
    finally:
        shutil.rmtree(parent)
