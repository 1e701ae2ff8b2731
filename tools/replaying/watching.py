"""Looking at every decision as it is made: a hash chain over all of them, and the nearest misses."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from detector.gates import Refusal
from detector.rules import Rules
from detector.strategy import Market, Opportunity, Outcome, PairStrategy, aim
from shm.names import Gate

_HEAD_BYTES: Final = 16
_EVALUATED: Final = Struct("<4q")
_REFUSED: Final = Struct("<q2d")
_NUMBER_OF: Final = {gate: number for number, gate in enumerate(Gate)}

# Which setting would have let it pass; other gates are no matter of settings.
_SETTING_OF: Final = {
    Gate.QUOTE_AGE: "max_quote_age_ms",
    Gate.LEG_SKEW: "max_leg_skew_ms",
    Gate.ABSURD: "max_edge_bps",
    Gate.CONFIRMATION: "confirm_ticks",
    Gate.SIZE: "size_base",
    Gate.SLIPPAGE: "max_slippage_bps",
    Gate.COOL_DOWN: "cooldown_ms",
}


class Chain:
    """Every link is the hash of the one before and a decision: equal heads are equal histories."""

    def __init__(self) -> None:
        self._head = bytes(_HEAD_BYTES)
        self.links = 0

    def add(self, decision: bytes) -> None:
        self._head = blake2b(self._head + decision, digest_size=_HEAD_BYTES).digest()
        self.links += 1

    @property
    def head(self) -> str:
        return self._head.hex()


class Miss(NamedTuple):
    """A refusal that came nearest to passing its gate, of all that one setting can change."""

    pair: str
    setting: str  # of the pair's strategy
    gate: Gate
    value: float
    limit: float
    shortfall: float  # in the unit of both
    at_mono_ns: int
    is_exit: bool


class Watch:
    """What is kept of the decisions of all pairs."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.nearest: dict[tuple[str, str, bool], Miss] = {}

    def strategy(self, rules: Rules) -> PairStrategy:
        """For ``Detector``: a strategy that decides as ever, and is watched."""
        return _Watched(rules, self)

    def saw(self, rules: Rules, market: Market, outcomes: tuple[Outcome, Outcome]) -> None:
        self.chain.add(
            _EVALUATED.pack(
                rules.pair_id,
                market.first.publish_mono_ns,
                market.second.publish_mono_ns,
                market.now_mono_ns,
            )
            + b"".join(map(_packed, outcomes))
        )
        for direction, outcome in zip((1, -1), outcomes, strict=True):
            if type(outcome) is Refusal:
                self._compare(rules, market, direction, outcome)

    def _compare(self, rules: Rules, market: Market, direction: int, refusal: Refusal) -> None:
        target = aim(rules, market.view, direction)
        is_exit = target < 0
        if refusal.gate is not Gate.EDGE:
            setting = _SETTING_OF.get(refusal.gate, "")
            if is_exit and setting == "confirm_ticks":
                setting = "exit_confirm_ticks"
        elif is_exit:
            setting = "exit_bps"
        else:
            setting = "entry_bps" if refusal.limit == rules.layers[target].trigger_bps else "min_net_edge_bps"
        if not setting:
            return
        shortfall = abs(refusal.value - refusal.limit)
        key = rules.name, setting, is_exit
        nearest = self.nearest.get(key)
        if nearest is None or shortfall < nearest.shortfall:
            self.nearest[key] = Miss(
                rules.name,
                setting,
                refusal.gate,
                refusal.value,
                refusal.limit,
                shortfall,
                market.now_mono_ns,
                is_exit,
            )


class _Watched(PairStrategy):
    def __init__(self, rules: Rules, watch: Watch) -> None:
        super().__init__(rules)
        self._watch = watch

    def on_quote(self, market: Market) -> tuple[Outcome, Outcome]:
        outcomes = super().on_quote(market)
        self._watch.saw(self.rules, market, outcomes)
        return outcomes


def _packed(outcome: Outcome) -> bytes:
    if isinstance(outcome, Opportunity):
        return repr(tuple(outcome)).encode()  # floats with all their digits
    return _REFUSED.pack(_NUMBER_OF[outcome.gate], outcome.value, outcome.limit)
