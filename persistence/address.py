"""Parses the database's address: ``DATABASE_URL``, or the embedded server. The password stays in here.

``sslmode``, certificates and all other options of libpq are the operator's choice
(https://www.postgresql.org/docs/current/libpq-connect.html). We set only the client's encoding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from observability.redaction import register_secret
from persistence.refusal import is_refused

_FORM: Final = (
    "it has the form postgresql://user:password@host:5432/database?sslmode=verify-full, and in user and "
    "password every character other than letters, digits and -._~ is written as % and two hex digits "
    "(@ as %40, / as %2F)"
)
_VERIFIED: Final = frozenset({"verify-ca", "verify-full"})
_SYSTEM: Final = "system"  # the certificates that the machine trusts


class AddressError(ValueError):
    """DATABASE_URL cannot be used. The text does not repeat what may be a secret."""


@dataclass(frozen=True)
class Address:
    """``url`` is empty for the embedded server. ``problem``: why a DATABASE_URL is not used at all."""

    url: str = field(repr=False)
    _secrets: tuple[str, ...] = field(default=(), repr=False)
    problem: str = ""

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
            _hide_all_before_the_host(url)
            raise AddressError(f"DATABASE_URL is no PostgreSQL address: {_FORM}") from None
        if _is_ambiguous(url):
            _hide_all_before_the_host(url)
            raise AddressError(f"DATABASE_URL has more than one @, or one behind a /: {_FORM}")
        password = str(known.get("password") or "")
        secrets = tuple(
            secret for secret in dict.fromkeys((url, password, quote(password, ""), quote_plus(password)))
            if secret
        )  # fmt: skip
        for secret in secrets:
            register_secret(secret)
        _check_certificates(known)
        return cls(url, secrets)

    @classmethod
    def unusable(cls, problem: str) -> Address:
        """For an instance that holds something: it goes on as without its database."""
        return cls("", (), problem)

    @property
    def kind(self) -> str:
        """Which database it is, as logs and ``tools`` name it: no URL, no password."""
        return "DATABASE_URL" if self.url or self.problem else "embedded"

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

    def exposure(self) -> str:
        """The warning where this leads over a network without verified TLS; "" where it does not."""
        if not self.url:
            return ""
        known = _with_defaults(conninfo_to_dict(self.url))
        if _sslmode(known) in _VERIFIED:
            return ""
        hosts = str(known.get("hostaddr") or known.get("host") or "").split(",")
        away = next((host for host in hosts if not _is_this_machine(host)), "")
        if known.get("service"):
            away = f"service {known['service']}"
        if not away:
            return ""
        return (
            f"DATABASE_URL leads to another machine ({away}) without verified TLS, so whoever is in between "
            "can read and change everything: add sslmode=verify-full, with sslrootcert=system or the file of "
            "your server's authority"
        )


def connect(url: str, **options: Any) -> psycopg.Connection:
    """Connect; texts are UTF-8 on the way, whatever the environment or the database's default says."""
    return psycopg.connect(url, **{"client_encoding": "utf8", "application_name": "tandem", **options})


def _hide_all_before_the_host(url: str) -> None:
    """What may be a password or a piece of one, where it is not known which."""
    before, _, _ = url.partition("://")[2].rpartition("@")
    _, _, password = before.partition(":")
    for secret in (password, *re.split(r"[^\w.~-]+", password)):
        register_secret(secret)


def _is_ambiguous(url: str) -> bool:
    """Whether an @ or a / of a password was taken for the end of it: what follows would be the host's name,
    which errors show."""
    before, found, after = url.partition("://")[2].partition("@")
    if not found or ("/" in before and "?" in before):  # without one, or with one in the options alone
        return False
    return "/" in before or "@" in after.partition("?")[0]


def _check_certificates(known: Mapping[str, Any]) -> None:
    """A file that is missing here will be missing tomorrow. Raises AddressError."""
    known = _with_defaults(known)
    place = str(known.get("sslrootcert") or Path.home() / ".postgresql" / "root.crt")
    if _sslmode(known) in _VERIFIED and place != _SYSTEM and not Path(place).is_file():
        raise AddressError(
            f"DATABASE_URL wants the server's certificate verified, and {place} does not exist: set "
            "sslrootcert=system, or to the file of your server's authority"
        )


def _sslmode(known: Mapping[str, Any]) -> str:
    mode = str(known.get("sslmode") or "")
    return mode or ("verify-full" if known.get("sslrootcert") == _SYSTEM else "prefer")


def _with_defaults(known: Mapping[str, Any]) -> dict[str, Any]:
    """With what libpq takes from the environment (PGHOST, PGSSLMODE, …) where the address is silent."""
    defaults = {option.keyword.decode(): option for option in Conninfo.get_defaults()}
    found = {
        name: option.val.decode(errors="replace")
        for name, option in defaults.items()
        if option.val and option.envvar and option.envvar.decode() in os.environ
    }
    return {**found, **{name: value for name, value in known.items() if value}}


def _is_this_machine(host: str) -> bool:
    if not host or host.startswith(("/", "@")) or host == "localhost":  # Unix sockets, the default one too
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
