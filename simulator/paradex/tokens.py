"""Issues and checks bearer tokens: short-lived ES256 JWTs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

from simulator.paradex.errors import ApiError

KEY_ID = "simulator-1"


class Session(NamedTuple):
    """Whom a token speaks for. ``public_key`` is the key that logged in and signs its orders."""

    account: int
    public_key: int
    is_retail: bool
    expires_s: int


class TokenMint:
    """Issues tokens and recognises its own. The key lives as long as the mint."""

    def __init__(self, *, life_s: int, now_unix_ns: Callable[[], int]) -> None:
        self._life_s = life_s
        self._now_unix_ns = now_unix_ns
        self._key = ECC.generate(curve="P-256")
        self._signer = DSS.new(self._key, "fips-186-3")
        self._sessions: dict[str, Session] = {}

    def issue(self, account: int, public_key: int, *, is_retail: bool) -> str:
        now_s = self._now_unix_ns() // 10**9
        self._sessions = {token: live for token, live in self._sessions.items() if live.expires_s > now_s}
        session = Session(account, public_key, is_retail, now_s + self._life_s)
        header = {"alg": "ES256", "kid": KEY_ID, "typ": "JWT"}
        claims = {
            "typ": "at+JWT",
            "iss": "Paradex simulator",
            "sub": hex(account),
            "iat": now_s,
            "exp": session.expires_s,
        }
        signed = f"{_encode_json(header)}.{_encode_json(claims)}"
        token = f"{signed}.{_encode(self._signer.sign(SHA256.new(signed.encode())))}"
        self._sessions[token] = session
        return token

    def session(self, token: str) -> Session:
        """The session of a live token. Raises ApiError INVALID_TOKEN for any other text."""
        session = self._sessions.get(token)
        if session is None:
            raise ApiError("INVALID_TOKEN", "token is invalid: not issued here or long expired")
        if self._now_unix_ns() >= session.expires_s * 10**9:
            raise ApiError("INVALID_TOKEN", "token is expired")
        return session

    def expire_all(self) -> None:
        """Let every token die now, as if its time had come."""
        self._sessions = {token: session._replace(expires_s=0) for token, session in self._sessions.items()}

    def public_keys(self) -> dict[str, Any]:
        """Body of ``GET /jwks.json``."""
        point = self._key.public_key().pointQ
        coordinates = {
            name: _encode(int(value).to_bytes(32, "big")) for name, value in zip("xy", point.xy, strict=True)
        }
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID, **coordinates}
        return {"keys": [key]}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encode_json(value: dict[str, Any]) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())
