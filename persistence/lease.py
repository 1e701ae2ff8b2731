"""Leases accounts to one instance: a row in the shared database that must be renewed to be kept.

Two instances on one account would each take the other's positions for unexplained ones, and the other's
orders for foreign ones. On one host a lock file keeps them apart; across hosts this lease does, by the
database's clock. It guards against a second start by mistake, not against a network split: a database that
is away does not stop trading, and after ``TTL_S`` another instance may take the account. Then the lease is
lost: nothing is opened any more, exits go on, and an alert names the new holder.

The row also carries the newest epoch. A new holder begins above it, so that no client order id is made
twice, however the two hosts' clocks differ.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

import psycopg

from observability.plain_text import plain

TTL_S: Final = 30.0
RENEW_S: Final = 5.0

_TAKE: Final = """
insert into leases as held
    (account, holder, bot_id, host, pid, epoch, since, renewed_at, expires_at)
values (%(account)s, %(holder)s, %(bot_id)s, %(host)s, %(pid)s, %(epoch)s,
        clock_timestamp(), clock_timestamp(), clock_timestamp() + make_interval(secs => %(ttl_s)s))
on conflict (account) do update
    set holder = excluded.holder, bot_id = excluded.bot_id, host = excluded.host, pid = excluded.pid,
        epoch = greatest(held.epoch, excluded.epoch),
        since = case when held.holder = excluded.holder and held.pid = excluded.pid
                     then held.since else excluded.since end,
        renewed_at = excluded.renewed_at, expires_at = excluded.expires_at
    where held.holder = excluded.holder or held.expires_at <= clock_timestamp()
returning epoch
"""
_WHO: Final = """
select account, bot_id, host, pid, since::text, ceil(extract(epoch from expires_at - clock_timestamp()))
from leases where account = %s
"""


class LeaseHeld(Exception):
    """Another instance trades on one of the accounts."""

    def __init__(self, account: str, bot_id: str, host: str, pid: int, since: str, left_s: int) -> None:
        super().__init__(account, bot_id, host, pid, since, left_s)
        self.account = account
        self.detail = (
            f"{account} is traded by instance {bot_id!r} on {host} (pid {pid}) since {since}; stop it there, "
            f"or wait: if it is dead its lease ends in {left_s} s"
        )

    def __str__(self) -> str:
        return self.detail


class Holder(NamedTuple):
    """Who asks. ``holder`` stays the same through restarts of one installation: its journal's id."""

    holder: str
    bot_id: str
    host: str
    pid: int


def this_holder(journal_id: str, bot_id: str) -> Holder:
    """The supervisor's pid, as it is the one to stop."""
    return Holder(journal_id, bot_id, plain(socket.gethostname()), os.getppid())


def take(
    connection: psycopg.Connection, accounts: Sequence[str], holder: Holder, epoch: int, ttl_s: float = TTL_S
) -> int:
    """Take or renew the lease of every account, or of none; return the newest epoch known of them.

    Raises LeaseHeld, or psycopg.Error.
    """
    newest = epoch
    with connection.transaction():
        for account in sorted(accounts):  # in one order, so that two who want both cannot block each other
            values = {**holder._asdict(), "account": account, "epoch": epoch, "ttl_s": ttl_s}
            row = connection.execute(_TAKE, values).fetchone()
            if row is None:
                who = connection.execute(_WHO, (account,)).fetchone()
                assert who is not None, "a row that is there refused to be taken"
                raise LeaseHeld(*who)
            newest = max(newest, row[0])
    return newest


def release(connection: psycopg.Connection, holder: Holder) -> None:
    """Let others have the accounts at once. Raises psycopg.Error."""
    connection.execute("update leases set expires_at = clock_timestamp() where holder = %s", (holder.holder,))
