"""The whole, as an operator runs it: real processes, sockets, signals, shared memory, database."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from persistence.server import start_server
from tests.instance import Instance, Line, a_directory, descendants, memory_dir, write_config
from tests.readme import check_lines_of_the_readme


@pytest.fixture
def config() -> Iterator[Path]:
    with a_directory() as directory:
        # Where the recording's gaps come thick: three trades within half a minute.
        path = write_config(directory, simulator__start_s=26.0)
        yield path
        shutil.rmtree(memory_dir(path), ignore_errors=True)


def rows(directory: Path, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(start_server(directory / "var")) as connection:
        return connection.execute(sql.encode()).fetchall()


def assert_nothing_is_left(config: Path) -> None:
    assert list(memory_dir(config).iterdir()) == []
    assert list(descendants(str(config.parent))) == []
    assert list(descendants(str(memory_dir(config)))) == []


def closed_trade(line: Line) -> bool:
    """A trade that was hedged and closed, not one that was given up."""
    return bool(line["event"] == "trade_closed" and line["entry_spread_bps"] != 0)


def test_one_command_opens_and_closes_trades_and_leaves_nothing_behind(config: Path) -> None:
    instance = Instance(config)
    try:
        instance.wait_for("trade_opened")
        closed = instance.wait_for(closed_trade)
    finally:
        exit_code = instance.stop()

    assert exit_code == 0
    assert_nothing_is_left(config)
    ids = Counter(line["client_order_id"] for line in instance.events("leg_sent"))
    assert max(ids.values()) == 1
    # Both legs of an entry leave before either is answered.
    entry = [line for line in instance.events("leg_sent") if line["trade_id"] == closed["trade_id"]][:2]
    assert {line["venue"] for line in entry} == {"vest", "paradex"}
    assert instance.events("shutdown_done")[-1]["exit_code"] == 0
    check_lines_of_the_readme(instance.lines, config.parent)

    reported = {line["trade_id"] for line in instance.events("trade_closed")}
    stored = rows(config.parent, "select trade_id, state, net_quote, gross_quote - fees_quote from trades")
    assert {row[0] for row in stored} == reported
    assert all(row[1] == "closed" and row[2] == row[3] for row in stored)
    sent = {line["client_order_id"] for line in instance.events("intent_written")}
    orders = rows(config.parent, "select client_order_id, status, done_at is not null from orders")
    assert {row[0] for row in orders} == sent
    assert all(row[2] for row in orders), orders
    assert rows(config.parent, "select * from positions where size_base <> 0") == []
    (fills,) = rows(
        config.parent,
        "select (select sum(size_base) from fills), (select sum(filled_base) from orders)",
    )
    assert fills[0] == fills[1]


def running_again(process: str) -> Callable[[Line], bool]:
    state = {"event": "process_state", "process": process, "state": "running"}
    return lambda line: state.items() <= line.items()


def test_a_killed_process_is_replaced_and_trading_goes_on(config: Path) -> None:
    """Every one in turn, each in the middle of a trade."""
    instance = Instance(config)
    try:
        instance.wait_for("trade_opened")
        for victim in ("feed-vest", "feed-paradex", "detector", "executor", "persistence"):
            os.kill(instance.pid_of(victim), signal.SIGKILL)
            instance.wait_for(running_again(victim))
            instance.wait_for(closed_trade)
            instance.wait_for("trade_opened")
    finally:
        exit_code = instance.stop()

    assert exit_code == 0
    assert_nothing_is_left(config)
    ids = Counter(line["client_order_id"] for line in instance.events("intent_written"))
    assert max(ids.values()) == 1
    assert not instance.events("halted")
    # What was told is what is kept, once each: a killed persistence loses and doubles nothing.
    reported = {line["client_order_id"] for line in instance.events("intent_written")}
    stored = rows(config.parent, "select client_order_id from orders")
    assert {row[0] for row in stored} >= reported
    assert rows(config.parent, "select * from positions where size_base <> 0") == []


def test_a_log_nobody_reads_any_more_does_not_spoil_the_shutdown(config: Path) -> None:
    """``make run | tee``: Ctrl-C ends tee first, and every later line meets a closed pipe."""
    instance = Instance(config)
    instance.wait_for("trade_opened")
    instance.stop_reading()
    instance.process.send_signal(signal.SIGINT)

    assert instance.process.wait(60) == 0
    assert_nothing_is_left(config)
    assert rows(config.parent, "select * from positions where size_base <> 0") == []
    assert rows(config.parent, "select exit_code from runs") == [(0,)]


def test_a_second_signal_shortens_the_wait(config: Path) -> None:
    instance = Instance(config)
    instance.wait_for("running")
    for _ in range(3):
        instance.process.send_signal(signal.SIGTERM)
    instance.finish()

    # An executor that had to be killed leaves its memory to the next start, and nothing else.
    is_left = instance.process.returncode == 1
    assert [path.name for path in memory_dir(config).iterdir()] == ["tandem-test"] * is_left
    assert list(descendants(str(config.parent))) == []


def test_a_killed_supervisor_takes_its_processes_with_it(config: Path) -> None:
    """Orphans would trade on without anyone watching."""
    instance = Instance(config)
    instance.wait_for("running")
    instance.process.kill()
    instance.finish()

    deadline = 400
    while list(descendants(str(memory_dir(config)))) and deadline:
        signal.sigtimedwait([], 0.1)
        deadline -= 1
    assert list(descendants(str(memory_dir(config)))) == []


def test_secrets_reach_only_the_process_that_signs(config: Path) -> None:
    canary = "0x" + "c0ffee" * 10
    instance = Instance(config, env={"VEST_PRIMARY_PRIVATE_KEY": canary, "DATABASE_URL": ""})
    try:
        instance.wait_for("running")
        environments = {
            process: Path(f"/proc/{instance.pid_of(process)}/environ").read_bytes()
            for process in ("feed-vest", "feed-paradex", "detector", "executor", "persistence", "simulator")
        }
        files = [path for path in (memory_dir(config) / "tandem-test").iterdir() if path.is_file()]
        holding = [path.name for path in files if canary[2:].encode() in path.read_bytes()]
    finally:
        instance.stop()

    assert [name for name, environment in environments.items() if canary.encode() in environment] == [
        "executor"
    ]
    assert holding == []
    assert not any(canary in str(line) for line in instance.lines)
