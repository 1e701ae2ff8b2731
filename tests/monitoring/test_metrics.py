"""What Prometheus scrapes is what the memory says; nobody else can ask."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.core import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics import InstanceCollector
from settings import PROJECT
from shm.layout import Memory
from shm.records import PairPhase, QuoteFlags
from supervision.memory_plan import memory_plan, process_counters
from tests.tools.shown import Shown, shown_instance
from tests.waiting import DEADLINE_S
from tools.__main__ import main
from venues.contract import E8

E3 = 1_000


@pytest.fixture
def shown() -> Iterator[Shown]:
    with shown_instance() as instance:
        yield instance


@pytest.fixture
def registry(shown: Shown) -> CollectorRegistry:
    runtime = shown.settings.runtime.model_copy(update={"memory_dir": str(shown.directory.parent)})
    registry = CollectorRegistry()
    registry.register(InstanceCollector(shown.settings.model_copy(update={"runtime": runtime})))
    return registry


def test_values_are_in_base_units_under_stable_names(shown: Shown, registry: CollectorRegistry) -> None:
    """Dashboards and alerts depend on both."""
    shown.quote(0, 100.0, 101.0)
    shown.quote(1, 99.0, 100.0)
    shown.view(0, phase=PairPhase.HALTED, direction=-1, size_e8=E8 // 2, naked_e8=-E8 // 4)
    shown.count("executor", net_e8_total=-3 * E8, naked_us_total=1_500_000, orders_in_doubt=2)
    shown.count("detector", **{"gate.btc.edge": 41, "evaluations.btc": 42, "signals.btc": 1})
    shown.count("supervisor", **{"restarts.detector": 3})

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("tandem_up") == 1
    assert value("tandem_pair_phase", pair="btc", phase="halted") == 1
    assert value("tandem_pair_phase", pair="btc", phase="flat") == 0
    assert value("tandem_hedged_base", pair="btc") == -0.5
    assert value("tandem_net_delta_base", pair="btc") == -0.25
    assert value("tandem_spread_bps", pair="btc", direction="backward") == 0
    assert value("tandem_realized_pnl_quote") == -3
    assert value("tandem_naked_seconds_total") == 1.5
    assert value("tandem_orders_in_doubt") == 2
    assert value("tandem_entry_rejections_total", pair="btc", gate="edge") == 41
    assert value("tandem_process_restarts_total", proc="detector") == 3
    assert value("tandem_process_state", proc="detector", state="running") == 1


def test_a_stages_histogram_keeps_count_and_order_of_magnitude(
    shown: Shown, registry: CollectorRegistry
) -> None:
    for duration_us in (10, 10, 900):
        shown.record("executor", "leg_gap", duration_us * E3)
    labels = {"proc": "executor", "stage": "leg_gap"}
    assert registry.get_sample_value("tandem_stage_latency_seconds_count", labels) == 3
    total_s = registry.get_sample_value("tandem_stage_latency_seconds_sum", labels)
    assert total_s == pytest.approx(920e-6, rel=0.13)
    bounds = {
        sample.labels["le"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name.endswith("_bucket") and sample.labels["stage"] == "leg_gap"
    }
    assert bounds["1.6384e-05"] == 2
    assert bounds["0.000262144"] == 2
    assert bounds["0.00104858"] == 3


def test_the_endpoint_serves_the_instance_and_outlives_it(shown: Shown, tmp_path: Path) -> None:
    """A restart of the instance is no reason to lose its metrics; its absence is one of them."""
    raw = yaml.safe_load((PROJECT / "config.yaml").read_text())
    raw["runtime"]["memory_dir"] = str(shown.directory.parent)
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    words = ["-m", "tools", "metrics", "-c", str(config), "--bind", "127.0.0.1:0"]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, cwd=PROJECT)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().split()[1]

        def up() -> float:
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                families = text_string_to_metric_families(answer.read().decode())
                values = {sample.name: sample.value for family in families for sample in family.samples}
                return values["tandem_up"]

        assert up() == 1
        os.rename(shown.directory, shown.directory.parent / "gone")
        assert up() == 0
        Memory.create(shown.directory, memory_plan(shown.settings), process_counters(shown.settings))
        assert up() == 1  # another instance's memory under the same name
        Memory.remove(shown.directory.parent / "gone")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_it_listens_on_loopback_only(capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("0.0.0.0:9464", "10.0.0.1:9464", "9464", "[::]:1"):
        with pytest.raises(SystemExit) as ended:
            main(["metrics", "--bind", address])
        assert ended.value.code == 2
    assert "loopback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("process", "counters", "exit_code"),
    [("executor", {}, 0), ("supervisor", {"heartbeat_mono_ns": 1}, 1), ("feed-vest", {"connected": 0}, 1)],
)
def test_status_is_whole_as_json_and_its_exit_code_says_whether_to_look(
    shown: Shown,
    capfdbinary: pytest.CaptureFixture[bytes],
    process: str,
    counters: dict[str, int],
    exit_code: int,
) -> None:
    for venue in shown.settings.venue_names:
        shown.count(f"feed-{venue}", connected=1)
    shown.view(0)
    shown.quote(0, 100.0, 101.0)
    shown.count(process, **counters)

    assert main(["status", "--json", "--memory", str(shown.directory)]) == exit_code

    status = json.loads(capfdbinary.readouterr().out)
    assert status["pairs"][0]["pair"] == "btc"
    assert status["pairs"][0]["phase"] == "FLAT"
    assert status["pairs"][0]["legs"][0]["quote"]["bid_e8"] == 100 * E8
    assert status["pairs"][0]["legs"][0]["leg"] == {"venue": "vest", "symbol": "BTC-PERP"}


def test_a_halted_pair_is_something_to_look_at(shown: Shown) -> None:
    for venue in shown.settings.venue_names:
        shown.count(f"feed-{venue}", connected=1)
    shown.view(0, phase=PairPhase.HALTED)
    assert main(["status", "--memory", str(shown.directory)]) == 1


@pytest.mark.parametrize(
    ("flags", "age_s", "exit_code"),
    [
        (QuoteFlags.VALID, 60, 0),  # a calm market
        (QuoteFlags.STALE, 1, 1),
        (0, 1, 0),  # a crossed moment
        (0, 60, 1),  # frames that cannot be read
    ],
)
def test_one_symbol_without_prices_is_something_to_look_at(
    shown: Shown, flags: int, age_s: int, exit_code: int
) -> None:
    """Its connection lives on the others, so nothing else says so."""
    for venue in shown.settings.venue_names:
        shown.count(f"feed-{venue}", connected=1)
    shown.view(0)
    shown.quote(0, 100.0, 101.0)
    shown.quote(2, 100.0, 101.0, flags, age_s=age_s)
    assert main(["status", "--memory", str(shown.directory)]) == exit_code
