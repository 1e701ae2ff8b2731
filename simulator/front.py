"""Declares a simulated venue's front: a web application around one exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from aiohttp import web

from simulator.exchange import Exchange, MakeId, SimInstrument
from simulator.faults import FaultPlan
from venues.contract import E8


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontSettings:
    """Settings of every front. A venue's own are a subclass in its folder."""

    starting_collateral_e8: int = 100_000 * E8
    ack_latency_ms: float = 0.0  # from the request's arrival to the answer
    execution_latency_ms: float = 0.0  # from acceptance to risk and matching


Which = Literal["public", "private", "all"]  # sockets
Mode = Literal["open", "maintenance", "cancel_only", "post_only"]


class Front(Protocol):
    """A venue's wire: REST and WebSocket on one port. Owns no matching, no market, no port."""

    venue: str
    exchange: Exchange
    faults: FaultPlan
    is_down: bool  # set while its port is closed: sockets that end meanwhile were not lost by clients

    @property
    def modes(self) -> frozenset[Mode]:
        """Those the venue knows."""

    @property
    def error_codes(self) -> frozenset[str]:
        """Every code the venue documents, as texts."""

    def app(self) -> web.Application:
        """The application to serve; called once, before ``start``."""

    async def start(self) -> None:
        """Begin what runs by itself (pushes, pings, renewals). Called once the port is bound."""

    async def stop(self) -> None:
        """End it and close every socket. Called before the port is released."""

    async def close_sockets(self, which: Which, code: int = 1012) -> None:
        """Close the clients' sockets with this close code, as a venue that restarts does."""

    def mute(self, which: Which) -> int:
        """Leave the clients' sockets open but send and read nothing on them any more; return how many."""

    def set_mode(self, mode: Mode) -> None:
        """Restrict what orders are taken; "open" ends it."""

    def expire_sessions(self) -> None:
        """Expire every token now: clients must log in again."""


class SimulatedVenue(NamedTuple):
    """What a venue's folder offers to the process that serves it."""

    listing: tuple[SimInstrument, ...]
    make_id: MakeId
    settings: FrontSettings  # the venue's own subclass, with its defaults
    make_front: Callable[[Exchange, Any], Front]  # takes settings of that subclass
