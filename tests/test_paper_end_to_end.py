"""Mode paper as an operator runs it: public feeds of a venue, no keys, no orders, the same trades."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from settings import PROJECT
from supervision.preflight import loopback_urls
from tests.instance import Instance, a_directory, free_ports, memory_dir, write_config
from tests.test_end_to_end import assert_nothing_is_left, closed_trade, rows
from tests.waiting import DEADLINE_S
from venues.registry import venue as venue_of

CANARY = "0x" + "c0ffee" * 10


@contextmanager
def a_market() -> Iterator[dict[str, int]]:
    """Both simulated venues in a process of their own, as if they were somewhere on the internet."""
    ports = dict(zip(("vest", "paradex"), free_ports(2), strict=True))
    arguments = [item for venue, port in ports.items() for item in (f"--{venue}-port", str(port))]
    command = [sys.executable, "-m", "simulator", *arguments, "--start-s", "26", "--taker-fee-bps", "0.1"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert b"simulator_ready" in process.stdout.readline()
            yield ports
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


@pytest.fixture
def config() -> Iterator[Path]:
    with a_directory() as directory, a_market() as ports:
        venues = {
            venue: loopback_urls(venue_of(venue).production_hosts, port) for venue, port in ports.items()
        }
        quick = {"latency_ms": 2.0, "jitter_ms": 1.0, "slippage_bps": 0.0}
        path = write_config(directory, mode="paper", venues=venues, paper__venues=dict.fromkeys(ports, quick))
        yield path
        shutil.rmtree(memory_dir(path), ignore_errors=True)


def test_paper_trades_on_real_feeds_without_keys_and_survives_its_executor(config: Path) -> None:
    """One run: it trades, loses its executor in a trade, closes it, trades on, and says it was paper."""
    instance = Instance(config, env={"VEST_PRIMARY_PRIVATE_KEY": CANARY, "DATABASE_URL": ""})
    try:
        instance.wait_for("trade_opened")
        executor = instance.pid_of("executor")
        assert CANARY.encode() not in Path(f"/proc/{executor}/environ").read_bytes()
        os.kill(executor, signal.SIGKILL)
        killed_at = datetime.now(UTC)
        instance.wait_for(lambda line: line["event"] == "process_started" and line["pid"] != executor)
        instance.wait_for(closed_trade)
        instance.wait_for("trade_opened")
    finally:
        exit_code = instance.stop()

    assert exit_code == 0
    assert_nothing_is_left(config)
    assert not instance.events("halted")
    assert instance.events("starting")[0]["mode"] == "paper"
    assert CANARY not in str(instance.lines)
    ids = Counter(line["client_order_id"] for line in instance.events("intent_written"))
    assert max(ids.values()) == 1

    marked = rows(config.parent, "select runs.mode, trades.state from trades join runs using (run_id)")
    assert len(marked) >= 2
    assert set(marked) == {("paper", "closed")}
    # Every order's executions add up to what it filled. Of an order under way at the kill the answer
    # to a question may be all that was heard.
    orders = rows(
        config.parent,
        "select sent_at, filled_base, coalesce((select sum(size_base) from fills f "
        "where f.client_order_id = o.client_order_id), 0) from orders o where filled_base > 0",
    )
    assert len(orders) >= 6
    assert all(filled == reported for sent_at, filled, reported in orders if sent_at > killed_at)
    assert sum(filled != reported for _, filled, reported in orders) <= 2
    foreign = "select 1 from fills where fill_id not like 'paper-%' and not is_remainder"
    assert rows(config.parent, foreign) == []
    # The virtual accounts and the database tell the same story of the money.
    balances_e8 = {line["venue"]: line["balance_e8"] for line in instance.events("paper_account")}
    flat = {line["venue"]: line["positions"] for line in instance.events("paper_account")}
    assert flat == {"vest": {}, "paradex": {}}
    (net,) = rows(config.parent, "select sum(net_quote) * 100000000 from trades")
    assert abs(sum(balances_e8.values()) - 2 * 10_000 * 10**8 - int(net[0])) <= len(ids)


def test_check_prints_the_virtual_venues(config: Path) -> None:
    """Those that are not configured with what they default to."""
    raw = yaml.safe_load(config.read_text())
    del raw["paper"]["venues"]["vest"]
    config.write_text(yaml.safe_dump(raw))
    command = [sys.executable, str(PROJECT / "supervisor.py"), "--check", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)

    assert done.returncode == 0, done.stdout
    shown = yaml.safe_load(done.stdout)["paper"]
    assert shown["max_price_age_ms"] == 3_000
    assert shown["venues"]["paradex"]["latency_ms"] == 2.0
    assert shown["venues"]["vest"] == {
        "latency_ms": 20.0,
        "jitter_ms": 10.0,
        "slippage_bps": 0.5,
        "balance_quote_e8": 10_000 * 10**8,
        "leverage_max": 5,
    }
