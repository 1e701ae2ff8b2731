"""Finds out, by code, why a server refused a connection: libpq keeps only a text in the server's language.

psycopg's error for a failed connection has no SQLSTATE, because libpq has none
(https://www.postgresql.org/docs/current/libpq-status.html). libpq's protocol trace has it: it shows every
field of the ErrorResponse. So the connection is tried once more under a trace.
"""

from __future__ import annotations

import os
import re
import select
import time
from typing import Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping, PollingStatus, abc

_TIMEOUT_S: Final = 5.0
# https://www.postgresql.org/docs/current/errcodes-appendix.html: these will be given again, whenever asked.
_INVALID_AUTHORIZATION: Final = "28"  # a class: wrong password, no such role, no pg_hba.conf entry
_NO_SUCH_DATABASE: Final = "3D000"
# Supabase's pooler, for a wrong project or user: its own program, with no code of its own and one language.
_NO_SUCH_TENANT: Final = b"Tenant or user not found"
# libpq's own findings about the server, in texts that the bundled library does not translate.
_NOT_TRUSTED: Final = (
    b"certificate verify failed",
    b"does not match host name",
    b"root certificate",
    b"does not support SSL",
)
_FIELDS: Final = re.compile(rb'\tErrorResponse\t(?: [SV] "[^"]*")* C "([0-9A-Z]{5})" M "(.*)')


def is_refused(url: str) -> bool:
    """Whether the server at ``url`` answers, and its answer is that this address is wrong; or libpq says so
    of the address itself.

    False where it does not answer now, or lets us in. ``url`` as psycopg takes it.
    """
    trace, needs_password, text = _attempt(url)
    if not trace:  # no server was asked, perhaps because libpq does not take a parameter
        return PGconn.ping(make_conninfo(url, connect_timeout=int(_TIMEOUT_S)).encode()) == Ping.NO_ATTEMPT
    if needs_password or any(found in text for found in _NOT_TRUSTED):
        return True
    return any(
        code.startswith(_INVALID_AUTHORIZATION) or code == _NO_SUCH_DATABASE or _NO_SUCH_TENANT in text
        for code, text in ((found[1].decode(), found[2]) for found in _FIELDS.finditer(trace))
    )


def _attempt(url: str) -> tuple[bytes, bool, bytes]:
    """Connect and disconnect; return protocol trace, whether a password is missing, and libpq's text."""
    # The trace has what proves the password, so it goes to memory that nobody else can open.
    file = os.memfd_create("refusal")
    try:
        connection = PGconn.connect_start(url.encode())
        connection.trace(file)  # flushed by untrace, and ours to close
        try:
            _wait(connection)
            needs_password, text = connection.needs_password, connection.error_message
        finally:
            connection.untrace()
            connection.finish()
        return os.pread(file, os.fstat(file).st_size, 0), needs_password, text
    except psycopg.OperationalError:  # no such host
        return b"", False, b""
    finally:
        os.close(file)


def _wait(connection: abc.PGconn) -> None:
    deadline_s = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline_s:
        status = connection.connect_poll()
        if status in (PollingStatus.OK, PollingStatus.FAILED):
            return
        # Not select(): that refuses descriptors from 1024 on.
        ready = select.poll()
        is_reading = status == PollingStatus.READING
        ready.register(connection.socket, select.POLLIN if is_reading else select.POLLOUT)
        ready.poll(1_000 * max(0.0, deadline_s - time.monotonic()))
