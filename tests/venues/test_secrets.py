"""No key, token or signature in anything that could end in a log: repr, str, exception.

Whoever prints an order, a request, a session or an error while looking for a fault must not publish
the account with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from executor.gateways.contract import ReadyOrder
from tests.venues.test_conformance import logged_in, play, streaming
from tests.venues.venue_case import INSTRUMENT_ID, NOW_UNIX_MS, Frame, VenueCase
from tests.venues.venue_cases import VENUE_CASES
from venues.contract import (
    AccountOptions,
    Call,
    FrameError,
    HttpRequest,
    HttpResponse,
    OrderRef,
    TransportError,
    VenueError,
)

each_venue = pytest.mark.parametrize("venue_case", VENUE_CASES.values(), ids=VENUE_CASES.keys())


def shown(thing: object) -> str:
    """All the ways a thing is shown: alone, inside others, as text, with its causes."""
    texts = [repr(thing), str(thing), repr([thing]), repr({"it": (thing,)}), f"{thing}"]
    if isinstance(thing, BaseException):
        texts += [repr(thing.args), *(repr(argument) for argument in thing.args)]
        texts += [shown(cause) for cause in (thing.__cause__, thing.__context__) if cause is not None]
    return " ".join(texts)


def check(venue_case: VenueCase, thing: object, *more: str) -> None:
    """Fail if any of the venue's secrets, or ``more``, is to be seen."""
    text = shown(thing)
    for secret in (*venue_case.secrets, *more):
        assert len(secret) > 8, "too short to be looked for"
        assert secret not in text, f"{type(thing).__name__} shows {secret!r}"


def asked(call: Call[Any], answers: list[HttpResponse]) -> Iterator[HttpRequest]:
    """The requests of a conversation."""
    try:
        yield next(call)
        for answer in answers:
            yield call.send(answer)
    except StopIteration:
        return


def signatures_in(content: bytes) -> list[str]:
    """Whatever is signed in a body or header: long numbers, decimal or hexadecimal."""
    return re.findall(r"0x[0-9a-f]{60,}|\d{60,}", content.decode())


@each_venue
def test_requests_show_neither_their_tokens_nor_their_bodies(venue_case: VenueCase) -> None:
    trading = venue_case.trading(venue_case.hosts(1))
    requests = list(asked(trading.login(NOW_UNIX_MS), list(venue_case.login)))
    trading = logged_in(venue_case)
    ref = OrderRef(5, venue_case.instrument, "0x1")
    for call in (
        trading.renew(NOW_UNIX_MS),
        trading.query_order(ref, NOW_UNIX_MS),
        trading.query_open_orders(NOW_UNIX_MS),
        trading.query_positions(NOW_UNIX_MS),
        trading.query_account(NOW_UNIX_MS),
        trading.cancel_order(ref, NOW_UNIX_MS),
        trading.fetch_instruments({venue_case.symbol: INSTRUMENT_ID}),
    ):
        requests += asked(call, [])

    assert len(requests) > 7
    carried = " ".join(f"{request.headers} {request.path} {request.body!r}" for request in requests)
    hidden = [secret for secret in venue_case.secrets if secret in carried] + signatures_in(carried.encode())
    assert hidden, "these requests have nothing to hide"
    for request in requests:
        check(venue_case, request, *signatures_in(repr(request.headers).encode() + request.body))


@each_venue
def test_a_signed_order_shows_what_it_orders_and_not_its_signature(venue_case: VenueCase) -> None:
    """Over a socket the whole order is one frame, signature and all."""
    signed = streaming(venue_case).sign_create(venue_case.order, NOW_UNIX_MS)
    wire = signed.wire if isinstance(signed.wire, bytes) else signed.wire.body
    signatures = signatures_in(wire)
    assert signatures

    ready = ReadyOrder(signed.request, wire, signed.valid_until_unix_ms)
    for order in (signed, ready):
        check(venue_case, order, *signatures, wire.decode()[:40])
        assert venue_case.symbol in repr(order)


@each_venue
def test_credentials_and_sessions_show_no_key(venue_case: VenueCase) -> None:
    """Before login, after it, and while streaming; their parts, too."""
    for trading in (venue_case.trading(venue_case.hosts(1)), logged_in(venue_case), streaming(venue_case)):
        check(venue_case, trading)
        for part in vars(trading).values():
            if type(part).__module__.startswith("venues."):
                check(venue_case, part)
                for smaller in getattr(part, "__dict__", {}).values():
                    if type(smaller).__module__.startswith("venues."):
                        check(venue_case, smaller)


@each_venue
def test_credentials_from_the_environment_show_no_key(venue_case: VenueCase) -> None:
    secrets = {item.name: venue_case.secrets[0] for item in venue_case.value.secrets if item.is_required}
    assert secrets
    check(venue_case, venue_case.value.credentials_from(secrets))


@each_venue
def test_a_key_that_is_none_is_refused_without_being_shown(venue_case: VenueCase) -> None:
    """What was pasted into the wrong line may be the key of something else."""
    pasted = "hunter2-is-the-passphrase"
    secrets = {item.name: pasted for item in venue_case.value.secrets}
    with pytest.raises(ValueError, match=venue_case.venue) as refused:
        venue_case.value.open_account(venue_case.hosts(1), secrets, AccountOptions())
    check(venue_case, refused.value, pasted)


@each_venue
@pytest.mark.parametrize("status", [200, 400, 401, 500, 503])
@pytest.mark.parametrize("body", [b"<html>", b"{", b'{"error":"X","code":1002,"msg":"no"}'])
def test_no_exception_shows_what_was_asked_with(venue_case: VenueCase, status: int, body: bytes) -> None:
    """Refusals, doubts and unreadable answers to every private call."""
    answer = HttpResponse(status, {}, body, NOW_UNIX_MS)
    ref = OrderRef(5, venue_case.instrument, "0x1")
    trading = logged_in(venue_case)
    for call in (
        trading.login(NOW_UNIX_MS),
        trading.renew(NOW_UNIX_MS),
        trading.query_order(ref, NOW_UNIX_MS),
        trading.query_account(NOW_UNIX_MS),
        trading.query_positions(NOW_UNIX_MS),
    ):
        with pytest.raises((VenueError, TransportError)) as raised:
            play(call, [answer, answer])
        check(venue_case, raised.value)


@each_venue
def test_a_granted_token_beside_rubbish_is_not_repeated_in_the_error(venue_case: VenueCase) -> None:
    """The last answer of a login holds the token; cut short or wrapped, it still does."""
    *first, last = venue_case.login
    for broken in (last.body[:-1], b"[" + last.body + b"]"):
        with pytest.raises((VenueError, TransportError)) as raised:
            play(
                venue_case.trading(venue_case.hosts(1)).login(NOW_UNIX_MS),
                [*first, last._replace(body=broken)],
            )
        check(venue_case, raised.value)


@each_venue
def test_a_frame_error_on_the_private_stream_shows_the_venues_words_alone(venue_case: VenueCase) -> None:
    trading = streaming(venue_case)
    for frame in (*venue_case.private_rubbish, Frame(b"rubbish")):
        with pytest.raises(FrameError) as raised:
            trading.stream_receive(*frame, 1)
        check(venue_case, raised.value)
