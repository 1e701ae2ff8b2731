"""Who may act for whom: accounts, agents, nonces, and what each address may still ask.

Source: the venue's documentation, "Nonces and API wallets" and "Rate limits and user limits".
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.exchange import Exchange
from simulator.hyperliquid.errors import ActionRefused
from simulator.hyperliquid.settings import HyperliquidSettings
from venues.contract import E8

_DAY_MS: Final = 86_400_000
AGENT_LIFE_MS: Final = 180 * _DAY_MS


@dataclass(slots=True)
class Agent:
    account: str
    name: str
    until_ms: int


@dataclass(slots=True)
class Member:
    """One account beyond what the engine knows of it."""

    volume_e8: int = 0
    requests: int = 0
    cancels: int = 0
    cancel_at_ms: int | None = None  # scheduleCancel
    mode: str = "default"


@dataclass(slots=True)
class Members:
    """Every address of one venue, in lower case."""

    exchange: Exchange
    settings: HyperliquidSettings
    agents: dict[str, Agent] = field(default_factory=dict)
    by_address: dict[str, Member] = field(default_factory=dict)
    sub_accounts: dict[str, str] = field(default_factory=dict)  # sub-account -> master
    nonces: dict[str, list[int]] = field(default_factory=dict)  # signer -> the highest, ascending

    def member(self, address: str) -> Member:
        return self.by_address.setdefault(address, Member(self.settings.starting_volume_e8))

    def open(self, address: str) -> None:
        """Let an account exist, with the money of this run; one that does is left alone."""
        self.exchange.open_account(address, self.settings.starting_collateral_e8)
        self.member(address)

    def asked_about(self, address: str) -> bool:
        """Whether there is an account of this address, which may begin with the question."""
        if self.settings.opens_accounts and address not in self.agents:
            self.open(address)
        return self.exchange.has_account(address)

    def role(self, address: str) -> dict[str, Any]:
        """The answer to ``userRole``."""
        if address in self.agents:
            return {"role": "agent", "data": {"user": self.agents[address].account}}
        if address in self.sub_accounts:
            return {"role": "subAccount", "data": {"master": self.sub_accounts[address]}}
        return {"role": "user" if self.exchange.has_account(address) else "missing"}

    def approve(self, account: str, address: str, name: str, now_ms: int) -> None:
        """Make an address an agent, in place of the account's earlier one of that name."""
        self.agents = {
            key: agent for key, agent in self.agents.items() if (agent.account, agent.name) != (account, name)
        }
        words = name.rpartition(" valid_until ")
        until_ms = int(words[2]) if words[1] and words[2].isdigit() else now_ms + AGENT_LIFE_MS
        self.agents[address] = Agent(account, name, min(until_ms, now_ms + AGENT_LIFE_MS))

    def open_sub_account(self, master: str, address: str) -> None:
        self.open(address)
        self.sub_accounts[address] = master

    def expire_agents(self) -> None:
        for agent in self.agents.values():
            agent.until_ms = 0

    def account_of(self, signer: str | None, vault: str | None, now_ms: int) -> str:
        """The account that an action of this signer is for. Raises ActionRefused."""
        if signer is None:
            raise ActionRefused("Unable to recover signer.")
        agent = self.agents.get(signer)
        account = agent.account if agent is not None and agent.until_ms > now_ms else signer
        if not self.exchange.has_account(account) or (agent is not None and account == signer):
            raise ActionRefused(f"User or API Wallet {signer} does not exist.")
        if vault is None:
            return account
        if self.sub_accounts.get(vault) != account:
            raise ActionRefused(f"Vault not registered: {vault}")
        return vault

    def take_nonce(self, signer: str, nonce: int, now_ms: int) -> None:
        """Use a nonce up. Raises ActionRefused for one that may not be used."""
        if not now_ms - 2 * _DAY_MS < nonce < now_ms + _DAY_MS:
            raise ActionRefused(f"Invalid nonce: {nonce} is out of range at {now_ms}")
        kept = self.nonces.setdefault(signer, [])
        place = bisect_left(kept, nonce)
        if place < len(kept) and kept[place] == nonce:
            raise ActionRefused(f"Invalid nonce: duplicate nonce {nonce}")
        if len(kept) >= self.settings.nonces_kept:
            if nonce < kept[0]:
                raise ActionRefused(f"Invalid nonce: nonce too low {nonce} < {kept[0]}")
            del kept[0]
        insort(kept, nonce)

    def spend(self, account: str, requests: int, *, is_cancel: bool) -> None:
        """Count requests against an address's budget. Raises ActionRefused where it is used up."""
        member = self.member(account)
        budget = self.budget(account)
        if is_cancel:
            if member.cancels + requests > min(budget + 100_000, 2 * budget):
                raise ActionRefused(self._used_up(member, budget))
            member.cancels += requests
            return
        if member.requests + requests > budget:
            raise ActionRefused(self._used_up(member, budget))
        member.requests += requests

    def budget(self, account: str) -> int:
        return self.settings.request_budget + self.member(account).volume_e8 // E8

    @staticmethod
    def _used_up(member: Member, budget: int) -> str:
        volume = f"{member.volume_e8 / E8:.2f}"
        return (
            f"Too many cumulative requests sent ({member.requests + 1} > {budget}) for cumulative volume"
            f" traded ${volume}. Place taker orders to free up 1 request per USDC traded."
        )


class Weights:
    """What each client address may still ask within a minute, refilled continuously."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: dict[str, tuple[float, int]] = {}  # address -> left, as of then

    def spend(self, address: str, weight: int, now_ns: int) -> bool:
        """Whether there was room for a request of this weight."""
        left, then_ns = self._left.get(address, (float(self._per_minute), now_ns))
        refilled = max(now_ns - then_ns, 0) * self._per_minute / 60e9
        left = min(left + refilled, float(self._per_minute))
        has_room = left >= weight
        self._left[address] = (left - weight if has_room else left, now_ns)
        return has_room
