"""``python -m tools alerts`` as processes: as a real supervisor's child, and by hand beside an instance."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability import logs
from persistence.journal import Journal, journal_directory
from runtime import bootstrap
from runtime.epochs import Epochs
from settings import E8, PROJECT, Settings, load_raw, parse_settings
from shm.counter_names import ALERTS_COUNTERS, supervisor_counters
from shm.counters import CounterTable
from shm.layout import Memory
from shm.records import PairPhase
from supervision.memory_plan import memory_plan, process_counters
from supervision.preflight import resolve
from supervision.process_table import Child, ProcessState
from supervision.supervisor import Supervisor
from tests.instance import Instance, a_directory, memory_dir, write_config
from tests.monitoring.alerts.servers import Service, http_service
from tests.reported import an_event
from tests.tools.shown import FLAT_VIEW
from tests.waiting import DEADLINE_S, wait_until

SECRET = "canary-of-the-webhook"


@pytest.fixture
def service() -> Iterator[Service]:
    with http_service() as service:
        yield service


@contextmanager
def an_instance(service: Service) -> Iterator[Instance]:
    """The shipped simulation with a webhook; ended and removed in any case."""
    with a_directory() as directory:
        wanted = {"webhook_env": "TANDEM_TEST_HOOK", "min_severity": "info", "repeat_s": 0}
        config = write_config(directory, alerts=wanted)
        instance = Instance(config, env={"TANDEM_TEST_HOOK": f"{service.url}/{SECRET}"})
        try:
            yield instance
        finally:
            instance.process.send_signal(signal.SIGTERM)
            try:
                instance.finish()
            finally:
                shutil.rmtree(memory_dir(config), ignore_errors=True)


def test_a_child_tells_what_happens_its_own_death_touches_nobody_and_it_outlives_its_supervisor(
    service: Service,
) -> None:
    """One life of an instance: up, a feed killed and back, the latch, the alerter killed, the end of all."""
    with an_instance(service) as instance:
        instance.wait_for("running")
        service.wait_for_alert(kind="life", text="everything is up (mode sim)")
        _check_that_nobody_else_sees_the_secret(instance)

        os.kill(instance.pid_of("feed-vest"), signal.SIGKILL)
        dead = service.wait_for_alert(key="crash.feed-vest", state="raised")
        assert "exit code -9" in dead["text"]
        assert (dead["severity"], dead["mode"], dead["bot_id"]) == ("critical", "sim", "test")
        service.wait_for_alert(key="crash.feed-vest", state="resolved")

        latch = Path(load_raw(instance.config)["persistence"]["var_dir"]) / "kill-test"
        latch.touch()
        service.wait_for_alert(key="kill", state="raised")
        instance.wait_for(lambda line: line["event"] == "alert_sent")

        instance.take_waiting()
        others = {name: instance.pid_of(name) for name in ("executor", "detector", "persistence")}
        os.kill(instance.pid_of("alerts"), signal.SIGKILL)
        instance.wait_for(lambda line: _is_state(line, "alerts", "running"))
        service.wait_until(lambda it: len(_raised(it, "kill")) == 2)  # it finds what stands
        latch.unlink()
        service.wait_for_alert(key="kill", state="resolved")
        assert {name: instance.pid_of(name) for name in others} == others
        assert len(_raised(service, "crash.feed-vest")) == 1  # but tells nothing twice that is over

        instance.process.kill()
        died = service.wait_for_alert(key="supervisor.died")
        assert died["severity"] == "critical"
        assert not [line for line in instance.lines if SECRET in json.dumps(line)]


def _check_that_nobody_else_sees_the_secret(instance: Instance) -> None:
    pids = {name: instance.pid_of(name) for name in ("executor", "detector", "persistence", "alerts")}
    for kind, holders in (("environ", {"alerts"}), ("cmdline", set())):
        read = {name: Path(f"/proc/{pid}/{kind}").read_bytes() for name, pid in pids.items()}
        assert {name for name, data in read.items() if SECRET.encode() in data} == holders


class Beside:
    """An instance's memory and journal, written by the test, and an alerter started by hand."""

    def __init__(self, directory: Path, service: Service) -> None:
        wanted = {"webhook_env": "TANDEM_TEST_HOOK", "min_severity": "info", "repeat_s": 0, "venue_lost_s": 0}
        self.config = write_config(directory, alerts=wanted)
        self.settings: Settings = resolve(load_raw(self.config), "test")[0]
        self.directory = memory_dir(self.config) / f"tandem-{self.settings.bot_id}"
        self.journal = Journal(journal_directory(self.settings), "run", 1)
        self.environment = {**os.environ, "TANDEM_TEST_HOOK": f"{service.url}/{SECRET}"}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools", "alerts", "--config", str(self.config)],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        return self.process

    def tell(self, event: str, *, ago_s: float = 0.0, **fields: Any) -> None:
        def keep(line: bytes) -> bool:
            content = json.loads(line)
            at = datetime.fromisoformat(content["ts"]) - timedelta(seconds=ago_s)
            line = json.dumps({**content, "ts": at.isoformat()}).encode()
            return self.journal.append("test", 0, line) > 0

        logs.Reporter("test", run_id="run", to_queue=keep, level=None).report(an_event(event, **fields))
        self.journal.sync()

    def begin(self) -> None:
        """An instance that has just begun."""
        Memory.create(self.directory, memory_plan(self.settings), process_counters(self.settings))
        self.count("supervisor", started_mono_ns=time.monotonic_ns())
        self.count("supervisor", heartbeat_mono_ns=time.monotonic_ns() + 3_600 * 10**9)

    def count(self, process: str, **values: int) -> None:
        counters = Memory(self.directory).counters(process, writer=True)
        for name, value in values.items():
            counters.set(counters.index(name), value)
        counters.close()

    def reload(self, **risk: str) -> None:
        """Other limits, as a running instance takes them up."""
        raw = load_raw(self.config)
        raw["risk"] |= risk
        bootstrap.write_launch(self.directory, load_raw(self.config), "run", [])
        bootstrap.publish_settings(self.directory, raw)

    def halt(self) -> None:
        pairs = Memory(self.directory).pairs(writer=True)
        pairs.write(0, FLAT_VIEW._replace(phase=PairPhase.HALTED))
        pairs.close()

    def end(self) -> None:
        shutil.rmtree(self.directory)

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(memory_dir(self.config), ignore_errors=True)


@pytest.fixture
def beside(service: Service, tmp_path: Path) -> Iterator[Beside]:
    harness = Beside(tmp_path, service)
    yield harness
    harness.close()


def test_by_hand_it_finds_what_stands_and_follows_a_restart(beside: Beside, service: Service) -> None:
    """Started in the middle of trouble: what holds is told, what is over or of another run is not.

    And what an instance left at the venues stands until the next one has looked at them.
    """
    lost: dict[str, Any] = {"what": "private stream", "detail": "closed"}
    beside.tell("venue_lost", ago_s=3_600, venue="paradex", **lost)
    beside.begin()
    beside.tell("venue_lost", venue="vest", **lost)
    beside.tell("naked_end", pair="eth", naked_ms=9_000.0)
    process = beside.start()
    service.wait_for_alert(key="venue.vest.stream", state="raised")
    beside.halt()
    service.wait_for_alert(key="halted.btc", state="raised")
    beside.tell("naked_end", pair="btc", naked_ms=7_000.0)
    service.wait_for_alert(key="naked.btc.ended", state="notice")
    keys = {alert["key"] for alert in service.alerts()}
    assert not keys & {"venue.paradex.stream", "naked.eth.ended"}

    beside.end()
    beside.begin()
    beside.count("executor", breaker=1)
    service.wait_for_alert(key="breaker", state="raised")
    service.wait_for_alert(key="venue.vest.stream", state="resolved")
    assert "halted.btc" not in {alert["key"] for alert in service.alerts() if alert["state"] == "resolved"}
    beside.count("executor", ready=1)
    service.wait_for_alert(key="halted.btc", state="resolved")

    beside.reload(max_daily_loss_quote="50")
    beside.count("executor", result_today_e8=-60 * E8)
    facts = service.wait_for_alert(key="loss.daily", state="raised")
    assert "today's loss 60.00 has reached the limit 50.00" in facts["text"]

    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


ORPHAN = """
import os, pathlib, sys
sys.path.insert(0, sys.argv[1])
from monitoring.alerts.process import has_lost
said, parent = pathlib.Path(sys.argv[2]), os.getpid()
child = os.fork()
if child == 0:
    before = has_lost(parent, 0.2)
    (said / "begun").touch()
    after = has_lost(parent, 60)
    (said / "unfinished").write_text(f"{before} {after}")
    (said / "unfinished").rename(said / "logged")
    os._exit(0)

def rests():
    status = pathlib.Path(f"/proc/{child}/status").read_text()
    return int(status.partition("\\nvoluntary_ctxt_switches:")[2].split()[0])

while not (said / "begun").exists():
    os.sched_yield()
before = rests()
while rests() < before + 2:  # it has looked for its parent, and waits to look again
    os.sched_yield()
"""


def test_a_parent_that_dies_a_moment_after_its_death_was_told_is_missed(tmp_path: Path) -> None:
    """The signal may come before the kernel has given us another parent."""
    subprocess.run(
        [sys.executable, "-c", ORPHAN, str(PROJECT), str(tmp_path)], timeout=DEADLINE_S, check=True
    )
    wait_until(lambda: (tmp_path / "logged").exists())
    assert (tmp_path / "logged").read_text() == "False True"


def test_an_alerter_that_cannot_live_is_tried_again_and_stops_nothing(tmp_path: Path) -> None:
    """Seven quick deaths of any other process end the whole, and so does its exit code 2."""
    CounterTable.create(tmp_path / "supervisor", supervisor_counters(["alerts"]), [])
    CounterTable.create(tmp_path / "alerts", list(ALERTS_COUNTERS), [])
    lines: list[dict[str, Any]] = []

    def keep(line: bytes) -> bool:
        lines.append(json.loads(line))
        return True

    reporter = logs.Reporter("supervisor", run_id="r", to_queue=keep, level=None)
    settings = parse_settings(load_raw(PROJECT / "config.yaml"), "config.yaml")
    counters = CounterTable.attach(tmp_path / "supervisor", writer=True)
    supervisor = Supervisor(settings, reporter, counters, Epochs(tmp_path / "epoch"))
    command = [sys.executable, "-c", "raise SystemExit(2)"]
    table = CounterTable.attach(tmp_path / "alerts", readonly=True)
    child = Child("alerts", command, frozenset(), table, is_vital=False)
    supervisor.start(child)
    deadline_s = time.monotonic() + DEADLINE_S
    while child.state is not ProcessState.BACKOFF:
        assert time.monotonic() < deadline_s
        supervisor.poll(0.01)
    (death,) = [line for line in lines if line.get("state") == "backoff"]
    assert (death["exit_code"], death["retry_in_s"]) == (2, 60)

    child.command = [sys.executable, "-c", "raise SystemExit(3)"]
    child.quick_deaths = 6
    child.retry_mono_s = 0.0
    began_s = time.monotonic()
    supervisor.poll(0.01)  # started once more
    while child.state is not ProcessState.BACKOFF:
        assert time.monotonic() < deadline_s
        supervisor.poll(0.01)
    assert child.quick_deaths == 7
    assert child.retry_mono_s - began_s > 50
    assert supervisor.stop(0) == 0


@pytest.mark.parametrize(
    ("alerts", "logged"),
    [
        ({"webhook_env": "TANDEM_TEST_UNSET"}, "is named in alerts and missing"),
        ({"webhook_env": "VEST_PRIMARY_PRIVATE_KEY"}, "is a key of trading"),
    ],
)
def test_a_start_without_the_secret_is_refused(tmp_path: Path, alerts: dict[str, str], logged: str) -> None:
    """Whoever believes to be called must be told that they will not be; and a key is no address."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**load_raw(PROJECT / "config.yaml"), "alerts": alerts}))
    done = subprocess.run(
        [sys.executable, str(PROJECT / "supervisor.py"), "--config", str(config), "--check"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 2
    (refusal,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert logged in refusal["detail"]


def _is_state(line: Any, process: str, state: str) -> bool:
    return (line["event"], line.get("process"), line.get("state")) == ("process_state", process, state)


def _raised(service: Service, key: str) -> list[dict[str, Any]]:
    return [alert for alert in service.alerts() if alert["key"] == key and alert["state"] == "raised"]
