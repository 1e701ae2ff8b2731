"""Two instruments of one venue are a pair like any other: one account, one stream, both legs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml

from simulator.market import Top
from tests.crash.stage import CLOSED_BPS, HOLD_BPS, SIZE_E8, WIDE_BPS, Market, Stage, a_stage
from tests.waiting import wait_until
from venues.contract import E8

VENUE = "hyperliquid"
COINS = ("BTC", "ETH")  # here of one price, as if they were one asset under two names


class TwoOnOneVenue(Market):
    """The second coin stands ``gap_bps`` above the first."""

    def tops(self) -> Iterator[Top]:
        at_ns = 0
        while True:
            self.steps += 1
            for coin, shift in zip(COINS, (1.0, 1 + self.gap_bps / 10_000), strict=True):
                bid_e8 = int(50_000 * shift) * E8
                size_e8 = 5 * E8 + self.steps % 2 * E8 // 10
                yield Top(at_ns, VENUE, coin, bid_e8, size_e8, bid_e8 + E8, size_e8)
            at_ns += 50_000_000


def held_e8(stage: Stage) -> Mapping[str, int]:
    """What the account holds of each coin, by the venue's own books."""
    return stage.ask(
        lambda simulator: {
            position.symbol: position.size_e8
            for account in simulator.exchanges[VENUE].account_ids
            for position in simulator.exchanges[VENUE].positions(account)
            if position.size_e8
        }
    )


def test_both_legs_open_and_close_on_one_account() -> None:
    market = TwoOnOneVenue({VENUE: COINS[0]})
    with a_stage({VENUE: COINS[0]}, market, runtime__on_shutdown="flatten") as stage:
        raw = yaml.safe_load(stage.config.read_text())
        raw["pairs"][0] |= {"legs": [f"{VENUE}:{coin}" for coin in COINS], "leg_bases": list(COINS)}
        stage.config.write_text(yaml.safe_dump(raw))
        market.gap_bps = HOLD_BPS
        instance = stage.start()
        try:
            instance.wait_for("running")
            market.gap_bps = WIDE_BPS
            wait_until(lambda: held_e8(stage) == {"BTC": SIZE_E8, "ETH": -SIZE_E8}, "both legs")
            market.gap_bps = CLOSED_BPS
            closed = instance.wait_for("trade_closed")
            wait_until(lambda: not held_e8(stage), "flat")
        finally:
            code = instance.stop()

        assert code == 0
        assert [(leg["venue"], leg["symbol"]) for leg in closed["legs"]] == [(VENUE, coin) for coin in COINS]
        assert not instance.events("halted")
        assert stage.doubled_ids() == []
