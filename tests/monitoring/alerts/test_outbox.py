"""A target's queue: bounded, patient with a service that is away, and never a flood."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from monitoring.alerts.book import Condition, Message, Severity, State
from monitoring.alerts.outbox import Outbox
from monitoring.alerts.targets import Alert, make_targets
from settings import PROJECT, load_raw, parse_settings
from tests.monitoring.alerts.servers import Service, http_service
from tests.waiting import DEADLINE_S, wait_until

Told = tuple[str, str, int, str]


def an_alert(number: int, severity: Severity = Severity.WARNING) -> Alert:
    condition = Condition("stall", f"stall.{number}", severity, str(number))
    return Alert(Message(State.RAISED, condition, 0.0, 0), time.time(), "demo", "sim")


@contextmanager
def an_outbox(
    service: Service, directory: Path, *, max_waiting: int = 100, max_per_minute: int = 600
) -> Iterator[tuple[Outbox, SimpleQueue[Told]]]:
    env_file = directory / ".env"
    env_file.write_text(f"HOOK={service.url}/hook\n")
    raw = {**load_raw(PROJECT / "config.yaml"), "alerts": {"webhook_env": "HOOK"}}
    (target,) = make_targets(parse_settings(raw, "test").alerts, env_file)
    reported: SimpleQueue[Told] = SimpleQueue()
    outbox = Outbox(
        target,
        max_waiting=max_waiting,
        max_per_minute=max_per_minute,
        report=lambda *words: reported.put(words),
    )
    yield outbox, reported
    outbox.close()


def keys(service: Service) -> Sequence[str]:
    return [alert["key"] for alert in service.alerts()]


@pytest.fixture
def service() -> Iterator[Service]:
    with http_service() as service:
        yield service


def test_a_service_that_was_away_gets_everything_once_and_in_order(service: Service, tmp_path: Path) -> None:
    """What could not be told is told when it can be, as one message."""
    service.status = 503
    with an_outbox(service, tmp_path) as (outbox, reported):
        outbox.put(an_alert(0))
        service.wait_until(lambda it: it.attempts >= 2)
        for number in range(1, 6):
            outbox.put(an_alert(number))
        service.status = 200
        service.wait_until(lambda it: len(it.alerts()) == 6)
        outbox.close()
        assert outbox.join(60)
    assert keys(service) == [f"stall.{number}" for number in range(6)]
    assert len(service.taken) == 1
    outcomes = [reported.get_nowait()[0] for _ in range(reported.qsize())]
    assert outcomes.count("failed") >= 2
    assert outcomes[-1] == "sent"


def test_tries_come_further_and_further_apart(service: Service, tmp_path: Path) -> None:
    """A service in trouble is not hammered, and neither are our cores."""
    service.status = 500
    with an_outbox(service, tmp_path) as (outbox, _):
        outbox.put(an_alert(0))
        service.wait_until(lambda it: it.attempts == 1)
        first_s = time.monotonic()
        service.wait_until(lambda it: it.attempts == 2)
        second_s = time.monotonic()
        service.wait_until(lambda it: it.attempts == 3)
        third_s = time.monotonic()
        service.status = 200
        outbox.close()
        assert outbox.join(60)
    assert second_s - first_s >= 0.9
    assert third_s - second_s >= 1.9


def test_the_queue_is_bounded_and_what_is_grave_stays(service: Service, tmp_path: Path) -> None:
    """A week's outage must not fill memory; how many are lost is told."""
    service.status = 500
    with an_outbox(service, tmp_path, max_waiting=3) as (outbox, reported):
        outbox.put(an_alert(0, Severity.CRITICAL))
        for number in range(1, 8):
            outbox.put(an_alert(number))
        assert outbox.waiting == 3
        service.status = 200
        service.wait_until(lambda it: len(it.alerts()) == 3)
        outbox.close()
        assert outbox.join(60)
    assert keys(service) == ["stall.0", "stall.6", "stall.7"]
    assert service.taken[-1].body["dropped"] == 5
    assert [reported.get_nowait()[0] for _ in range(reported.qsize())].count("dropped") == 5


def test_more_than_the_rate_allows_waits_and_comes_as_one(service: Service, tmp_path: Path) -> None:
    """Four a minute are allowed: what comes after them is held together until the next may go."""
    began_s = time.monotonic()
    with an_outbox(service, tmp_path, max_per_minute=4) as (outbox, _):
        for number in range(4):
            outbox.put(an_alert(number))
            service.wait_until(lambda it, count=number + 1: len(it.taken) == count)  # type: ignore[misc]
        wait_until(lambda: outbox.waiting == 0)
        for number in range(4, 12):
            outbox.put(an_alert(number))
        outbox.close()
        assert outbox.join(DEADLINE_S)
    took_s = time.monotonic() - began_s
    # One more each 15 s, however long this took here; on a machine with nothing else to do, five.
    assert 5 <= len(service.taken) <= 4 + took_s // 15
    assert keys(service) == [f"stall.{number}" for number in range(12)]
