"""The key, the account it acts for, and what the venue says of both.

There is no login and no token: reads answer for anybody, and actions are signed one by one. What a login
does here is to find out, before the first order, whether these signatures will be taken for this account.

Source: the venue's documentation, "Nonces and API wallets" and "Info endpoint", read in November 2026.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from venues.contract import AccountFact, Call, VenueError, VenueHosts
from venues.hyperliquid.assumptions import (
    AGENT_WARNING_MS,
    RENEW_MS,
    REQUESTS_WARNING,
    SCHEDULE_CANCEL_VOLUME_E8,
)
from venues.hyperliquid.hosts import NAME, is_mainnet
from venues.hyperliquid.messages import UnixMs, payload, report_e8
from venues.hyperliquid.rest import ask
from venues.hyperliquid.signing import Signer, action_hash


@dataclass(frozen=True, slots=True)
class HyperliquidCredentials:
    """What signs, and for whom. ``repr`` shows no key.

    private_key: of an agent wallet ("API wallet") that the account has approved; the account's own key is
    never needed. account: the account's address; left empty, the key acts for its own address. sub_account:
    address of a sub-account or vault of the account that is traded instead.
    """

    private_key: str = field(repr=False)
    account: str = ""
    sub_account: str = ""


def account_name(credentials: HyperliquidCredentials) -> str:
    """The public name of what is traded: an address. ValueError for a bad key or address."""
    signer = Signer(credentials.private_key, is_mainnet=True)
    account = _address(credentials.account, "account") or signer.address
    return _address(credentials.sub_account, "sub-account") or account


class _Role(msgspec.Struct):
    role: str
    data: dict[str, Any] | None = None

    @property
    def of(self) -> str:
        """Whose agent or sub-account it is, in lower case."""
        named = (self.data or {}).get("user") or (self.data or {}).get("master") or ""
        return str(named).lower()


class _Agent(msgspec.Struct):
    address: str
    validUntil: UnixMs
    name: str = ""


class _Budget(msgspec.Struct):
    cumVlm: str
    nRequestsUsed: int
    nRequestsCap: int


_mode_decoder: Final = msgspec.json.Decoder(str)
_role_decoder: Final = msgspec.json.Decoder(_Role)
_agents_decoder: Final = msgspec.json.Decoder(list[_Agent])
_budget_decoder: Final = msgspec.json.Decoder(_Budget)

_MODES: Final = {
    "default": "the margin is in the perpetuals' account",
    "disabled": "the margin is in the perpetuals' account, apart from spot",
    "unifiedAccount": "one balance for everything",
    "portfolioMargin": "one balance for everything",
}
_NEW_AGENT: Final = (
    "approve a new one (app.hyperliquid.xyz/API) and give its key in HYPERLIQUID_PRIVATE_KEY, never an old"
    " address again"
)
_MORE_REQUESTS: Final = "every USDC that the account trades adds one; at 0 nothing is opened"
_LAST_DAY_MS: Final = 253_402_300_799_000  # 9999-12-31
# Where the money is in the spot balances, one for everything.
_UNIFIED: Final = frozenset({"unifiedAccount", "portfolioMargin"})


class Session:
    """One signer acting for one account. ``repr`` shows addresses, never the key.

    Raises ValueError for a key or an address that is none, without showing the key.
    """

    def __init__(self, hosts: VenueHosts, credentials: HyperliquidCredentials) -> None:
        self._signer = Signer(credentials.private_key, is_mainnet=is_mainnet(hosts))
        self._network = "main net" if is_mainnet(hosts) else "testnet"
        self._account = _address(credentials.account, "account") or self._signer.address
        self._vault = _address(credentials.sub_account, "sub-account")
        self._nonces = Nonces()
        self._is_logged_in = False
        self.is_unified = False
        self.agent_until_unix_ms = 0  # 0: without an end that is told
        self._mode = ""
        self._is_listed = False  # the agent, among those of the account
        self._requests_cap = self.requests_left = 0
        self.may_schedule_cancel = False
        self.renew_due_unix_ms = 0

    def __repr__(self) -> str:
        return f"signer={self._signer.address}, account={self._account}, sub-account={self._vault or 'none'}"

    @property
    def user(self) -> str:
        """The address whose orders, positions and money these are. RuntimeError before ``login``."""
        if not self._is_logged_in:
            raise RuntimeError(f"{NAME}: log in first: nothing is known of the account yet")
        return self._vault or self._account

    def login(self, now_unix_ms: int) -> Call[None]:
        """Find out whether this key may trade for this account. VenueError names fault and remedy."""
        self._mode = yield from ask(_mode_decoder, "userAbstraction", user=self._vault or self._account)
        self.is_unified = self._mode in _UNIFIED
        yield from self._check_signer()
        if self._vault:
            role = yield from ask(_role_decoder, "userRole", user=self._vault)
            if role.role != "vault" and (role.role, role.of) != ("subAccount", self._account):
                raise VenueError(
                    NAME,
                    "SUB_ACCOUNT",
                    f"{self._vault} is {_said(role)}, not a sub-account or vault of {self._account}: correct"
                    " HYPERLIQUID_SUB_ACCOUNT",
                    status=200,
                )
        yield from self._look(now_unix_ms)
        self._check_agent_lives(now_unix_ms)
        self.renew_due_unix_ms = now_unix_ms + RENEW_MS
        self._is_logged_in = True

    def _check_signer(self) -> Call[None]:
        """Whose the key is. VenueError unless it is the account's own, or an agent of the account."""
        role = yield from ask(_role_decoder, "userRole", user=self._signer.address)
        if self._is_own_key and role.role not in ("missing", "agent"):
            return
        if (role.role, role.of) == ("agent", self._account):
            return
        belongs = (
            f"HYPERLIQUID_PRIVATE_KEY belongs to {self._signer.address}, which is {_said(role)} on the"
            f" {self._network}"
        )
        if self._is_own_key and role.role == "agent":
            remedy = f": set HYPERLIQUID_ACCOUNT={role.of[:42]}"
        elif self._is_own_key:
            remedy = (
                ": if it is an agent's key, set HYPERLIQUID_ACCOUNT to the account that approved it; if it is"
                " the account's own, deposit there first, or correct venues.hyperliquid.rest_url"
            )
        else:
            remedy = (
                f", not an agent of {self._account}: approve it there (app.hyperliquid.xyz/API), or correct"
                " the key, HYPERLIQUID_ACCOUNT or venues.hyperliquid.rest_url"
            )
        raise VenueError(NAME, "NOT_AN_AGENT", belongs + remedy, status=200)

    @property
    def _is_own_key(self) -> bool:
        return self._signer.address == self._account

    def _look_at_agent(self, now_unix_ms: int) -> Call[None]:
        """Until when the account has approved of our key. One without a name has no end that is told."""
        agents = yield from ask(_agents_decoder, "extraAgents", user=self._account)
        ends = [item.validUntil for item in agents if item.address.lower() == self._signer.address]
        if ends:
            self._is_listed, self.agent_until_unix_ms = True, max(ends)
        elif self._is_listed:  # and now it is not: somebody has removed it
            self.agent_until_unix_ms = min(self.agent_until_unix_ms, now_unix_ms)

    def _check_agent_lives(self, now_unix_ms: int) -> None:
        if self._is_listed and self.agent_until_unix_ms <= now_unix_ms:
            raise VenueError(NAME, "AGENT_EXPIRED", f"{self._agent_ended()}: {_NEW_AGENT}", status=200)

    def _agent_ended(self) -> str:
        return f"the approval of agent {self._signer.address} has ended"

    def renew(self, now_unix_ms: int) -> Call[None]:
        """Look at what runs out: the budget of requests, and the agent's approval."""
        yield from self._look(now_unix_ms)
        self.renew_due_unix_ms = now_unix_ms + RENEW_MS

    def _look(self, now_unix_ms: int) -> Call[None]:
        budget = yield from ask(_budget_decoder, "userRateLimit", user=self._vault or self._account)
        self._requests_cap = budget.nRequestsCap
        self.requests_left = budget.nRequestsCap - budget.nRequestsUsed
        self.may_schedule_cancel = _traded_e8(budget.cumVlm) >= SCHEDULE_CANCEL_VOLUME_E8
        if not self._is_own_key:
            yield from self._look_at_agent(now_unix_ms)

    def facts(self, now_unix_ms: int) -> tuple[AccountFact, ...]:
        """What the last look at the account has shown, and what to do about it."""
        return (self._agent_fact(now_unix_ms), self._mode_fact(), self._requests_fact())

    def _agent_fact(self, now_unix_ms: int) -> AccountFact:
        if self._is_own_key:
            return AccountFact("agent", f"none: the account's own key signs for {self._account}")
        found = f"{self._signer.address} may trade for {self._account}"
        if not self._is_listed:
            return AccountFact("agent", f"{found}; the venue names no end of it")
        left_ms = self.agent_until_unix_ms - now_unix_ms
        until = _day(self.agent_until_unix_ms)
        if left_ms <= 0:
            return AccountFact("agent", f"{self._agent_ended()} ({until})", _NEW_AGENT, stops_entries=True)
        remedy = _NEW_AGENT if left_ms < AGENT_WARNING_MS else ""
        return AccountFact("agent", f"{found} until {until}", remedy)

    def _mode_fact(self) -> AccountFact:
        if self._mode in _MODES:
            return AccountFact("account mode", f"{self._mode}: {_MODES[self._mode]}")
        remedy = f"choose one of {', '.join(_MODES)} on the web site: where this one keeps money is unknown"
        return AccountFact("account mode", self._mode[:40], remedy)

    def _requests_fact(self) -> AccountFact:
        found = f"{self.requests_left} of {self._requests_cap} are left"
        remedy = "" if self.requests_left >= REQUESTS_WARNING else _MORE_REQUESTS
        return AccountFact("request budget", found, remedy, stops_entries=self.requests_left <= 0)

    def closed(self) -> str:
        """Why nothing should be opened with this session; empty when nothing is wrong."""
        if self.requests_left <= 0:
            return "REQUEST BUDGET USED UP"
        # As of the last renewal: a minute of the end is no time to open anything.
        if self._is_listed and self.agent_until_unix_ms <= self.renew_due_unix_ms:
            return "AGENT EXPIRED"
        return ""

    def next_nonce(self, now_unix_ms: int) -> int:
        return self._nonces.take(now_unix_ms)

    def sign(
        self, action: dict[str, Any], nonce: int, *, expires_unix_ms: int | None = None
    ) -> dict[str, Any]:
        """An action as the venue takes it, by either road. RuntimeError before ``login``."""
        assert self.user
        hashed = action_hash(action, nonce, vault=self._vault, expires_unix_ms=expires_unix_ms)
        return payload(
            action, nonce, self._signer.sign(hashed), vault=self._vault, expires_unix_ms=expires_unix_ms
        )


class Nonces:
    """Milliseconds, each once: two actions of one millisecond would pass for one."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()  # orders are signed in two threads

    def take(self, now_unix_ms: int) -> int:
        with self._lock:
            self._last = max(now_unix_ms, self._last + 1)
            return self._last


def _said(role: _Role) -> str:
    """A role in words."""
    words = {
        "missing": "unknown",
        "user": "an account of its own",
        "agent": f"an agent of {role.of[:42]}",
        "subAccount": f"a sub-account of {role.of[:42]}",
    }
    return words.get(role.role, f"a {role.role[:20]}")


def _day(unix_ms: int) -> str:
    """A date; what a venue says for "never" may lie beyond the calendar's end."""
    return f"{datetime.fromtimestamp(min(unix_ms, _LAST_DAY_MS) / 1e3, UTC):%Y-%m-%d}"


def _traded_e8(text: str) -> int:
    try:
        return report_e8(text)
    except ValueError:
        return 0  # what cannot be read allows nothing


def _address(text: str, name: str) -> str:
    """An address in lower case; empty if empty. ValueError for anything else, which might be a key."""
    if text and not re.fullmatch("0x[0-9a-fA-F]{40}", text):
        raise ValueError(f"{NAME}: the {name} is no address: give 0x and 40 hex digits")
    return text.lower()
