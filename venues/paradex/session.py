"""Logs in with the account's keys and keeps the bearer token that every private call carries.

Source: Paradex documentation, "API authentication" and "Onboarding", read in October 2026.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeVar

import msgspec
import orjson

from observability.redaction import register_secret
from venues.contract import Call, HttpRequest, VenueError
from venues.paradex.errors import TOKEN_REFUSED, NotItsOwn, error_of
from venues.paradex.hosts import NAME
from venues.paradex.messages import PayloadError, read_json
from venues.paradex.rest import json_as, read_answer
from venues.paradex.signing import Signer, account_address, public_key

T = TypeVar("T")

TOKEN_LIFE_MS: Final = 300_000  # as documented; the token's own claims win
_RENEW_AFTER = 0.6  # of a token's life: the documentation advises 3 of its 5 minutes
_LOGIN_SIGNATURE_LIFE_S: Final = 300  # the venue takes up to a week; nothing here lives that long


@dataclass(frozen=True, slots=True)
class ParadexCredentials:
    """What signs for one account. ``repr`` shows no key.

    l2_private_key: hexadecimal with 0x; a subkey's with the main account's address in ``account``.
    account: address, derived from the key when empty. l1_address: needed only to onboard a new account.
    """

    l2_private_key: str = field(repr=False)
    account: str = ""
    l1_address: str = ""


def account_name(credentials: ParadexCredentials) -> str:
    """The account's public name: its address, or, where that is derived, the public key it is derived of.

    ValueError for a bad key.
    """
    if credentials.account:
        return f"{_hex_number(credentials.account, 'account'):#x}"
    return f"key {public_key(_hex_number(credentials.l2_private_key, 'l2_private_key')):#x}"


class Session:
    """One account's signer and token. Neither is ever shown by ``repr`` or in an exception.

    ``signer`` is there after ``login``.
    """

    def __init__(self, credentials: ParadexCredentials) -> None:
        self._private_key = _hex_number(credentials.l2_private_key, "l2_private_key")
        self._public_key = public_key(self._private_key)
        self._account = _hex_number(credentials.account, "account") if credentials.account else None
        self._l1_address = credentials.l1_address
        self._signer: Signer | None = None
        self._token = ""
        self.token_expires_unix_ms = 0
        self.renew_due_unix_ms = 0

    def __repr__(self) -> str:
        return f"Session({self._signer!r})"

    @property
    def signer(self) -> Signer:
        """Signs for the account's chain. RuntimeError before ``login``."""
        if self._signer is None:
            raise RuntimeError(f"{NAME}: log in first; nothing can be signed before the chain is known")
        return self._signer

    @property
    def token(self) -> str:
        """The bearer token in use. RuntimeError before ``login``."""
        if not self._token:
            raise RuntimeError(f"{NAME}: log in first; there is no token yet")
        return self._token

    def login(self) -> Call[None]:
        """Read the chain's constants, derive the account, onboard it if it is new, get a token."""
        response = yield HttpRequest("GET", "/system/config")
        config = read_answer(_READ_CONFIG, response)
        account = self._account
        if account is None:
            account = account_address(
                self._public_key,
                proxy_class_hash=int(config.paraclear_account_proxy_hash, 16),
                account_class_hash=int(config.paraclear_account_hash, 16),
            )
        self._signer = Signer(
            private_key=self._private_key, account=account, chain_id=config.starknet_chain_id
        )
        try:
            yield from self.renew(response.now_unix_ms)
        except VenueError as error:
            if error.code != "NOT_ONBOARDED":
                raise
            response = yield self._onboarding_request(error)
            if not 200 <= response.status < 300:
                raise error_of(response) from None
            yield from self.renew(response.now_unix_ms)

    def renew(self, now_unix_ms: int) -> Call[None]:
        """Get a new token. The one before stays good until it expires."""
        now_s = now_unix_ms // 1_000
        expiration_s = now_s + _LOGIN_SIGNATURE_LIFE_S
        message_hash = self.signer.auth_hash(timestamp_s=now_s, expiration_s=expiration_s)
        response = yield HttpRequest(
            "POST",
            f"/auth/{self.signer.public_key:#x}",
            (
                *self._identity(message_hash),
                ("PARADEX-TIMESTAMP", str(now_s)),
                ("PARADEX-SIGNATURE-EXPIRATION", str(expiration_s)),
            ),
        )
        self._token = read_answer(_READ_TOKEN, response).jwt_token
        register_secret(self._token, "paradex token")
        life_ms = _token_life_ms(self._token)
        self.token_expires_unix_ms = response.now_unix_ms + life_ms
        self.renew_due_unix_ms = response.now_unix_ms + int(life_ms * _RENEW_AFTER)

    def authorization(self) -> tuple[str, str]:
        """The header that a private request carries."""
        return ("Authorization", f"Bearer {self.token}")

    def ask(
        self, read: Callable[[bytes], T], method: Literal["GET", "DELETE"], path: str, *, status: int = 0
    ) -> Call[T]:
        """Make a private call and return what ``read`` makes of its answer; see ``read_answer``."""
        response = yield HttpRequest(method, path, (self.authorization(),))
        try:
            return read_answer(read, response, status=status)
        except (VenueError, NotItsOwn) as error:
            if error.status == 401 or (isinstance(error, VenueError) and error.code in TOKEN_REFUSED):
                self.token_refused()
            raise

    def token_refused(self) -> None:
        """The venue would not have the token: a new one is due at once."""
        self.renew_due_unix_ms = 0

    def _identity(self, message_hash: int) -> tuple[tuple[str, str], ...]:
        return (
            ("PARADEX-STARKNET-ACCOUNT", f"{self.signer.account:#x}"),
            ("PARADEX-STARKNET-SIGNATURE", self.signer.sign(message_hash)),
        )

    def _onboarding_request(self, error: VenueError) -> HttpRequest:
        if not self._l1_address:
            text = f"{error.text}; set l1_address to onboard this account, or onboard it on the venue's site"
            raise VenueError(NAME, error.code, text, status=error.status)
        return HttpRequest(
            "POST",
            "/onboarding",
            (
                ("PARADEX-ETHEREUM-ACCOUNT", self._l1_address),
                *self._identity(self.signer.onboarding_hash()),
                ("Content-Type", "application/json"),
            ),
            orjson.dumps({"public_key": f"{self.signer.public_key:#x}"}),
        )


def _hex_number(text: str, name: str) -> int:
    # Looked at before int() reads it: int's own message would hold the text, which may be a key.
    if not re.fullmatch("(0x)?[0-9a-fA-F]{1,64}", text):
        raise ValueError(f"{NAME} {name} is not a hexadecimal number such as 0x1a2b")
    return int(text, 16)


def _token_life_ms(token: str) -> int:
    """Return how long a token lives by its own claims, or as documented where it has none.

    Their difference is taken, not ``exp`` against our clock, so that a clock that is off does no harm.
    """
    parts = token.split(".")
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)) if len(parts) == 3 else b""
        claims = read_json(_CLAIMS_DECODER, payload)
    except (PayloadError, binascii.Error, ValueError):  # opaque, as a token may be
        return TOKEN_LIFE_MS
    life_ms = (claims.exp - claims.iat) * 1_000
    return life_ms if life_ms > 0 else TOKEN_LIFE_MS


# Patterns end in \Z: a $ would also let a newline pass at the end.
_Felt = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{1,63}\Z")]


class _ConfigJson(msgspec.Struct, frozen=True):
    starknet_chain_id: Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,31}\Z")]
    paraclear_account_proxy_hash: _Felt
    paraclear_account_hash: _Felt


class _TokenJson(msgspec.Struct, frozen=True):
    jwt_token: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]+\Z")]  # travels as a header


class _ClaimsJson(msgspec.Struct, frozen=True):
    exp: int
    iat: int


_READ_CONFIG: Final = json_as(_ConfigJson)
_READ_TOKEN: Final = json_as(_TokenJson)
_CLAIMS_DECODER: Final = msgspec.json.Decoder(_ClaimsJson)
