"""Where the database is: ``DATABASE_URL``, or the embedded server. The password stays in here.

Nothing is added to the URL: ``sslmode``, certificates and everything else libpq understands are the
operator's to say (https://www.postgresql.org/docs/current/libpq-connect.html).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import psycopg
from psycopg.conninfo import conninfo_to_dict

from redaction import register_secret

# A server that answers with one of these will answer with it again: the address is wrong, or the
# database was never made. Connection failures carry no SQLSTATE, only the server's text; one in
# another language is taken for an outage, which is the harmless mistake.
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "Tenant or user not found",  # Supabase's pooler, for a wrong project or user
)
_MISSING = ("database", "role")  # FATAL: database "x" does not exist


class AddressError(ValueError):
    """DATABASE_URL cannot be understood. The text does not repeat it."""


@dataclass(frozen=True)
class Address:
    """``url`` is empty for the embedded server."""

    url: str = field(repr=False)
    _secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises AddressError. From then on no log line of this process can hold URL or password."""
        register_secret(url)
        if not url:
            return cls("")
        try:
            known = conninfo_to_dict(url)
            ports = str(known.get("port") or "5432").split(",")
            if not all(port.isdigit() or not port for port in ports):
                raise psycopg.ProgrammingError("port")
        except psycopg.ProgrammingError:
            # libpq quotes what it stumbles over, and that may be the password.
            raise AddressError(
                "DATABASE_URL is no PostgreSQL address: it has the form "
                "postgresql://user:password@host:5432/database?sslmode=require, and in user and password "
                "every character other than letters, digits and -._~ is written as % and two hex digits"
            ) from None
        password = str(known.get("password") or "")
        secrets = tuple(
            secret for secret in dict.fromkeys((url, password, quote(password, ""), quote_plus(password)))
            if secret
        )  # fmt: skip
        for secret in secrets:
            register_secret(secret)
        return cls(url, secrets)

    @property
    def kind(self) -> str:
        return "DATABASE_URL" if self.url else "embedded"

    def explain(self, error: Exception) -> str:
        """The error on one line, without the URL or its password."""
        text = " ".join(str(error).split()) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        if isinstance(error, psycopg.Error) and self.url:
            return f"DATABASE_URL: {text[:400]}"
        return text[:400]

    def is_refusal(self, error: Exception) -> bool:
        """Whether the server answered, and its answer was that this address is wrong."""
        text = str(error)
        is_missing = "does not exist" in text and any(f'FATAL:  {what} "' in text for what in _MISSING)
        return isinstance(error, psycopg.OperationalError) and (
            is_missing or any(refusal in text for refusal in _REFUSALS)
        )
