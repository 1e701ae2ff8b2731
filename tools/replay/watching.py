"""Looking at every decision as it is made: a hash chain over all of them, and the nearest misses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from struct import Struct
from typing import Final, NamedTuple

from detector.converting import strategy_for
from detector.gates import Refusal
from detector.rules import Rules
from detector.strategy import ENDS_STREAK, Market, Opportunity, Outcome, PairStrategy, aim
from shm.entry_block import GATES, EntryBlock

_HEAD_BYTES: Final = 16
_EVALUATED: Final = Struct("<4q")
_REFUSED: Final = Struct("<q2d")
# Threshold and net edge were one gate once: their number stays one, so that histories can be compared.
_NUMBERED: Final = tuple(gate for gate in GATES if gate is not EntryBlock.THRESHOLD)
_NUMBER_OF: Final = {
    gate: _NUMBERED.index(EntryBlock.EDGE if gate is EntryBlock.THRESHOLD else gate) for gate in GATES
}

# Which setting would have let it pass; other gates are no matter of settings.
_SETTING_OF: Final = {
    EntryBlock.QUOTE_AGE: "max_quote_age_ms",
    EntryBlock.LEG_SKEW: "max_leg_skew_ms",
    EntryBlock.ABSURD: "max_edge_bps",
    EntryBlock.EDGE: "min_net_edge_bps",
    EntryBlock.CONFIRMATION: "confirm_ticks",
    EntryBlock.SIZE: "size_base",
    EntryBlock.SLIPPAGE: "max_slippage_bps",
    EntryBlock.COOL_DOWN: "cooldown_ms",
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
    gate: EntryBlock
    value: float
    limit: float
    shortfall: float  # in the unit of both
    at_mono_ns: int
    is_exit: bool


class Watch:
    """What is kept of the decisions of all pairs."""

    def __init__(self, chain: Chain, decides: Callable[[Rules], PairStrategy] = PairStrategy) -> None:
        self.chain = chain
        self._decides = decides
        self.nearest: dict[tuple[str, str, bool], Miss] = {}
        self._streaks: dict[tuple[int, int], deque[tuple[str, Refusal]]] = {}

    def strategy(self, rules: Rules) -> PairStrategy:
        """For ``Detector``: a strategy that decides as ever, and is watched."""
        decides = self._decides(rules) if rules.quote_rate is None else strategy_for(rules)
        return _Watched(rules, self, decides)

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
            self._compare(rules, market, direction, outcome)

    def _compare(self, rules: Rules, market: Market, direction: int, outcome: Outcome) -> None:
        """Keep a refusal that is nearer than all before; one that ends a streak must be so N times running.

        For where N quotes have to confirm, what one quote was short of is not what was missing: it is
        what the worst of the best N in a row was short of.
        """
        target = aim(rules, market.view, direction)
        is_exit = target < 0
        needed = rules.exit_confirm_ticks if is_exit else rules.confirm_ticks
        if needed == 1:
            if type(outcome) is Refusal:
                self._keep_if_nearer(rules, market, is_exit, _setting(rules, target, outcome), outcome)
            return
        streak = self._streaks.get((rules.pair_id, direction))
        if streak is None or streak.maxlen != needed:
            streak = self._streaks[rules.pair_id, direction] = deque(maxlen=needed)
        if isinstance(outcome, Opportunity):
            streak.clear()
            return
        setting = _setting(rules, target, outcome)
        if outcome.gate not in ENDS_STREAK:
            streak.append(("", outcome))
            self._keep_if_nearer(rules, market, is_exit, setting, outcome)
            return
        if not setting or any(before not in ("", setting) for before, _ in streak):
            streak.clear()
        if not setting:  # the market itself could not be believed
            return
        streak.append((setting, outcome))
        if len(streak) == needed:
            worst = max((one for name, one in streak if name), key=_shortfall)
            self._keep_if_nearer(rules, market, is_exit, setting, worst)

    def _keep_if_nearer(
        self, rules: Rules, market: Market, is_exit: bool, setting: str, refusal: Refusal
    ) -> None:
        if not setting:
            return
        key, shortfall = (rules.name, setting, is_exit), _shortfall(refusal)
        nearest = self.nearest.get(key)
        if nearest is None or shortfall < nearest.shortfall:
            gate, value, limit = refusal
            at_mono_ns = market.now_mono_ns
            self.nearest[key] = Miss(rules.name, setting, gate, value, limit, shortfall, at_mono_ns, is_exit)


def _shortfall(refusal: Refusal) -> float:
    return abs(refusal.value - refusal.limit)


def _setting(rules: Rules, target: int, refusal: Refusal) -> str:
    """The setting of the pair's strategy that this refusal hangs on; "" for none."""
    if refusal.gate is EntryBlock.THRESHOLD:
        return "exit_bps" if target < 0 else "entry_bps"
    setting = _SETTING_OF.get(refusal.gate, "")
    return "exit_confirm_ticks" if target < 0 and setting == "confirm_ticks" else setting


class _Watched(PairStrategy):
    """Has another strategy decide, in Python or in C."""

    def __init__(self, rules: Rules, watch: Watch, decides: PairStrategy) -> None:
        super().__init__(rules)
        self._watch = watch
        self._decides = decides

    @property
    def quote_rate_e8(self) -> int:
        return self._decides.quote_rate_e8

    def comparable(self, market: Market) -> Market:
        return self._decides.comparable(market)

    def start_over(self) -> None:
        self._decides.start_over()

    def on_quote(self, market: Market) -> tuple[Outcome, Outcome]:
        decides = self._decides
        decides.rules, decides.slippage_bps, decides.funding_bps = (
            self.rules,
            self.slippage_bps,
            self.funding_bps,
        )
        outcomes = decides.on_quote(market)
        self.is_market_trusted = decides.is_market_trusted
        self._watch.saw(self.rules, market, outcomes)
        return outcomes


def _packed(outcome: Outcome) -> bytes:
    if isinstance(outcome, Opportunity):
        return repr(tuple(outcome)).encode()  # floats with all their digits
    return _REFUSED.pack(_NUMBER_OF[outcome.gate], outcome.value, outcome.limit)
