"""Checks who may log in: keys, the accounts they belong to, onboarding and login.

Source: Paradex documentation, "Onboarding" and "Authentication".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from simulator.exchange import Exchange
from simulator.paradex import signing
from simulator.paradex.errors import ApiError
from simulator.paradex.settings import ACCOUNT_CLASS_HASH, PROXY_CLASS_HASH, ParadexSettings
from simulator.paradex.signing import Verifier

WEEK_S = 7 * 24 * 3600
DEFAULT_EXPIRY_S = 30 * 60
LOGIN_WINDOW_S = 300  # how far a login's timestamp may lie from the venue's clock


def account_id(address: int) -> str:
    """The engine's name for an account: its address as the venue writes it."""
    return hex(address)


def address_of(public_key: int) -> int:
    return signing.derive_address(
        public_key, proxy_class_hash=PROXY_CLASS_HASH, account_class_hash=ACCOUNT_CLASS_HASH
    )


class Members:
    """Onboarded accounts and their keys."""

    def __init__(self, exchange: Exchange, verifier: Verifier, settings: ParadexSettings) -> None:
        self._exchange = exchange
        self._verifier = verifier
        self._settings = settings
        self._main_keys: dict[int, int] = {}  # account address -> public key

    def is_onboarded(self, address: int) -> bool:
        return address in self._main_keys

    def public_key(self, address: int) -> int:
        return self._main_keys[address]

    @property
    def addresses(self) -> list[int]:
        return list(self._main_keys)

    async def onboard(self, headers: Mapping[str, str], public_key: int | None) -> None:
        """Open the account of a key that proves itself. Doing it again changes nothing."""
        if public_key is None or not signing.is_curve_key(public_key):
            raise ApiError("PUBLIC_KEY_INVALID", "public_key is not a key of the STARK curve")
        address = _address_header(headers)
        if address != address_of(public_key):
            raise ApiError("INVALID_STARKNET_ADDRESS", "the account is not the one of this public key")
        message = signing.onboarding_message()
        signature = headers.get("PARADEX-STARKNET-SIGNATURE", "")
        if not await self._verifier.check(public_key, address, message, signature):
            raise ApiError("STARKNET_SIGNATURE_VERIFICATION_FAILED", "the onboarding signature is not valid")
        self._main_keys[address] = public_key
        self._exchange.open_account(account_id(address), self._settings.starting_collateral_e8)

    def sign_up(self, public_key: int, *, subkey: int) -> None:
        """Onboard an account as its owner does on the web site, and register a subkey of it."""
        address = address_of(public_key)
        self._main_keys[address] = public_key
        self._settings.subkeys[subkey] = address
        self._exchange.open_account(account_id(address), self._settings.starting_collateral_e8)

    async def log_in(
        self, headers: Mapping[str, str], path_key: int | None, now_unix_ns: Callable[[], int]
    ) -> tuple[int, int]:
        """Return (account, public key) of a login that proves itself.

        ``path_key`` is the key named in the path, None where the path names none: then the
        account's main key is meant.
        """
        address = _address_header(headers)
        public_key = self._login_key(address, path_key)
        timestamp_s = _seconds_header(headers, "PARADEX-TIMESTAMP", None)
        expiration_s = _seconds_header(
            headers, "PARADEX-SIGNATURE-EXPIRATION", timestamp_s + DEFAULT_EXPIRY_S
        )
        now_s = now_unix_ns() // 10**9
        if abs(now_s - timestamp_s) > LOGIN_WINDOW_S:
            raise ApiError("INVALID_TIMESTAMP", f"timestamp {timestamp_s} is not near {now_s}")
        if not now_s < expiration_s <= timestamp_s + WEEK_S:
            raise ApiError("INVALID_TIMESTAMP", "the signature is expired or lives longer than a week")
        message = signing.auth_message(timestamp_s, expiration_s)
        signature = headers.get("PARADEX-STARKNET-SIGNATURE", "")
        if not await self._verifier.check(public_key, address, message, signature):
            raise ApiError("STARKNET_SIGNATURE_VERIFICATION_FAILED", "the login signature is not valid")
        return address, public_key

    def _login_key(self, address: int, path_key: int | None) -> int:
        if not self.is_onboarded(address):
            raise ApiError("NOT_ONBOARDED", "the account is not onboarded")
        main_key = self._main_keys[address]
        if path_key is None or path_key == main_key:
            return main_key
        if self._settings.subkeys.get(path_key) == address:
            return path_key
        raise ApiError("INVALID_SUBKEY", "the public key does not belong to the account")


def _address_header(headers: Mapping[str, str]) -> int:
    address = signing.parse_felt(headers.get("PARADEX-STARKNET-ACCOUNT", ""))
    if address is None:
        raise ApiError("INVALID_STARKNET_ADDRESS", "PARADEX-STARKNET-ACCOUNT is not an address")
    return address


def _seconds_header(headers: Mapping[str, str], name: str, default: int | None) -> int:
    text = headers.get(name)
    if text is None and default is not None:
        return default
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ApiError("INVALID_TIMESTAMP", f"{name} is not a number of Unix seconds")
    return int(text)
