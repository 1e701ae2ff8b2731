"""The order connections against a scripted server on loopback."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from executor.gateways.contract import NotSent
from executor.gateways.http_pool import AnswerLost, HttpPool
from runtime.clock import SystemClock
from tests.waiting import DEADLINE_S, eventually
from venues.contract import HttpRequest, HttpResponse

PING = HttpRequest("GET", "/ping")
ORDER = HttpRequest("POST", "/orders", (("X-API-KEY", "k"),), b'{"size":"1"}')
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-Seen: Yes\r\n\r\n{"id":"0x1"}'[:-1]


def free(pool: HttpPool) -> int:
    """Connections that could take a request now."""
    free = sum(connection.is_free for connection in pool._connections)
    assert pool.has_free == (free > 0)
    return free


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One whole request, head and body; IncompleteReadError once the client is gone."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


@asynccontextmanager
async def serving(
    script: Script,
    *,
    size: int = 1,
    certificate: tuple[Path, Path] | None = None,
    trusts: Path | None = None,
    is_reachable: bool = True,
    **options: float,
) -> AsyncIterator[HttpPool]:
    """A pool against a server that runs ``script`` for each connection.

    With ``certificate`` (certificate, key) the server speaks TLS; the pool trusts ``trusts``.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    pool = HttpPool(
        f"{'https' if tls else 'http'}://127.0.0.1:{port}/v2",
        size=size,
        ping=PING,
        clock=SystemClock(),
        tls=ssl.create_default_context(cafile=trusts) if trusts else None,
        **{"ping_interval_s": 60.0, **options},  # type: ignore[arg-type]
    )
    task = asyncio.create_task(pool.run())
    try:
        if is_reachable:
            await eventually(lambda: free(pool) == size)
        yield pool
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()


async def answer_to(pool: HttpPool, request: HttpRequest = ORDER) -> HttpResponse | AnswerLost:
    future: asyncio.Future[HttpResponse | AnswerLost] = asyncio.get_running_loop().create_future()
    pool.send(pool.render(request), future.set_result)
    return await asyncio.wait_for(future, DEADLINE_S)


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
        await eventually(lambda: free(pool) == 1)
        again = await answer_to(pool)
    assert isinstance(lost, AnswerLost)
    assert isinstance(again, HttpResponse)


@pytest.mark.parametrize(
    ("answered", "why"),
    [
        (b"\x16\x03\x01 nonsense\r\n\r\n", "not HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00",
            "another protocol",
        ),
    ],
)
async def test_what_is_not_http_is_lost(answered: bytes, why: str) -> None:
    """Nor is what follows a switch to something else; the parser raises for it in its own way."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answered)
        await reader.read()

    async with serving(script) as pool:
        answer = await answer_to(pool)
    assert isinstance(answer, AnswerLost)
    assert why in answer.reason


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


async def test_a_connection_whose_close_is_announced_is_used_no_more() -> None:
    """The answer counts; but the server reads nothing after it, however long the socket stands."""
    connections = 0
    free_at_answer: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(OK.replace(b"X-Seen: Yes", b"Connection: close"))
        await reader.read()

    async with serving(script) as pool:
        pool.send(pool.render(ORDER), lambda _: free_at_answer.append(free(pool)))
        await eventually(lambda: bool(free_at_answer) and free(pool) == 1)
        assert isinstance(await answer_to(pool), HttpResponse)
    assert free_at_answer == [0]
    assert connections == 2


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
        await eventually(lambda: accepted == 2 and free(pool) == 1)
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
        await eventually(lambda: len(written) == 2)
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
    began_ns = time.monotonic_ns()
    paths: set[bytes] = set()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            paths.add((await read_request(reader)).split(b"\r\n")[0])
            writer.write(OK)

    async with serving(script, size=2, ping_interval_s=0.01) as pool:
        pool._on_round_trip_ns = measured.append
        await eventually(lambda: len(measured) >= 4)
    assert all(0 < duration < time.monotonic_ns() - began_ns for duration in measured)
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody has signed but itself, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    paths = directory / "certificate.pem", directory / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(command, check=True, capture_output=True)
    return paths


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_request(reader)
        writer.write(OK)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_orders_travel_over_tls(certificate: tuple[Path, Path], run: Callable[..., object]) -> None:
    """Every venue but the simulator; on the loop of the process too, whose transports are its own."""

    async def trade() -> None:
        async with serving(answering, certificate=certificate, trusts=certificate[0]) as pool:
            assert isinstance(await answer_to(pool), HttpResponse)
            assert isinstance(await answer_to(pool), HttpResponse)

    run(trade())


async def test_a_certificate_that_cannot_be_verified_is_no_connection(certificate: tuple[Path, Path]) -> None:
    """Keys and orders go to the venue alone."""
    attempts: list[None] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # the server's side of the refused handshakes
    async with serving(answering, certificate=certificate, is_reachable=False) as pool:
        connect = pool._connect

        async def counted() -> object:
            attempts.append(None)
            return await connect()

        pool._connect = counted  # type: ignore[method-assign, assignment]
        await eventually(lambda: len(attempts) >= 3)
        assert free(pool) == 0
        with pytest.raises(NotSent):
            pool.send(pool.render(ORDER), lambda _: None)
