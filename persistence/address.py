"""Where the database is: ``DATABASE_URL``, or the embedded server. The password stays in here.

Nothing is added to the URL: ``sslmode``, certificates and everything else libpq understands are the
operator's to say (https://www.postgresql.org/docs/current/libpq-connect.html).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import psycopg
from psycopg.conninfo import conninfo_to_dict

from observability.redaction import register_secret
from persistence.refusal import is_refused


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

    def is_refused(self) -> bool:
        """Whether the server answers, and its answer is that this address is wrong. Asks it."""
        return bool(self.url) and is_refused(self.url)
