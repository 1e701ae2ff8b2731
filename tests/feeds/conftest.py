"""A running instance's memory as the supervisor would make it, without the supervisor."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime import native
from tests.feeds.instance import Instance


@contextmanager
def _an_instance(*, is_native: bool) -> Iterator[Instance]:
    if is_native and native.missing():
        pytest.skip(native.missing())
    parent = Path(tempfile.mkdtemp(prefix="tandem-test-", dir="/dev/shm"))
    try:
        made = Instance(parent / "memory", is_native=is_native)
        yield made
        made.close()
    finally:
        shutil.rmtree(parent)


@pytest.fixture(params=["python", "native"])
def instance(request: pytest.FixtureRequest) -> Iterator[Instance]:
    """Its feed reads every frame in Python, and the usual ones in C."""
    with _an_instance(is_native=request.param == "native") as made:
        yield made


@pytest.fixture
def native_instance() -> Iterator[Instance]:
    """Its feed reads the usual frames in C."""
    with _an_instance(is_native=True) as made:
        yield made
