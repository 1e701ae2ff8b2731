"""Fault scripts: every file is usable, mistakes are named, and what they do is seen on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from simulator import fault_scripts
from simulator.__main__ import main
from simulator.fault_runs import FaultRuns, Simulator
from simulator.fault_scripts import ScriptError
from simulator.vest.errors import Code
from tests.simulator.vest_server import VestServer, a_vest
from tests.waiting import eventually


class OneVenue:
    """A simulator of Vest alone, as far as scripts need one that stays up."""

    def __init__(self, vest: VestServer) -> None:
        self.fronts = {"vest": vest.front}
        self.clocks: dict[str, object] = {}


Start = Callable[[VestServer, str], Awaitable[FaultRuns]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Begins a script, given as the command line has it. All are ended with the test."""
    started: list[FaultRuns] = []

    async def start(vest: VestServer, text: str) -> FaultRuns:
        simulator: Simulator = OneVenue(vest)  # type: ignore[assignment]  # mute and restart: not asked for
        runs = FaultRuns(simulator)
        started.append(runs)
        await runs.start(fault_scripts.parse(text))
        return runs

    yield start
    for runs in started:
        await runs.stop()


@pytest.mark.parametrize("name", fault_scripts.names())
def test_every_script_is_usable_by_name(name: str) -> None:
    """What --list-faults prints can be run with the very values it prints."""
    parameters = fault_scripts.parameters_of(name)
    spoken_out = fault_scripts.load(name, **parameters)
    assert spoken_out.chosen_venues == fault_scripts.load(name).chosen_venues
    assert fault_scripts.parameters_of(name) == parameters
    assert {key: getattr(spoken_out, key) for key in parameters} == parameters


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("no_such_script", ""),
        ("stall:colour=red", "colour"),
        ("stall:for_s=soon", "for_s"),
        ("stall:venue=nowhere", "venue"),
        ("stall:for_s=1,for_s=2", "for_s"),
        ("order_missing_by_id:venue=vest", "venue"),
        ("rejected_late:reason=mood", "reason"),
    ],
)
def test_a_mistake_is_named(text: str, key: str) -> None:
    """An operator reads which key is wrong, before anything starts."""
    with pytest.raises(ScriptError) as caught:
        fault_scripts.parse(text)
    assert caught.value.key == key


def test_the_command_lists_every_script(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be run is found without reading the source."""
    with pytest.raises(SystemExit) as ended:
        main(["--list-faults"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if not line.startswith(" ")] == fault_scripts.names()


async def test_a_code_the_venue_does_not_have_is_refused(start: Start) -> None:
    """Codes differ from venue to venue: a script must not invent one."""
    async with a_vest() as vest:
        with pytest.raises(ScriptError, match="vest has no '9999'"):
            await start(vest, "rejected:venue=vest,code=9999")


async def test_a_lost_reply_hides_an_order_that_was_carried_out(start: Start) -> None:
    """The case in which sending again would double the order."""
    async with a_vest() as vest:
        client = await vest.client()
        await start(vest, "reply_lost:venue=vest")
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            async with asyncio.timeout(0.5):
                await client.place(client.market(price="60010.00"))
        assert (await client.account())["positions"] != []


async def test_a_rejected_order_was_not_carried_out(start: Start) -> None:
    """With the code that was asked for, once; the next order is taken."""
    async with a_vest() as vest:
        client = await vest.client()
        await start(vest, "rejected:venue=vest,code=3002")
        assert await client.refused("/orders", client.market(price="60010.00")) == 3002
        assert (await client.account())["positions"] == []
        await client.place(client.market(price="60010.00"))


async def test_an_order_is_filled_in_steps(start: Start) -> None:
    """Every part is an event of its own, and the sum is the order."""
    async with a_vest() as vest:
        client = await vest.client()
        stream = await client.private_stream()
        await start(vest, "filled_in_steps:venue=vest,steps=4,delay_ms=20")
        await client.place(client.market(price="60010.00"))
        events = await stream.order_events(5)
        assert [event["status"] for event in events] == ["NEW", *["PARTIALLY_FILLED"] * 3, "FILLED"]


async def test_an_event_is_told_twice(start: Start) -> None:
    """The same bytes again: a client that adds up what it hears counts it double."""
    async with a_vest() as vest:
        client = await vest.client()
        stream = await client.private_stream()
        await start(vest, "event_duplicated:venue=vest")
        await client.place(client.market(price="60010.00"))
        statuses = [event["status"] for event in await stream.order_events(4)]
        assert statuses == ["NEW", "NEW", "FILLED", "FILLED"]


async def test_a_position_is_read_wrong_once(start: Start) -> None:
    """One answer says flat; the next one says the truth."""
    async with a_vest() as vest:
        client = await vest.client()
        await client.finished(await client.place(client.market(price="60010.00")))
        await start(vest, "position_misread:venue=vest")
        first, second = (await client.account())["positions"], (await client.account())["positions"]
        assert (len(first), len(second)) == (0, 1)


async def test_a_position_is_liquidated(start: Start) -> None:
    """The venue closes what the client holds, and no order of the client is to blame."""
    async with a_vest() as vest:
        client = await vest.client()
        await start(vest, "liquidated:venue=vest")
        await client.place(client.market(price="60010.00"))

        async def is_closed() -> bool:
            return not (await client.account())["positions"]

        await eventually(is_closed, "the position's end")


async def test_stopping_a_script_heals_the_venue(start: Start) -> None:
    """The end of a test or of ``for_s`` leaves nothing behind."""
    async with a_vest() as vest:
        client = await vest.client()
        runs = await start(vest, "maintenance:venue=vest")
        assert await client.refused("/orders", client.market(price="60010.00")) == Code.MARKET_CLOSED
        await runs.stop()
        await client.place(client.market(price="60010.00"))
