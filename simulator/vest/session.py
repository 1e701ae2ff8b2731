"""Keeps registered accounts: API keys, delegate signers, listen keys and when they expire."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field

import orjson

from simulator.vest.errors import Code, VestError


@dataclass(slots=True)
class Client:
    """One account, named by its primary address in lower case."""

    primary: str
    group: int
    signers: dict[str, int] = field(default_factory=dict)  # delegate address -> expiry, Unix ms
    listen_key: str = ""
    listen_key_until_ms: int = 0
    last_nonce: int = 0

    def may_sign(self, address: str | None, now_unix_ms: int) -> bool:
        """Whether this address signs for the account: the primary key, or a delegate in its time."""
        return address == self.primary or (address is not None and self.signers.get(address, 0) > now_unix_ms)


class Clients:
    """Registrations of one venue. Times are the exchange's Unix milliseconds."""

    def __init__(self, listen_key_life_s: int) -> None:
        self._listen_key_life_ms = listen_key_life_s * 1_000
        self._by_primary: dict[str, Client] = {}
        self._api_keys: dict[str, tuple[Client, int]] = {}  # key -> (client, expiry)
        self._listen_keys: dict[str, Client] = {}  # every key ever given: expired is not unknown

    def register(self, primary: str, signer: str, group: int, expiry_ms: int) -> str:
        """Accept a delegate until ``expiry_ms`` and return an API key that dies with it."""
        client = self._by_primary.setdefault(primary, Client(primary, group))
        client.signers[signer] = expiry_ms
        api_key = _opaque_token(primary, expiry_ms)
        self._api_keys[api_key] = (client, expiry_ms)
        return api_key

    def by_api_key(self, api_key: str, now_unix_ms: int) -> Client | None:
        """The client of a live API key."""
        client, expiry_ms = self._api_keys.get(api_key, (None, 0))
        return client if expiry_ms > now_unix_ms else None

    def expire_api_keys(self, primary: str) -> None:
        """Let an account's API keys die now, as if their time had come."""
        for key, (client, _) in self._api_keys.items():
            if client.primary == primary:
                self._api_keys[key] = (client, 0)

    def expire_all(self) -> None:
        """Let every API key and listen key die now, as if their time had come."""
        for client in self._by_primary.values():
            self.expire_api_keys(client.primary)
            self.close_listen_key(client)

    def open_listen_key(self, client: Client, now_unix_ms: int) -> str:
        """Return the client's listen key with a full hour ahead, made anew where none is valid."""
        if client.listen_key_until_ms <= now_unix_ms:
            client.listen_key = secrets.token_hex(16)
            self._listen_keys[client.listen_key] = client
        client.listen_key_until_ms = now_unix_ms + self._listen_key_life_ms
        return client.listen_key

    def extend_listen_key(self, client: Client, now_unix_ms: int) -> str:
        """Extend a valid listen key. Raises VestError 1125 if it is expired or absent."""
        if client.listen_key_until_ms <= now_unix_ms:
            raise VestError(Code.INVALID_LISTEN_KEY, "expired or absent")
        client.listen_key_until_ms = now_unix_ms + self._listen_key_life_ms
        return client.listen_key

    def close_listen_key(self, client: Client) -> None:
        client.listen_key_until_ms = 0

    def by_listen_key(self, listen_key: str) -> Client | None:
        """The client a listen key was given to, whether or not it is still alive."""
        return self._listen_keys.get(listen_key)

    @staticmethod
    def is_listen_key_alive(client: Client, listen_key: str, now_unix_ms: int) -> bool:
        return client.listen_key == listen_key and client.listen_key_until_ms > now_unix_ms


def _opaque_token(primary: str, expiry_ms: int) -> str:
    """A token that looks like the JWT clients are used to and means nothing."""
    parts = (orjson.dumps({"alg": "HS256", "typ": "JWT"}), orjson.dumps({"sub": primary, "exp": expiry_ms}))
    texts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*texts, secrets.token_urlsafe(32)])
