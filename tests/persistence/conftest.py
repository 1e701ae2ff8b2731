"""A real PostgreSQL for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from persistence.server import start_server, stop_server
from tests.instance import a_directory


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The embedded server in a directory of its own, stopped at the end."""
    with a_directory() as directory:
        yield start_server(directory / "var")
        assert stop_server(directory / "var")


@pytest.fixture
def database_url(server_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database."""
    name = f"t{abs(hash(request.node.nodeid))}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'create database "{name}"'.encode())
    yield server_url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)'.encode())
