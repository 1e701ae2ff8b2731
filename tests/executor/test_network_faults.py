"""The real executor behind a faulty network; all of it: ``make proxy``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from persistence.server import start_server
from tests.instance import a_directory
from verification.proxy.kinds import FAULTS, Fault, Kind, Road
from verification.proxy.play import play
from verification.proxy.relay import Relay, _made, _road_down, _road_up


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    with a_directory() as directory:
        yield start_server(directory / "var")


@pytest.mark.parametrize(
    "fault",
    [Fault("vest", Road.CREATE, Kind.EDGE_PAGE_AFTER), Fault("paradex", Road.ANSWER, Kind.DROP)],
    ids=str,
)
async def test_it_ends_flat_with_the_figures_of_the_accounts(fault: Fault, server_url: str) -> None:
    outcome = await play(fault, "entry", server_url, fault.road.value)
    assert outcome.struck
    assert outcome.broken == []
    assert outcome.ends[-1] == "FLAT"


def test_there_are_88_kinds_and_each_is_one_of_its_road() -> None:
    assert len(FAULTS) == len(set(FAULTS)) == 88


def test_a_fault_strikes_the_road_it_is_for_and_as_often_as_asked() -> None:
    relay = Relay(1)
    relay.arm(Road.READ, Kind.DROP, times=2)
    found = [relay._take(road) for road in (Road.CREATE, Road.READ, Road.READ, Road.READ)]
    assert found == [None, Kind.DROP, Kind.DROP, None]
    assert relay.struck == 2


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_says_its_own_length(size: int) -> None:
    whole = _made(0x81, b"x" * size, is_masked=False)
    head = {0: 2, 125: 2, 126: 4, 65_535: 4, 65_536: 10}[size]
    assert len(whole) == head + size
    assert len(_made(0x81, b"x" * size, is_masked=True)) == head + 4 + size


def test_messages_are_told_apart_by_their_content() -> None:
    assert _road_up(b'{"id":1,"method":"order.create","params":{}}') is Road.CREATE
    assert _road_up(b'{"id":1,"method":"order.cancel","params":{}}') is None
    assert _road_down(b'{"id":1,"result":{"order":{}}}') is Road.ANSWER
    assert _road_down(b'{"method":"subscription","params":{"channel":"orders.ALL"}}') is Road.EVENT
    assert _road_down(b'{"event":"ORDER","args":{}}') is Road.EVENT
    assert _road_down(b'{"data":"PONG"}') is None
