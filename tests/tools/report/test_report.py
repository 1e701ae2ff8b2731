"""The report against a real PostgreSQL: its figures, its files, and that it needs no network."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from persistence.journal import Journal, Tail
from persistence.server import is_running, start_server, stop_server
from persistence.store import Store
from settings import load_raw, parse_settings
from tests.instance import a_directory, write_config
from tests.reported import blanks
from tools.__main__ import main
from tools.database import reading
from tools.report.command import write_tables
from tools.report.figures import steps_of
from tools.report.queries import Facts, Period, Whose, gather

E8 = 10**8
DAY = Period(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
LEGS = (("vest", "BTC-PERP"), ("paradex", "BTC-USD-PERP"))


class Story:
    """Events as the processes log them, into the database as persistence does."""

    def __init__(self, url: str, directory: Path) -> None:
        self._store = Store(url, "journal")
        self._store.migrate()
        self._journal = Journal(directory / "story", "r", epoch=1)
        self._number = 0
        legs = [":".join(leg) for leg in LEGS]
        pair = {"pair": "btc", "legs": legs, "size_base_e8": E8, "entry_bps": 1.5, "exit_bps": 0.0}
        pair |= {"layers": 1, "confirm_ticks": 1}
        self.logged("settings_loaded", mode="sim", version="0", bot_id="test", pairs=[pair])

    def logged(self, event: str, **fields: Any) -> None:
        self._number += 1
        head = {"ts": "2026-01-02T03:04:05Z", "level": "info", "proc": "executor", "run_id": "r"}
        line = orjson.dumps({**head, "event": event, "mono_ns": self._number, **blanks(event), **fields})
        self._journal.append("executor", self._number, line)

    def trade(self, trade_id: int, *, hour: int, net: float, worse_bps: float = 0.0) -> None:
        """One BTC bought at 100 and sold at 101, closed at the same prices; fees make the net."""
        opened, closed = f"2026-01-02T{hour:02}:00:00Z", f"2026-01-02T{hour:02}:00:30Z"
        for place in range(4):
            self._order(trade_id, place, opened if place < 2 else closed)
        trade: dict[str, Any] = {"pair": "btc", "trade_id": trade_id}
        self.logged("trade_opened", ts=opened, entry_spread_bps=100.0, direction=1, size_e8=E8, **trade)
        measured = {"detected_bps": 101.0, "filled_bps": 100.0, "recv_to_both_us": 900.0}
        legs = {"first_leg_bps": worse_bps, "second_leg_bps": 0.0, "executor_to_both_us": 500.0}
        self.logged("slippage", ts=opened, kind="entry", **trade, **measured, **legs)
        self.closed(trade_id, closed, net_e8=round(net * E8), fees_e8=4 * E8 // 100)

    def closed(self, trade_id: int, ts: str, *, net_e8: int, fees_e8: int, **rates: Any) -> None:
        trade: dict[str, Any] = {"pair": "btc", "trade_id": trade_id, "direction": 1, "size_e8": E8}
        spreads = {"entry_spread_bps": 100.0, "exit_spread_bps": 1.0, "naked_ms": 12.5, "retries": 1}
        result = {"gross_e8": net_e8 + fees_e8, "fees_e8": fees_e8, "net_e8": net_e8}
        self.logged("trade_closed", ts=ts, **trade, **spreads, **result, **rates)

    def _order(self, trade_id: int, place: int, ts: str) -> None:
        leg = place % 2
        venue, symbol = LEGS[leg]
        price_e8, fee_e8 = (100 + leg) * E8, E8 // 100
        order: dict[str, Any] = {"pair": "btc", "trade_id": trade_id, "leg": leg, "ts": ts}
        order |= {"venue": venue, "symbol": symbol}
        order |= {"client_order_id": trade_id * 10 + place, "side": "BUY" if place in (0, 3) else "SELL"}
        order |= {"purpose": "entry" if place < 2 else "exit", "attempt": 0}
        intent = {"reduce_only": place > 1, "size_e8": E8, "limit_price_e8": price_e8}
        self.logged("intent_written", **intent, **order)
        filled = {"filled_e8": E8, "average_price_e8": price_e8, "fee_e8": fee_e8, "venue_order_id": "x"}
        self.logged("leg_filled", order_state="filled", ack_us=9_000.0, fill_us=9_500.0, **order, **filled)
        fill = {"fill_id": f"{trade_id}-{place}", "price_e8": price_e8, "size_e8": E8, "fee_e8": fee_e8}
        self.logged("fill", **{**order, **fill})

    def store(self) -> None:
        self._journal.close()
        self._store.write(Tail(self._journal.directory, 1).read(self._journal.last_number, self._number))
        self._store.close()


@pytest.fixture(scope="module")
def config() -> Iterator[Path]:
    """A configuration whose embedded database holds two trades of one day, one the day before."""
    with a_directory() as directory:
        path = write_config(directory)
        story = Story(start_server(directory / "var"), directory)
        story.trade(1, hour=3, net=5.0, worse_bps=2.0)
        story.trade(2, hour=4, net=-1.5)
        ten = {"evaluations": 10, "signals": 1, "gates": {"edge": 8, "size": 1}, "spreads_bps": [1.0, -3.0]}
        five = {"evaluations": 5, "signals": 0, "gates": {"edge": 5}, "spreads_bps": None}
        story.logged("refusals", ts="2026-01-02T04:00:10Z", pair="btc", **ten)
        story.logged("refusals", ts="2026-01-02T04:00:20Z", pair="btc", **five)
        story.logged(
            "venue_lost", level="warning", ts="2026-01-02T05:00:00Z", detail="<script>alert(1)</script>"
        )
        story.closed(3, "2026-01-01T23:59:59Z", net_e8=E8, fees_e8=0)
        rates = {"quote_rates_e8": [98_000_000, 99_000_000], "rate_move_e8": -E8 // 4}
        story.closed(4, "2025-12-31T12:00:00Z", net_e8=E8, fees_e8=0, **rates)
        story.store()
        yield path


@pytest.fixture(scope="module")
def facts(config: Path) -> Facts:
    settings = parse_settings(load_raw(config), str(config))
    with reading(settings, config.parent / "no.env") as connection:
        return gather(connection, DAY, Whose("test", "sim"))


def test_a_period_holds_its_trades_and_no_others(facts: Facts) -> None:
    """From is included, to is not."""
    assert [trade.trade_id for trade in facts.trades] == [1, 2]
    first = facts.trades[0]
    assert (first.net_quote, first.fees_quote, first.funding_quote) == (
        Decimal(5),
        Decimal("0.04"),
        Decimal(0),
    )
    assert (first.naked_ms, first.retries, first.notional_quote) == (12.5, 1, Decimal("100.5"))
    # Two bps on one leg of 100.5 on average.
    assert first.slippage_quote == Decimal("0.0201")


def test_the_waterfall_adds_up_to_the_net(facts: Facts) -> None:
    """What the detector saw, less what was lost on the way, is what was kept."""
    steps = dict(steps_of(facts.trades))
    assert steps["net"] == pytest.approx(5.0 - 1.5)
    assert steps["gap as seen"] == pytest.approx(3.5 + 0.08 + 0.0201)
    assert sum(list(steps.values())[:-1]) == pytest.approx(steps["net"])


def test_the_refusals_of_the_period_are_summed_by_gate(facts: Facts) -> None:
    assert [tuple(row) for row in facts.funnel] == [("btc", 15, 1)]
    assert [tuple(row) for row in facts.refused] == [("btc", "edge", 13), ("btc", "size", 1)]
    assert [(row.forward_bps, row.backward_bps) for row in facts.spreads] == [(1.0, -3.0)]


def test_venues_and_slippage_are_told_apart(facts: Facts) -> None:
    assert [(row.venue, row.orders, row.filled, row.volume_quote) for row in facts.venues] == [
        ("paradex", 4, 4, 404),
        ("vest", 4, 4, 400),
    ]
    assert [(row.venue, row.kind, row.legs, row.mean_bps) for row in facts.slippage] == [
        ("paradex", "entry", 2, 0.0),
        ("vest", "entry", 2, 1.0),
    ]


def test_the_command_writes_one_page_that_needs_nothing_else(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opened on a phone without a network, it is whole; what a venue said cannot become a script."""
    words = [
        "report",
        "-c",
        str(config),
        "--env-file",
        str(tmp_path / "no.env"),
        "--out",
        str(tmp_path / "r"),
    ]

    assert main([*words, "--from", "2026-01-02", "--to", "2026-01-03"]) == 0

    assert "2 trades of 1 runs" in capsys.readouterr().out
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert [
        link for link in re.findall(r'(?:src|href)="([^"]{0,40})', page) if not link.startswith("data:")
    ] == []
    assert "http" not in page.replace("http-equiv", "")
    pictures = {path.stem for path in (tmp_path / "r").glob("*.png")}
    assert pictures == {"equity", "waterfall", "spread", "slippage", "latency", "exposure"}
    assert page.count("data:image/png;base64,") == len(pictures)


def test_the_tables_can_be_reckoned_with(facts: Facts, tmp_path: Path) -> None:
    """Plain decimals and the columns users of other bots know."""
    write_tables(facts, tmp_path)

    with (tmp_path / "trades.csv").open() as file:
        trades = list(csv.DictReader(file))
    assert sum(Decimal(row["net_quote"]) for row in trades) == Decimal("3.5")
    assert trades[1]["slippage_quote"] == "0.00000000"  # not 0E-8
    with (tmp_path / "fills.csv").open() as file:
        fills = list(csv.DictReader(file))
    assert len(fills) == 8
    assert {"client_order_id", "venue_order_id", "last_px", "last_qty", "commission", "ts_event"} <= set(
        fills[0]
    )
    assert {(row["venue"], row["order_side"], row["last_px"]) for row in fills if row["trade_id"] == "2"} == {
        ("vest", "BUY", "100.00000000"),
        ("vest", "SELL", "100.00000000"),
        ("paradex", "SELL", "101.00000000"),
        ("paradex", "BUY", "101.00000000"),
    }


def test_a_period_without_trades_is_a_report_that_says_so(config: Path, tmp_path: Path) -> None:
    words = ["report", "-c", str(config), "--env-file", str(tmp_path / "no.env"), "--out", str(tmp_path)]
    assert main([*words, "--from", "2020-01-01", "--to", "2020-01-02"]) == 0
    assert "No trade was closed in this period." in (tmp_path / "report.html").read_text()


def test_what_a_move_of_the_quote_rate_made_is_told_where_there_is_one(config: Path, tmp_path: Path) -> None:
    words = ["report", "-c", str(config), "--env-file", str(tmp_path / "no.env"), "--out", str(tmp_path)]
    assert main([*words, "--from", "2025-12-31", "--to", "2026-01-01"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "0.980000 → 0.990000: -0.2500" in page
    assert 'of it, moves of the quote rate<b><span class="loss">-0.2500</span></b>' in page
    with (tmp_path / "trades.csv").open() as file:
        (trade,) = csv.DictReader(file)
    assert (trade["opening_quote_rate"], trade["rate_move_quote"]) == ("0.98000000", "-0.25000000")

    assert main([*words, "--from", "2026-01-02", "--to", "2026-01-03"]) == 0
    assert "quote rate" not in (tmp_path / "report.html").read_text()


def test_a_period_that_ends_before_it_begins_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "-c", str(config), "--from", "2026-01-03", "--to", "2026-01-02"]) == 2
    assert "must be before" in capsys.readouterr().err


def test_the_database_of_a_stopped_instance_is_started_and_stopped_again(tmp_path: Path) -> None:
    """A report of yesterday must not leave a server behind; one without tables says what to do."""
    with a_directory() as directory:
        config = write_config(directory)
        words = ["report", "-c", str(config), "--env-file", str(tmp_path / "no.env"), "--out", str(tmp_path)]
        assert main(words) == 2  # no tables yet
        assert not is_running(directory / "var")
        Story(start_server(directory / "var"), directory).store()
        assert stop_server(directory / "var")

        assert main(words) == 0

        assert not is_running(directory / "var")


def test_a_database_that_does_not_answer_is_named_without_its_password(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("DATABASE_URL=postgresql://me:hunter2@127.0.0.1:1/none\n")

    assert main(["report", "-c", str(config), "--env-file", str(env_file)]) == 2

    logged = capsys.readouterr().err
    assert "DATABASE_URL" in logged
    assert "does not answer" in logged
    assert "hunter2" not in logged
