"""``python -m tools``: every command listed exists, and says in one line why it cannot do its work."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm.counter_names import FEED_COUNTERS, FEED_HISTOGRAMS
from shm.layout import Memory, MemoryPlan
from tools.__main__ import COMMANDS, _load, main


@pytest.fixture
def memory() -> Iterator[Memory]:
    """An instance's memory with one feed that has counted and measured something."""
    parent = Path(tempfile.mkdtemp(prefix=f"test-tools-{os.getpid()}-", dir="/dev/shm"))
    directory = parent / "tandem-test"
    plan = MemoryPlan(("vest",), 1, 1, 8, 4096, 4096, ())
    Memory.create(directory, plan, {"feed-vest": (tuple(FEED_COUNTERS), tuple(FEED_HISTOGRAMS))})
    found = Memory(directory)
    table = found.counters("feed-vest", writer=True)
    table.add(table.index("quotes_total"), 7)
    table.histogram("recv_to_publish").record(11_000)
    yield found
    shutil.rmtree(parent)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that is listed and does not load would be found by the operator, in need."""
    assert callable(_load(name).run)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert "--config" in capsys.readouterr().out


def test_an_unknown_command_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["latencies"])
    assert ended.value.code == 2
    assert "latency" in capsys.readouterr().err


def test_no_running_instance_is_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["counters", "--memory", "/dev/shm/nothing-here"]) == 2
    error = capsys.readouterr().err
    assert "nothing-here" in error
    assert "Traceback" not in error


def test_counters_and_latencies_are_what_the_memory_holds(
    memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["counters", "--json", "--memory", str(memory.directory)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"process": "feed-vest", "counter": "quotes_total", "value": 7} in rows

    assert main(["latency", "--memory", str(memory.directory)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["process", "stage", "samples", "p50_us", "p90_us", "p99_us", "max_us"]
    assert table[1].split() == ["feed-vest", "recv_to_publish", "1", *["11.0"] * 4]
