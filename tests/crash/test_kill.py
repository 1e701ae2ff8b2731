"""``python -m tools kill``: real venues, real processes that hang or are gone, and no word without proof."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from persistence.server import stop_server
from settings import PROJECT
from simulator.orders import NewOrder
from simulator.process import RunningSimulator
from tests.crash.stage import SIZE_E8, SYMBOLS, WIDE_BPS, Stage, a_stage
from tests.waiting import DEADLINE_S
from tools.__main__ import main
from tools.access import VenueAccess
from venues.contract import E8, OrderAck, OrderRequest

FLAT = {"vest": 0, "paradex": 0}


@pytest.fixture
def stage() -> Iterator[Stage]:
    with a_stage() as made:
        yield made


def kill(stage: Stage, *arguments: str, env_file: Path | None = None) -> tuple[int, dict[str, Any]]:
    """Run the command; its exit code and its receipt, as printed and as kept."""
    command = [sys.executable, "-m", "tools", "kill", "--config", str(stage.config), "--json"]
    command += ["--env-file", str(env_file or stage.env_file), *arguments]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert not done.stderr, done.stderr
    receipt: dict[str, Any] = json.loads(done.stdout)
    kept = json.loads(Path(receipt["receipt"]).read_text())
    assert kept == {name: value for name, value in receipt.items() if name != "receipt"}
    return done.returncode, receipt


def hold(stage: Stage, *, vest_e8: int, paradex_e8: int) -> None:
    """Positions nobody knows of, and an order that rests on each venue, on accounts that exist."""

    def trade(simulator: RunningSimulator) -> None:
        for number, (venue, size_e8) in enumerate((("vest", vest_e8), ("paradex", paradex_e8))):
            exchange = simulator.exchanges[venue]
            side = 1 if size_e8 > 0 else -1
            symbol, client_id = SYMBOLS[venue], f"9{number}"
            for new in (
                NewOrder(symbol, side, abs(size_e8), (50_000 + side * 100) * E8, "IOC", client_id=client_id),
                NewOrder(symbol, side, SIZE_E8, (50_000 - side * 400) * E8, client_id=client_id),
            ):
                exchange.execute(exchange.submit(exchange.account_ids[0], new).order_id)

    stage.wait_for_accounts()
    stage.ask(trade)


def test_it_closes_everything_while_the_executor_hangs_and_the_database_is_down(stage: Stage) -> None:
    instance = stage.start()
    try:
        instance.wait_for("running")
        stage.market.gap_bps = WIDE_BPS
        instance.wait_for("trade_opened")
        executor = instance.pid_of("executor")
        os.kill(instance.process.pid, signal.SIGSTOP)  # or it would replace the executor
        os.kill(executor, signal.SIGSTOP)
        stop_server(stage.config.parent / "var")

        exit_code, receipt = kill(stage)

        assert (exit_code, receipt["is_flat"]) == (0, True)
        assert stage.positions_e8 == FLAT
        assert receipt["latch"].startswith("pulled: ")
        for venue in receipt["venues"].values():
            first, last = venue["reads"][-2], venue["reads"][-1]
            assert first["positions_e8"] == last["positions_e8"] == {}
            assert len(venue["closes"]) == 1
        # Awake again, the executor finds its legs gone and opens nothing, however wide the gap, until
        # it is let.
        os.kill(executor, signal.SIGCONT)
        os.kill(instance.process.pid, signal.SIGCONT)
        instance.wait_for(
            lambda line: line["event"] == "reconcile_diff" and line["explained_by"] == "closed outside"
        )
        instance.wait_for("trade_closed")
        stage.let_the_market_go_on()
        released_mono_ns = time.monotonic_ns()
        assert main(["kill", "--release", "--config", str(stage.config)]) == 0
        instance.wait_for("trade_opened")
    finally:
        os.kill(instance.process.pid, signal.SIGCONT)
        exit_code = instance.stop()
    assert exit_code == 0
    entries = [line for line in instance.events("intent_written") if line["purpose"] == "entry"]
    assert all(line["mono_ns"] > released_mono_ns for line in entries[2:])
    assert stage.doubled_ids() == []


@pytest.mark.parametrize("first", ["vest", "paradex"])
def test_it_closes_a_leg_at_hyperliquid_too(first: str) -> None:
    """Whose orders are signed for its socket, and leave over HTTP here."""
    symbols = {first: SYMBOLS[first], "hyperliquid": "BTC"}
    with a_stage(symbols) as stage:
        instance = stage.start()
        try:
            instance.wait_for("running")
            stage.market.gap_bps = WIDE_BPS
            instance.wait_for("trade_opened")
            exit_code, receipt = kill(stage)
            assert (exit_code, receipt["is_flat"]) == (0, True)
            assert stage.positions_e8 == dict.fromkeys(symbols, 0)
            assert set(receipt["venues"]) == set(symbols)
        finally:
            instance.stop()


def test_a_failure_of_the_program_at_one_venue_spares_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody expected is raised in the end, after everything else was closed and told."""
    kill(stage)  # makes the accounts
    hold(stage, vest_e8=SIZE_E8, paradex_e8=-SIZE_E8)
    send = VenueAccess.send

    async def fails_at_vest(access: VenueAccess, request: OrderRequest) -> OrderAck:
        assert access.venue != "vest", "nobody expected this"
        return await send(access, request)

    monkeypatch.setattr(VenueAccess, "send", fails_at_vest)
    with pytest.raises(AssertionError, match="nobody expected this"):
        main(["kill", "--config", str(stage.config), "--env-file", str(stage.env_file), "--timeout-s", "20"])
    assert stage.positions_e8 == {"vest": SIZE_E8, "paradex": 0}
    told = capsys.readouterr().out
    assert "NOT FLAT" in told
    assert "this program failed here" in told


def test_it_says_what_is_held_where_it_cannot_close_and_needs_no_instance(stage: Stage) -> None:
    """Nothing runs at all. One venue refuses every order, then takes them again."""
    exit_code, receipt = kill(stage)  # makes the accounts
    assert (exit_code, receipt["is_flat"]) == (0, True)
    hold(stage, vest_e8=3 * SIZE_E8, paradex_e8=-2 * SIZE_E8)
    stage.add_fault("vest", "rest.orders.create", times=None, status=503, body=b"{}")

    exit_code, receipt = kill(stage, "--timeout-s", "10")

    assert (exit_code, receipt["is_flat"]) == (1, False)
    vest, paradex = receipt["venues"]["vest"], receipt["venues"]["paradex"]
    assert not vest["is_flat"]
    assert vest["reads"][-1] == {
        "unix_ms": vest["reads"][-1]["unix_ms"],
        "positions_e8": {"BTC-PERP": 3 * SIZE_E8},
        "open_orders": [],
    }
    assert paradex["is_flat"]
    assert [len(item["cancelled"]) for item in (vest, paradex)] == [1, 1]
    assert stage.open_orders() == []
    bands = [close["band_bps"] for close in vest["closes"]]
    assert bands[:3] == [10.0, 25.0, 50.0]
    assert max(bands) <= 400.0

    stage.clear_faults()
    exit_code, receipt = kill(stage)
    assert (exit_code, receipt["is_flat"]) == (0, True)
    assert stage.positions_e8 == FLAT


def test_without_the_keys_of_one_venue_the_other_is_closed_all_the_same(stage: Stage) -> None:
    kill(stage)
    hold(stage, vest_e8=SIZE_E8, paradex_e8=-SIZE_E8)
    poor = stage.env_file.with_name("poor.env")
    poor.write_text("".join(line for line in stage.env_file.open() if not line.startswith("VEST_")))

    exit_code, receipt = kill(stage, env_file=poor)

    assert exit_code == 1
    assert "VEST_PRIMARY_PRIVATE_KEY" in receipt["venues"]["vest"]["problems"][0]
    assert receipt["venues"]["paradex"]["is_flat"]
    assert stage.positions_e8 == {"vest": SIZE_E8, "paradex": 0}


def test_reconcile_shows_what_disagrees_and_closes_it_when_told_to(stage: Stage) -> None:
    """Somebody traded on the account: the executor touches nothing until the operator has decided."""
    instance = stage.start()
    try:
        instance.wait_for("running")
        hold(stage, vest_e8=SIZE_E8, paradex_e8=-SIZE_E8)
        instance.wait_for("halted")
        command = ["reconcile", "--config", str(stage.config), "--env-file", str(stage.env_file)]
        assert main(command) == 1
        assert stage.positions_e8 == {"vest": SIZE_E8, "paradex": -SIZE_E8}

        assert main([*command, "--flatten"]) == 0
        instance.wait_for("reconciled")
        assert stage.positions_e8 == FLAT
        assert stage.open_orders() == []
    finally:
        exit_code = instance.stop()
    assert exit_code == 0
