"""A flood must be seen for what it is: what was lost would otherwise pass for speed."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.scale import Watched, measure
from benchmarks.wire.contenders import Variant, tandem
from settings import PROJECT
from tests.instance import a_directory


def test_a_burst_is_published_whole_and_its_newest_quote_stands() -> None:
    """300 messages in 100 ms on each venue, over two pairs, through the whole product."""
    command = [sys.executable, "-m", "benchmarks.wire.flood", "--pairs", "2"]
    flood = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, text=True)
    try:
        assert flood.stdout is not None
        ports = json.loads(flood.stdout.readline())
        variant = Variant("tandem", tls=False, idle="park", awake=False, pairs=2)
        with a_directory() as directory, tandem(variant, ports, directory, None):
            row = measure(Watched(directory), flood, 2, 3_000.0, 0.1)
    finally:
        flood.kill()
        flood.wait()

    assert row["sent"] == 300
    assert row["newest_is_there"]
    assert min(row["published"].values()) >= 300
    assert row["decided"] + row["conflated"] >= 600
    assert 0 < max(row["rss_mib"].values()) < 150
