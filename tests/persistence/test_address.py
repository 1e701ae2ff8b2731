"""DATABASE_URL: what stands before the host is secret however it parses, and the line must be closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from observability.redaction import redact
from persistence.address import Address, AddressError

TAIL = "et-Tail-of-it"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://bot:s3cr@{TAIL}@127.0.0.1:9/postgres",
        f"postgresql://bot:{TAIL}@@127.0.0.1/db",
        f"postgresql://bot:@{TAIL}@/db?host=/tmp",
        f"postgresql://bot:12/{TAIL}@127.0.0.1/db",
        f"postgresql://bot:pass/{TAIL}@127.0.0.1/db",
        f"postgresql://bot:p?w@{TAIL}@127.0.0.1/db",
        f"postgresql://bot:p%%{TAIL}@127.0.0.1/db",
        f"postgresql://bot:p {TAIL}@127.0.0.1/db",
        f"postgres://bot:p@{TAIL}:5@127.0.0.1/db?sslmode=disable",
        f"postgresql://bot:{TAIL}@127.0.0.1:port/db",
        f"postgresql://bot:{TAIL}@127.0.0.1/db?nonsense=1",
        f"mysql://bot:{TAIL}@127.0.0.1/db",
        f"host=127.0.0.1 password={TAIL} nonsense",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_repeating_any_of_it(url: str) -> None:
    """All behind the first @ was taken for the host's name, and errors show that."""
    with pytest.raises(AddressError, match="%40") as refused:
        Address.parse(url)
    assert TAIL not in str(refused.value)
    assert refused.value.__cause__ is None
    if "@" in url:
        assert TAIL not in redact(f"could not translate {TAIL}@127.0.0.1: {url}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql:///db",
        "postgresql://bot@/db?host=/tmp/a%20b",
        "postgresql://bot:p%40ss%2Fw%3Frd@localhost/db",
        "postgresql://bot:p?w#x:y@127.0.0.1/db",
        "postgresql://bot:pw@[::1]:5432/db?options=-cx%3Dy@z",
        "postgresql://localhost/db?user=a&password=p@ss",
        "postgresql://bot:pw@127.0.0.1:1,localhost:2/db",
        "host=/tmp user=a password='x@y/z'",
        "postgresql://bot:pw@db.example.com/db?sslmode=verify-full&sslrootcert=system",
        "postgresql://bot:pw@db.example.com/db?sslrootcert=system",
    ],
)
def test_an_address_that_can_be_read_and_is_closed_is_taken(url: str) -> None:
    assert Address.parse(url).exposure() == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://bot:pw@db.example.com/db", "db.example.com"),
        ("postgresql://bot:pw@db.example.com/db?sslmode=require", "db.example.com"),
        ("postgresql://bot:pw@10.0.0.1/db?sslmode=prefer", "10.0.0.1"),
        ("postgresql://bot:pw@localhost/db?hostaddr=10.0.0.1", "10.0.0.1"),
        ("postgresql://bot:pw@127.0.0.1,db2/db", "db2"),
        ("host=db user=bot", "db"),
        ("service=production", "service production"),
    ],
)
def test_a_line_to_another_machine_that_is_not_verified_is_named(url: str, shown: str) -> None:
    exposure = Address.parse(url).exposure()
    assert f"another machine ({shown})" in exposure
    assert "sslmode=verify-full" in exposure
    assert "pw" not in exposure


def test_what_the_environment_says_for_libpq_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert "db.example.com" in Address.parse("postgresql:///db").exposure()
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    assert Address.parse("postgresql:///db").exposure() == ""


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    """To libpq it is a connection that failed, as one to a server that is away."""
    url = "postgresql://bot:pw@db.example.com/db?sslmode=verify-full&sslrootcert="
    with pytest.raises(AddressError, match=r"/nowhere/ca\.pem does not exist: set sslrootcert=system"):
        Address.parse(f"{url}/nowhere/ca.pem")
    (tmp_path / "ca.pem").touch()
    assert Address.parse(f"{url}{tmp_path / 'ca.pem'}").exposure() == ""
