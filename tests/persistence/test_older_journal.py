"""A journal of the version before events had types, recorded in mode live against the simulator.

A trade is opened and closed, another is opened, and both legs' exits are on their way when everything is
killed: neither venue had answered one of them, or any question about it.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from events.codec import Encoder, decode
from events.persistence import JournalCheckpoint
from executor.pair.order import DOUBTFUL
from executor.recovery.restore import state_of
from persistence.journal import Journal, JournalError, files
from persistence.restore import SOURCE, Holdings, holdings_of, is_held
from persistence.store import Store
from persistence.verify import read_all, verify
from runtime.carried_positions import CarriedPair, plain
from tests.executor.pair.driver import Pair
from tools.__main__ import main
from venues.contract import E8

RECORDED = Path(__file__).with_name("recorded") / "journal-002"
HELD = RECORDED.with_name("held-by-002.json")
SIZE_E8 = E8 // 50


def _tupled(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples; what is held has them wherever there are two legs."""
    return {
        name: tuple(value) if isinstance(value, list) and name not in ("orders", "funding_due") else value
        for name, value in fields.items()
    }


def _as_known(now: Any, before: Any) -> Any:
    """``now`` with those of its fields alone that were known before."""
    if isinstance(before, dict):
        return {name: _as_known(now[name], value) for name, value in before.items()}
    if isinstance(before, list):
        return [_as_known(*both) for both in zip(now, before, strict=True)]
    return now


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED, tmp_path / "demo-live"))


def the_pair(directory: Path) -> CarriedPair:
    holdings = holdings_of(directory)
    assert holdings.broken == []
    (pair,) = holdings.held()
    return pair


def test_what_is_held_and_what_is_in_doubt_is_known(directory: Path) -> None:
    pair = the_pair(directory)

    assert is_held(pair)
    assert pair.legs == ("paradex:BTC-USD-PERP", "vest:BTC-PERP")
    assert (pair.sizes_e8, pair.direction, pair.layers) == ((-SIZE_E8, SIZE_E8), -1, 1)
    assert pair.entry_prices_e8 == (5_006_000_000_000, 5_000_100_000_000)
    assert pair.result_e8 == 141_999_080  # of the trade before it
    assert {(order.leg, order.side, order.purpose, order.state) for order in pair.orders} == {
        (0, "BUY", "exit", "in_doubt"),
        (1, "SELL", "exit", "in_doubt"),
    }
    # To the last figure what the version that wrote it made of it; what is known besides is newer.
    before = json.loads(HELD.read_text(), object_hook=_tupled)
    now = {**plain(pair), "is_held": True}
    assert _as_known(now, before) == before
    assert now.keys() - before.keys() == {"closed", "estimated", "unaccounted", "quote_rate_e8"}


def test_the_executor_begins_with_it(directory: Path) -> None:
    """Both legs held and unconfirmed, both exits in doubt: nothing is sent before the venues answer."""
    held, pair = the_pair(directory), Pair()

    state = state_of(pair.rules, 1 << 28, held, pair.now_mono_ns, int(time.time() * 1e3))

    assert [leg.held_e8 for leg in state.legs] == [-SIZE_E8, SIZE_E8]
    assert all(order.state in DOUBTFUL for leg in state.legs for order in leg.live)
    assert [len(leg.live) for leg in state.legs] == [1, 1]
    assert state.trade is not None
    assert state.trade.trade_id == held.trade_id
    assert not any(leg.is_verified for leg in state.legs)


def test_this_version_writes_on_behind_it(directory: Path) -> None:
    before, holdings = the_pair(directory), Holdings()
    holdings.adopt(holdings_of(directory))

    def begin() -> tuple[str, bytes]:
        return SOURCE, Encoder(SOURCE, 1, "run-2").encode(holdings.checkpoint("demo", "live"))

    epoch = max(entry.number for entry in read_all(directory)) >> 24
    journal = Journal(directory, "run-2", epoch + 1, begin_with=begin)
    journal.append(SOURCE, 0, begin()[1])
    journal.close()

    old, new = files(directory)
    assert (old.read_bytes()[:8], new.read_bytes()[:8]) == (b"TNDMJ002", b"TNDMJ003")
    findings = verify(directory)
    assert (findings.problems, findings.files) == ([], 2)
    assert isinstance(decode([*read_all(directory)][-1].payload).event, JournalCheckpoint)
    assert the_pair(directory) == before


def test_the_database_takes_every_event_of_it(directory: Path, database_url: str) -> None:
    store = Store(database_url, "an older journal")
    store.migrate()
    entries = list(read_all(directory))

    store.write(entries)

    with psycopg.connect(database_url) as connection:

        def rows(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql.encode()).fetchall()

        assert rows("select count(*) from events") == [(len(entries),)]
        assert rows("select state, count(*) from trades group by state order by state") == [
            ("closed", 1),
            ("open", 1),
        ]
        assert rows("select count(*) from orders") == [(8,)]
        assert rows("select count(*) from slippage") == [(3,)]
        sizes = rows("select venue, size_base * 50 from positions order by venue")
        assert sizes == [("paradex", -1), ("vest", 1)]


@pytest.mark.parametrize(
    ("beginning", "says"),
    [
        (b"TNDMJ004", "a journal of version 4, this Tandem reads up to version 3"),
        (b"TNDMJ999", "a journal of version 999, this Tandem reads up to version 3"),
        (b"TNDMJ001", "a journal of version 1, read no more"),
        (b"not ours", "is no journal"),
    ],
)
def test_another_version_is_refused_by_name_and_version(
    directory: Path, beginning: bytes, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newer one may say what this version would misread: a start is better refused."""
    (path,) = files(directory)
    path.write_bytes(beginning + path.read_bytes()[8:])

    for read in (holdings_of, lambda place: Journal(place, "run", 1 << 28)):
        with pytest.raises(JournalError, match=says) as refused:
            read(directory)
        assert str(path) in str(refused.value)
    assert says in verify(directory).problems[0]
    assert main(["journal", "--directory", str(directory), "--held"]) == 2
    assert says in capsys.readouterr().err
