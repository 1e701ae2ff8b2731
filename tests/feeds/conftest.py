"""A running instance's memory as the supervisor would make it, without the supervisor."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.feeds.instance import Instance


@pytest.fixture
def instance() -> Iterator[Instance]:
    parent = Path(tempfile.mkdtemp(prefix="tandem-test-", dir="/dev/shm"))
    try:
        made = Instance(parent / "memory")
        yield made
        made.close()
    finally:
        shutil.rmtree(parent)
