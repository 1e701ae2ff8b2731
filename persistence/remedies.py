"""Names the remedy where a server refuses a statement and will refuse it again.

Refusals are distinguished by SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), for
the server's texts are in its own language.
"""

from __future__ import annotations

from typing import Final

import psycopg

_NO_RIGHT: Final = "42501"
_NO_SCHEMA: Final = "3F000"
_READ_ONLY: Final = "25006"
_TAKEN: Final = frozenset({"42P07", "42P06", "42710", "42723", "42703", "42804", "42809", "42P01", "42P10"})
_TOO_OLD: Final = frozenset({"42601", "42883", "42704", "0A000"})
_LASTING_CLASSES: Final = ("42", "0A", "3D", "3F", "28")


def lasting_remedy(error: psycopg.Error, role: str) -> str:
    """What the operator has to do about a lasting refusal; "" where a repetition may succeed."""
    code = error.sqlstate or ""
    if code == _NO_RIGHT:
        return (
            f"{role} has not the right. As the database's owner: GRANT CREATE, USAGE ON SCHEMA public TO "
            f"{role}; where Tandem's tables are another role's, GRANT ALL ON ALL TABLES IN SCHEMA public TO "
            f"{role}, too"
        )
    if code == _NO_SCHEMA:
        return f"there is no schema to make tables in: CREATE SCHEMA AUTHORIZATION {role}"
    if code == _READ_ONLY:
        return "this server is read-only: name the one that is written to"
    if code in _TAKEN:
        return (
            "something of another program has the name of one of our tables: give Tandem a database or a "
            "schema of its own (options=-csearch_path%3Dtandem)"
        )
    if code in _TOO_OLD:
        return "this server lacks what Tandem needs: PostgreSQL 13 or later"
    return "correct DATABASE_URL or the server" if code.startswith(_LASTING_CLASSES) else ""
