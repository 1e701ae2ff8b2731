"""Drives a REST conversation (``contract.Call``) over aiohttp.

The conversation knows what to say and what the answers mean; this module only carries them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from yarl import URL

from venues.contract import Call, HttpRequest, HttpResponse, TransportError

T = TypeVar("T")

_ENCRYPTED: Final = frozenset({"https", "wss"})
_PLAIN: Final = {"http": "https", "ws": "wss"}
_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


class InsecureUrl(ValueError):
    """A URL that would carry prices, orders or tokens in the clear, or that is no URL at all."""

    def __init__(self, url: str, remedy: str) -> None:
        super().__init__(url, remedy)
        self.url = url
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.url!r} is refused: {self.remedy}"


def require_secure(url: str) -> None:
    """Raise InsecureUrl unless ``url`` is encrypted, or plain to this machine itself.

    Plain ``http`` and ``ws`` are for 127.0.0.0/8, ::1 and localhost. The error shows the URL
    without its query, which may hold a token.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise InsecureUrl(url.partition("?")[0], "it is not a URL") from None
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    if not host or parts.scheme not in _ENCRYPTED | _PLAIN.keys():
        raise InsecureUrl(shown, "use https:// or wss:// and a host")
    if parts.scheme in _PLAIN and not _is_loopback(host):
        raise InsecureUrl(
            shown, f"plain {parts.scheme} is for loopback alone, use {_PLAIN[parts.scheme]}:// for {host}"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False  # a name: wherever it points today, it may point elsewhere tomorrow
    return any(address in network for network in _LOOPBACK)


class AnswerClock(Protocol):
    """What time it is for a conversation, and who compares the clocks by its answers."""

    def unix_ns(self) -> int:
        """The venue's time as far as it is known, else ours."""

    def steady_ns(self) -> int:
        """A clock that only measures."""

    def answered(self, headers: Mapping[str, str], sent_ns: int, recv_ns: int) -> None:
        """An answer has come to what left at ``sent_ns``; both of the steady clock."""


class _Ours:
    """Our own clock, not compared with any venue's: for conversations in which no time is signed."""

    def unix_ns(self) -> int:
        return time.time_ns()

    def steady_ns(self) -> int:
        return time.monotonic_ns()

    def answered(self, headers: Mapping[str, str], sent_ns: int, recv_ns: int) -> None:
        """Nothing is learned of it."""


async def perform(
    session: aiohttp.ClientSession,
    rest_url: str,
    call: Call[T],
    *,
    timeout_s: float,
    clock: AnswerClock | None = None,
) -> T:
    """Carry a conversation through and return its result.

    ``timeout_s`` bounds each request, connecting and reading included. What the conversation
    raises (VenueError, and TransportError when it does not settle one itself) comes through.
    Raises InsecureUrl before anything is sent. Redirects are not followed: they would carry keys
    to another host.
    """
    require_secure(rest_url)
    try:
        request = next(call)
        while True:
            try:
                response = await _send(session, rest_url, request, timeout_s, clock or _Ours())
            except TransportError as error:
                request = call.throw(error)
            else:
                request = call.send(response)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        call.close()


async def _send(
    session: aiohttp.ClientSession,
    rest_url: str,
    request: HttpRequest,
    timeout_s: float,
    clock: AnswerClock,
) -> HttpResponse:
    sent_ns = clock.steady_ns()
    try:
        async with session.request(
            request.method,
            URL(rest_url + request.path, encoded=True),  # as the conversation wrote it, byte for byte
            headers=request.headers,
            data=request.body or None,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        what = f"{request.method} {request.path.partition('?')[0]}"
        detail = str(error) or type(error).__name__
        raise TransportError(f"{what} at {rest_url}: {detail}") from error
    names = {name.lower() for name in response.headers}
    headers = {name: ", ".join(response.headers.getall(name)) for name in names}
    clock.answered(headers, sent_ns, clock.steady_ns())
    return HttpResponse(response.status, headers, body, clock.unix_ns() // 1_000_000)
