"""Whatever happens to the database: one line when it begins, one when it ends, nothing lost, nothing doubled.

The persistence process is the real one, the server is a real PostgreSQL that the tests stop, freeze,
fill and put behind a bad line.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import psycopg
import pytest

from shm.counter_names import DATABASE_AWAY, DATABASE_UP
from tests.instance import a_directory
from tests.persistence.harness import Harness, Proxy, Server, a_harness
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    with a_directory() as directory:
        yield Server(directory / "var")


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    one_server.empty()
    yield one_server
    one_server.start()  # whatever the test has done to it


def stored_serials(server: Server) -> list[int]:
    return [
        row[0]
        for row in server.rows(
            "select (body ->> 'serial')::bigint from events where body ? 'serial' order by number"
        )
    ]


def assert_stored_exactly_once(server: Server, harness: Harness) -> None:
    harness.wait_until_stored()
    assert sorted(stored_serials(server)) == harness.all_serials
    # What the events mean came in the same transactions: as many fills as were told.
    (fills,) = server.rows("select count(*) from fills")
    (reported,) = server.rows("select count(*) from events where event = 'fill'")
    assert fills == reported


def a_fill(harness: Harness, number: int) -> None:
    harness.tell(
        "fill", pair="btc", leg=0, venue="vest", symbol="BTC-PERP", client_order_id=number,
        fill_id=f"f{number}", side="BUY", price_e8=10**12, size_e8=10**6, fee_e8=5,
    )  # fmt: skip


def assert_one_outage(harness: Harness) -> None:
    assert len(harness.events("database_away")) == 1
    assert len(harness.events("database_back")) == 1
    assert harness.events("events_lost") == []


def test_down_at_start(server: Server) -> None:
    """The process answers that the database is away, and everything waits in the journal."""
    server.stop()
    with a_harness(server.url) as harness:
        harness.start()
        wait_until(lambda: harness.counter("database_state") == DATABASE_AWAY)
        harness.push(500)
        a_fill(harness, 1)
        wait_until(lambda: harness.counter("backlog") >= 500)
        server.start()

        back = harness.wait_for("database_back")

        assert back["waiting"] >= 501
        assert_stored_exactly_once(server, harness)
        assert_one_outage(harness)
        assert harness.stop() == 0


def test_restarted_in_the_middle_of_batches(server: Server) -> None:
    """Whether a cut batch was committed is asked, never guessed."""
    with a_harness(server.url, batch_events=50) as harness:
        harness.start()
        harness.wait_for("database_ready")
        for round_number in (1, 2, 3):
            for number in range(20):
                harness.push(50)
                a_fill(harness, 100 * round_number + number)
            server.signal(signal.SIGKILL) if round_number == 2 else server.stop()
            harness.push(50)
            harness.wait_for("database_away", round_number)
            server.start()
            harness.wait_for("database_back", round_number)

        assert_stored_exactly_once(server, harness)
        assert len(harness.events("database_away")) == len(harness.events("database_back")) == 3


def test_a_frozen_server_is_an_outage_too(server: Server) -> None:
    """It answers nothing and closes nothing: only our own clock can tell. Once thawed it finishes
    what it had been sent, while we have begun anew."""
    with a_harness(server.url, database_timeout_s=3) as harness:
        harness.start()
        harness.wait_for("database_ready")
        harness.push(100)
        harness.wait_until_stored()
        server.signal(signal.SIGSTOP)
        try:
            harness.push(2_000)
            harness.wait_for("database_away")
            wait_until(lambda: harness.counter("database_state") == DATABASE_AWAY)
            harness.push(100)
        finally:
            server.signal(signal.SIGCONT)
        harness.wait_for("database_back")

        assert_stored_exactly_once(server, harness)
        # A server that is slow to thaw is away once more: none of it is lost, and all of it ends.
        assert harness.events("events_lost") == []
        wait_until(lambda: len(harness.events("database_back")) == len(harness.events("database_away")))


def test_a_slow_line_is_no_outage(server: Server) -> None:
    """Every piece takes 20 ms each way: batches and pipelining keep up, and nobody is warned."""
    proxy = Proxy(server.socket_path)
    proxy.delay_s = 0.02
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?sslmode=disable"
    with a_harness(url) as harness:
        harness.start()
        harness.wait_for("database_ready")
        harness.push(3_000)
        for number in range(200):
            a_fill(harness, number)

        assert_stored_exactly_once(server, harness)
        assert harness.events("database_away") == []
    proxy.close()


def test_a_line_that_swallows_everything(server: Server) -> None:
    """A firewall that forgot us: connected, and nothing comes back, not even an error."""
    proxy = Proxy(server.socket_path)
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?sslmode=disable"
    with a_harness(url, database_timeout_s=8) as harness:
        harness.start()
        harness.wait_for("database_ready")
        proxy.passes.clear()
        harness.push(300)
        harness.wait_for("database_away")
        proxy.passes.set()
        harness.wait_for("database_back")

        assert_stored_exactly_once(server, harness)
        assert_one_outage(harness)
    proxy.close()


def test_a_full_database(server: Server) -> None:
    """The server answers, connects, and has no room: the kernel refuses its files to grow."""
    with a_harness(server.url) as harness:
        harness.start()
        harness.wait_for("database_ready")
        limit = 16 << 20  # a write-ahead segment, which must go on fitting
        server.rows(
            "insert into events select 'filler', n, '', now(), 0, '', '', 'signal', null, null, "
            "to_jsonb((select string_agg(md5((n * i)::text), '') from generate_series(1, 60) i)) "
            "from generate_series(1, 8200) n"
        )
        assert server.rows(f"select pg_relation_size('events') >= {limit}") == [(True,)]
        server.limit_files(str(limit))
        server.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tandem'"
        )
        harness.push(2_000)
        away = harness.wait_for("database_away")
        wait_until(lambda: harness.counter("backlog") >= 2_000)
        server.limit_files("unlimited")
        harness.wait_for("database_back")

        assert away["detail"]
        assert_stored_exactly_once(server, harness)
        assert_one_outage(harness)


def test_the_alarm_comes_before_the_bound_and_nothing_is_lost_at_it(server: Server) -> None:
    """1 MiB of journal, the database away: alarm, then no entries; every event is kept all the same."""
    server.stop()
    with a_harness(server.url, journal_max_mib=1) as harness:
        harness.start()
        wait_until(lambda: harness.counter("database_state") == DATABASE_AWAY)
        while harness.journal_bytes() < 0.85 * (1 << 20):
            harness.push(50, text="x" * 400)
            wait_until(harness.has_drained)
        harness.wait_for("journal_filling")
        assert harness.counter("journal_full") == 0
        assert harness.counter("spool_bytes") >= 0.8 * (1 << 20)
        while harness.journal_bytes() < 1.05 * (1 << 20):
            harness.push(50, text="x" * 400)
            wait_until(harness.has_drained)
        harness.wait_for("journal_full")
        wait_until(lambda: harness.counter("journal_full") == 1)
        harness.push(500, text="x" * 400)

        server.start()
        harness.wait_for("journal_has_room")

        assert_stored_exactly_once(server, harness)
        assert harness.counter("journal_full") == 0
        assert len(harness.events("journal_filling")) == len(harness.events("journal_full")) == 1
        # What the database has goes, down to the bound.
        wait_until(lambda: harness.journal_bytes() <= 1 << 20)


def test_a_wrong_password_at_the_very_first_start_is_told_and_not_shown(server: Server) -> None:
    """Somebody sits there and can correct it; the password is in no line of what they are told."""
    access = server.directory / "postgres" / "pg_hba.conf"
    before = access.read_text()
    access.write_text("local all secretive scram-sha-256\n" + before)
    server.rows("drop role if exists secretive")
    server.rows("create role secretive login password 'right'")
    server.rows("select pg_reload_conf()")
    url = server.url.replace("postgres:@", "secretive:cor%2Frect-horse@")
    try:
        with a_harness(url) as harness:
            harness.start()
            assert harness.ended() == 2
            reported = harness.errors
            assert "password authentication failed" in reported
            assert "horse" not in reported + str(harness.lines) + "".join(map(str, harness.journal()))
    finally:
        access.write_text(before)


def test_a_missing_database_is_no_reason_to_leave_a_position_alone(server: Server) -> None:
    """With nothing held it ends the start; once something is held it is an outage like any other."""
    url = server.url.replace("/postgres?", "/nowhere?")
    with a_harness(url) as harness:
        harness.start()
        assert harness.ended() == 2
        assert 'database "nowhere" does not exist' in harness.errors

        harness.url = server.url
        harness.start()
        harness.wait_for("database_ready")
        harness.tell(
            "holding", pair="btc", trade_id=77, direction=1, layers=1, opened_mono_ns=0, is_estimated=False,
            legs=[
                {"leg": leg, "venue": venue, "symbol": "A", "size_e8": size, "entry_price_e8": 7, "fee_e8": 0}
                for leg, venue, size in ((0, "vest", 5), (1, "paradex", -5))
            ],
        )  # fmt: skip
        harness.wait_until_stored()
        assert harness.stop() == 0

        harness.url = url
        harness.new_run("run-2")
        harness.start()
        harness.wait_for("database_away")
        wait_until(lambda: harness.counter("database_state") == DATABASE_AWAY)
        assert [pair["sizes_e8"] for pair in harness.wait_for("journal_read", 2)["pairs"]] == [[5, -5]]


def test_an_address_that_is_none_is_told_without_repeating_it() -> None:
    with a_harness("postgresql://me:s3cret@host:not-a-port/db") as harness:
        harness.start()
        assert harness.ended() == 2
        assert "DATABASE_URL is no PostgreSQL address" in harness.errors
        assert "s3cret" not in harness.errors


def test_a_second_contact_is_an_outage_whatever_the_server_says(server: Server) -> None:
    """Somebody drops the database in mid-flight: what is held must go on being looked after."""
    server.rows("create database brief")
    with a_harness(server.url.replace("/postgres?", "/brief?")) as harness:
        harness.start()
        harness.wait_for("database_ready")
        wait_until(lambda: harness.counter("database_state") == DATABASE_UP)
        server.rows("drop database brief with (force)")
        harness.push(10)
        harness.wait_for("database_away")
        server.rows("create database brief")
        harness.wait_for("database_back")
        harness.wait_until_stored()
        assert harness.process is not None
        assert harness.process.poll() is None
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("drop database brief with (force)")
