"""Conversations are carried to a real server and back; a failure on the way reaches them as one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.waiting import DEADLINE_S
from venues.contract import Call, HttpRequest, HttpResponse, TransportError, VenueError
from venues.rest_client import InsecureUrl, perform, require_secure

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def a_server(handler: Handler) -> AsyncIterator[str]:
    """A server on loopback that gives every request to ``handler``; yields its base URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("/v2"))


def a_client() -> AbstractAsyncContextManager[aiohttp.ClientSession]:
    return aiohttp.ClientSession()


def asking(*requests: HttpRequest) -> Call[list[HttpResponse]]:
    responses = []
    for request in requests:
        responses.append((yield request))
    return responses


async def test_requests_arrive_as_the_conversation_wrote_them() -> None:
    """Path, query and body are signed or matched byte for byte on some venues."""
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return web.Response()

    async with a_server(handler) as url, a_client() as session:
        post = HttpRequest(
            "POST", "/orders", (("X-API-KEY", "k"), ("Content-Type", "application/json")), b"{}"
        )
        get = HttpRequest("GET", "/orders?id=0x1%2C0x2&time=5")
        await perform(session, url, asking(post, get), timeout_s=DEADLINE_S)
    (method, path, headers, body), (_, get_path, get_headers, get_body) = seen
    assert (method, path, body) == ("POST", "/v2/orders", b"{}")
    assert (headers["X-API-KEY"], headers["Content-Type"]) == ("k", "application/json")
    assert (get_path, get_body) == ("/v2/orders?id=0x1%2C0x2&time=5", b"")
    assert "Content-Type" not in get_headers


async def test_the_answer_comes_back_whole_with_lower_case_headers_and_the_time() -> None:
    async def handler(request: web.Request) -> web.Response:
        headers = {"Retry-After": "3", "X-Two": "a"}
        response = web.Response(status=429, body=b"\xffraw", headers=headers)
        response.headers.add("x-two", "b")
        return response

    before_unix_ms = time.time_ns() // 1_000_000
    async with a_server(handler) as url, a_client() as session:
        [response] = await perform(session, url, asking(HttpRequest("GET", "/")), timeout_s=DEADLINE_S)
    assert (response.status, response.body) == (429, b"\xffraw")
    assert (response.headers["retry-after"], response.headers["x-two"]) == ("3", "a, b")
    assert before_unix_ms <= response.now_unix_ms <= time.time_ns() // 1_000_000


async def test_redirects_are_not_followed() -> None:
    """They would carry the API key to wherever the answer points."""
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with a_server(handler) as url, a_client() as session:
        [response] = await perform(session, url, asking(HttpRequest("GET", "/a")), timeout_s=DEADLINE_S)
    assert (response.status, asked) == (302, ["/v2/a"])


async def test_a_refusal_the_conversation_raises_comes_through() -> None:
    def refusing() -> Call[None]:
        response = yield HttpRequest("GET", "/")
        raise VenueError("vest", "1002", "UNAUTHORIZED", status=response.status)

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=403)

    async with a_server(handler) as url, a_client() as session:
        with pytest.raises(VenueError, match=r"1002 UNAUTHORIZED \(HTTP 403\)"):
            await perform(session, url, refusing(), timeout_s=DEADLINE_S)


async def test_a_timeout_is_a_transport_error_and_shows_no_query() -> None:
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with a_server(handler) as url, a_client() as session:
        try:
            with pytest.raises(TransportError, match=r"GET /orders at http://127\.0\.0\.1") as caught:
                await perform(session, url, asking(HttpRequest("GET", "/orders?token=t0p")), timeout_s=0.05)
        finally:
            released.set()
    assert "t0p" not in str(caught.value)


async def test_the_timeout_covers_a_body_that_never_ends() -> None:
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"half")
        await released.wait()
        return response

    async with a_server(handler) as url, a_client() as session:
        try:
            with pytest.raises(TransportError):
                await perform(session, url, asking(HttpRequest("GET", "/")), timeout_s=0.05)
        finally:
            released.set()


async def test_a_server_that_hangs_up_is_a_transport_error() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with a_server(handler) as url, a_client() as session:
        with pytest.raises(TransportError):
            await perform(
                session, url, asking(HttpRequest("POST", "/orders", body=b"{}")), timeout_s=DEADLINE_S
            )


async def test_nobody_listening_is_a_transport_error() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response()

    async with a_server(handler) as url:
        pass
    async with a_client() as session:
        with pytest.raises(TransportError, match="GET / at"):
            await perform(session, url, asking(HttpRequest("GET", "/")), timeout_s=DEADLINE_S)


async def test_the_conversation_itself_may_settle_a_failure() -> None:
    """A cancel without an answer is in doubt, not an exception."""
    asked: list[str] = []

    def settling() -> Call[str]:
        try:
            yield HttpRequest("POST", "/fails")
        except TransportError:
            response = yield HttpRequest("GET", "/works")
            return f"asked again: {response.status}"
        return "no failure"

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/v2/fails":
            assert request.transport is not None
            request.transport.abort()
        return web.Response()

    async with a_server(handler) as url, a_client() as session:
        assert await perform(session, url, settling(), timeout_s=DEADLINE_S) == "asked again: 200"
    assert asked == ["/v2/fails", "/v2/works"]


async def test_a_cancelled_conversation_is_closed() -> None:
    closed, asked, released = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def watched() -> Call[None]:
        try:
            yield HttpRequest("GET", "/")
        finally:
            closed.set()

    async def handler(request: web.Request) -> web.Response:
        asked.set()
        await released.wait()
        return web.Response()

    async with a_server(handler) as url, a_client() as session:
        task = asyncio.create_task(perform(session, url, watched(), timeout_s=DEADLINE_S))
        await asyncio.wait_for(asked.wait(), DEADLINE_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
    assert closed.is_set()


async def test_an_insecure_url_is_refused_before_anything_is_asked() -> None:
    async with a_client() as session:
        with pytest.raises(InsecureUrl, match="https://"):
            await perform(session, "http://192.0.2.1/v2", asking(HttpRequest("GET", "/")), timeout_s=5)


@pytest.mark.parametrize(
    "url",
    [
        "https://server-prod.hz.vestmarkets.com/v2",
        "wss://ws-prod.hz.vestmarkets.com/ws-api?version=1.0",
        "HTTPS://EXAMPLE.COM",
        "http://127.0.0.1:8701/v2",
        "ws://127.8.9.10/ws-api",
        "http://[::1]:8701",
        "ws://localhost:1/",
        "http://LOCALHOST",
    ],
)
def test_encrypted_and_loopback_urls_pass(url: str) -> None:
    require_secure(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://server-prod.hz.vestmarkets.com/v2",
        "ws://10.0.0.1/ws",
        "http://0.0.0.0:80",
        "http://128.0.0.1",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com/",
        "http://[::2]/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433.example/",
        "ftp://127.0.0.1/",
        "//127.0.0.1/",
        "127.0.0.1:80",
        "https://",
        "http://[",
        "",
    ],
)
def test_everything_else_is_refused_with_the_url_and_a_remedy(url: str) -> None:
    with pytest.raises(InsecureUrl, match=r"use |not a URL"):
        require_secure(url)


def test_the_refusal_names_the_url_but_no_token_or_password() -> None:
    with pytest.raises(InsecureUrl) as caught:
        require_secure("ws://user:pa55@example.com/ws-api?listenKey=t0p")
    assert "ws://example.com/ws-api" in str(caught.value)
    assert "wss://" in str(caught.value)
    assert "pa55" not in str(caught.value)
    assert "t0p" not in str(caught.value)
