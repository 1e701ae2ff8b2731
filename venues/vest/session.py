"""Keys, registration and listen key of one Vest account.

A fresh signing key is approved by the primary key for a week, so the key that owns the money signs
nothing but that approval. Source: Vest API v2 documentation, "Registration" and "User data streams".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from observability.redaction import register_secret
from venues.contract import Call, HttpRequest, HttpResponse, VenueError, VenueHosts
from venues.vest.assumptions import (
    LISTEN_KEY_RENEW_MS,
    NETWORK_TYPE,
    REGISTRATION_RENEW_BEFORE_MS,
    REGISTRATION_VALID_MS,
    ROUTING_PARAMETER,
)
from venues.vest.errors import INVALID_LISTEN_KEY, UNAUTHORIZED, Request
from venues.vest.hosts import verifying_contract, with_query
from venues.vest.instruments import PUBLIC_HEADERS
from venues.vest.messages import ListenKey, Registration
from venues.vest.responses import read, refusal_in
from venues.vest.signing import Signer, proof_digest

_JSON: Final = (("Content-Type", "application/json"),)

_registration_decoder = msgspec.json.Decoder(Registration)
_listen_key_decoder = msgspec.json.Decoder(ListenKey)


@dataclass(frozen=True, slots=True)
class VestCredentials:
    """Private keys as hex. ``repr`` shows neither.

    ``primary_private_key`` owns the account. ``signing_private_key`` is its delegate; left empty, a
    fresh one is made in memory, which needs no keeping: every login approves its key anew.
    """

    primary_private_key: str = field(repr=False)
    signing_private_key: str = field(default="", repr=False)


def account_name(credentials: VestCredentials) -> str:
    """The account's public name: the address of the key that owns it. ValueError for a bad key."""
    return Signer(credentials.primary_private_key, name="primary private key").address


@dataclass(frozen=True, slots=True)
class _Grant:
    """What registration gave. The API key is a secret."""

    api_key: str = field(repr=False)
    account_group: int
    expires_unix_ms: int

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("xrestservermm", f"restserver{self.account_group}"), ("X-API-KEY", self.api_key))


class VestSession:
    """From keys to requests that the venue answers. ``repr`` shows addresses, never keys or tokens.

    Raises ValueError for keys that are none, without showing them.
    """

    def __init__(self, hosts: VenueHosts, credentials: VestCredentials) -> None:
        if not credentials.primary_private_key:
            raise ValueError("vest: the primary private key is missing: set it in the environment or .env")
        self._hosts = hosts
        self._primary = Signer(credentials.primary_private_key, name="primary private key")
        self.signer = Signer(credentials.signing_private_key, name="signing private key")
        self._grant: _Grant | None = None
        self._is_grant_refused = False
        self._listen_key = ""
        self.renew_due_unix_ms = 0

    def __repr__(self) -> str:
        return f"primary={self._primary.address}, signing={self.signer.address}"

    def login(self, now_unix_ms: int) -> Call[None]:
        """Have the primary key approve the signing key, then obtain a listen key."""
        yield from self._register(now_unix_ms)
        yield from self._obtain_listen_key(now_unix_ms)

    def _register(self, now_unix_ms: int) -> Call[None]:
        expiry_unix_ms = now_unix_ms + REGISTRATION_VALID_MS
        digest = proof_digest(
            contract=verifying_contract(self._hosts),
            approved_signer=self.signer.address,
            expiry_unix_ms=expiry_unix_ms,
        )
        body = msgspec.json.encode(
            {
                "signingAddr": self.signer.address,
                "primaryAddr": self._primary.address,
                "signature": self._primary.sign_digest(digest),
                "expiryTime": expiry_unix_ms,
                "networkType": NETWORK_TYPE,
            }
        )
        response = yield HttpRequest("POST", "/register", PUBLIC_HEADERS + _JSON, body)
        granted = read(response, _registration_decoder, "POST /register")
        # Group 0 is the usual one and as good as any other.
        register_secret(granted.api_key, "vest API key")
        self._grant = _Grant(granted.api_key, granted.acc_group, expiry_unix_ms)
        self._is_grant_refused = False

    def _obtain_listen_key(self, now_unix_ms: int) -> Call[None]:
        """POST returns the key that is active, if any, with its hour begun anew."""
        response = yield self.request("POST", "/account/listenKey", b"{}")
        self._keep_listen_key(response, now_unix_ms)

    def _keep_listen_key(self, response: HttpResponse, now_unix_ms: int) -> None:
        self._listen_key = read(response, _listen_key_decoder, "the listen key request").listen_key
        register_secret(self._listen_key, "vest listen key")
        self.renew_due_unix_ms = now_unix_ms + LISTEN_KEY_RENEW_MS

    def renew(self, now_unix_ms: int) -> Call[None]:
        """Extend the listen key, and the registration in its last day or once it was refused.

        A listen key that has expired is replaced: the private stream must then be reconnected,
        and the venue closes the old one (4004, 4005) by itself.
        """
        expires_unix_ms = self._granted.expires_unix_ms
        if self._is_grant_refused or now_unix_ms > expires_unix_ms - REGISTRATION_RENEW_BEFORE_MS:
            yield from self._register(now_unix_ms)
        response = yield self.request("PUT", "/account/listenKey", b"{}")
        try:
            self._keep_listen_key(response, now_unix_ms)
        except VenueError as error:
            if error.code != str(INVALID_LISTEN_KEY):
                raise
            yield from self._obtain_listen_key(now_unix_ms)

    @property
    def _granted(self) -> _Grant:
        if self._grant is None:
            raise RuntimeError("vest: login has not been completed: drive login() first")
        return self._grant

    def request(
        self, method: Literal["GET", "POST", "PUT", "DELETE"], path: str, body: bytes = b""
    ) -> HttpRequest:
        """A private request; one with a body says that it is JSON."""
        headers = self._granted.headers
        return HttpRequest(method, path, headers + _JSON if body else headers, body)

    def ask(
        self, method: Literal["GET", "POST", "PUT", "DELETE"], path: str, body: bytes = b""
    ) -> Call[HttpResponse]:
        """Make a private request; see ``takes_grant``."""
        response = yield self.request(method, path, body)
        self.takes_grant(response)
        return response

    def takes_grant(self, response: HttpResponse) -> bool:
        """Whether the venue still knows our key; if not, it is due to be registered anew at once."""
        refusal = refusal_in(response, Request.OTHER)
        if refusal is None or (refusal.code != str(UNAUTHORIZED) and response.status != 401):
            return True
        self._is_grant_refused = True
        self.renew_due_unix_ms = 0
        return False

    def stream_url(self) -> str:
        """Complete URL with the listen key: never log it. RuntimeError before ``login``."""
        routing = {ROUTING_PARAMETER: f"restserver{self._granted.account_group}"}
        return with_query(
            self._hosts.private_ws_url, {"version": "1.0", **routing, "listenKey": self._listen_key}
        )
