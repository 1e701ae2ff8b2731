"""The order connections against a scripted server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from executor.gateway import NotSent
from executor.http_pool import AnswerLost, HttpPool
from venues.contract import HttpRequest, HttpResponse

PING = HttpRequest("GET", "/ping")
ORDER = HttpRequest("POST", "/orders", (("X-API-KEY", "k"),), b'{"size":"1"}')
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Seen: Yes\r\n\r\n{"id":"0x1"}'[:-1]

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One whole request, head and body; IncompleteReadError once the client is gone."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


@asynccontextmanager
async def serving(script: Script, *, size: int = 1, **options: float) -> AsyncIterator[HttpPool]:
    """A pool against a server that runs ``script`` for each connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = {"ping_interval_s": 60.0, **options}
    pool = HttpPool(f"http://127.0.0.1:{port}/v2", size=size, ping=PING, **options)  # type: ignore[arg-type]
    task = asyncio.create_task(pool.run())
    try:
        await until(lambda: pool.free == size)
        yield pool
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


async def answer_to(pool: HttpPool, request: HttpRequest = ORDER) -> HttpResponse | AnswerLost:
    future: asyncio.Future[HttpResponse | AnswerLost] = asyncio.get_running_loop().create_future()
    pool.send(pool.render(request), future.set_result)
    return await asyncio.wait_for(future, 5.0)


async def test_the_bytes_on_the_wire_are_one_complete_request() -> None:
    """The venue sees host, base path, headers and body exactly once."""
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK)
        await reader.read()

    async with serving(script) as pool:
        answer = await answer_to(pool)

    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v2/orders HTTP/1.1"
    assert lines[1].startswith("Host: 127.0.0.1:")
    assert lines[2:] == ["X-API-KEY: k", "Content-Length: 12"]
    assert body == ORDER.body
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.headers["x-seen"], answer.body) == (200, "Yes", b'{"id":"0x1"')


async def test_one_connection_serves_many_requests() -> None:
    """Keep-alive is the point: no handshake between orders."""
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await read_request(reader)
            writer.write(OK)

    async with serving(script) as pool:
        for _ in range(20):
            assert isinstance(await answer_to(pool), HttpResponse)
    assert connections == 1


async def test_a_chunked_answer_after_an_interim_one_is_whole() -> None:
    """Proxies answer 100 first and chunk the rest, byte by byte if they like."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        parts = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"
        for byte in parts + b"3\r\n{co\r\n4\r\nde:1\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        await reader.read()

    async with serving(script) as pool:
        answer = await answer_to(pool)
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.body) == (400, b"{code:1")


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-3], b"HTTP/1.1 200 OK\r\n\r\n{}"])
async def test_an_answer_cut_short_is_lost_and_the_connection_replaced(part: bytes) -> None:
    """What the order did is unknown; a length-less answer ended by the close is no better."""
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(part if connections == 1 else OK)

    async with serving(script) as pool:
        lost = await answer_to(pool)
        await until(lambda: pool.free == 1)
        again = await answer_to(pool)
    assert isinstance(lost, AnswerLost)
    assert isinstance(again, HttpResponse)


async def test_what_is_not_http_is_lost() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        await reader.read()

    async with serving(script) as pool:
        answer = await answer_to(pool)
    assert isinstance(answer, AnswerLost)
    assert "not HTTP" in answer.reason


async def test_two_answers_to_one_request_are_none() -> None:
    """Which of them is ours cannot be known."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        second = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        writer.write(OK[:-11] + b"x" * 11 + second)
        await reader.read()

    async with serving(script) as pool:
        answer = await answer_to(pool)
    assert answer == AnswerLost("the server sent what nobody asked for")


async def test_a_server_that_announces_its_close_loses_nothing() -> None:
    """``Connection: close`` is an orderly end: the answer counts, the connection is replaced."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK.replace(b"X-Seen: Yes", b"Connection: close"))
        await writer.drain()

    async with serving(script) as pool:
        first = await answer_to(pool)
        await until(lambda: pool.free == 1)
        second = await answer_to(pool)
    assert isinstance(first, HttpResponse)
    assert isinstance(second, HttpResponse)


async def test_an_idle_connection_closed_by_the_server_is_not_used() -> None:
    """Writing into a dead connection would put an order in doubt for nothing."""
    accepted = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        if accepted > 1:
            await read_request(reader)
            writer.write(OK)
            await reader.read()

    async with serving(script, size=1) as pool:
        await until(lambda: accepted == 2 and pool.free == 1)
        assert isinstance(await answer_to(pool), HttpResponse)


async def test_with_every_connection_busy_nothing_is_written() -> None:
    """NotSent is a promise; a queue of orders behind a slow answer would be a lie."""
    written: list[bytes] = []
    release = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            written.append(await read_request(reader))
            await release.wait()
            writer.write(OK)

    async with serving(script, size=2) as pool:
        answers = [asyncio.create_task(answer_to(pool)) for _ in range(2)]
        await until(lambda: len(written) == 2)
        with pytest.raises(NotSent, match="none of 2"):
            pool.send(pool.render(ORDER), lambda _: None)
        release.set()
        assert all(isinstance(answer, HttpResponse) for answer in await asyncio.gather(*answers))
    assert len(written) == 2


async def test_an_answer_that_never_comes_frees_the_connection_in_the_end() -> None:
    """The caller has long asked elsewhere; the connection must not stay busy for ever."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(script, ping_interval_s=0.02, answer_limit_s=0.05) as pool:
        answer = await answer_to(pool)
    assert answer == AnswerLost("no answer within the limit")


async def test_pings_are_measured() -> None:
    """The round trip of every connection is known while nothing is traded."""
    measured: list[int] = []
    paths: set[bytes] = set()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            paths.add((await read_request(reader)).split(b"\r\n")[0])
            writer.write(OK)

    async with serving(script, size=2, ping_interval_s=0.01) as pool:
        pool._on_round_trip_ns = measured.append
        await until(lambda: len(measured) >= 4)
    assert all(0 < duration < 1_000_000_000 for duration in measured)
    assert paths == {b"GET /v2/ping HTTP/1.1"}


async def test_stopping_the_pool_reports_what_was_in_flight() -> None:
    """No caller waits for ever for an answer that nobody reads any more."""
    answers: list[HttpResponse | AnswerLost] = []
    arrived = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    async with serving(script) as pool:
        pool.send(pool.render(ORDER), answers.append)
        await arrived.wait()
    assert answers == [AnswerLost("the connection was closed by us")]
