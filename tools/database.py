"""A read-only connection to the database an instance writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from persistence.address import connect
from persistence.server import ServerError, is_running, start_server, stop_server
from settings import PROJECT, Problem, Settings, SettingsError, read_secrets


@contextmanager
def reading(settings: Settings, env_file: Path) -> Iterator[psycopg.Connection]:
    """Connect for reading: DATABASE_URL of ``env_file`` or the environment, else the embedded server.

    An embedded server that did not run is started for this and stopped again. Raises SettingsError
    naming what does not answer.
    """
    url = read_secrets(("DATABASE_URL",), env_file).get("DATABASE_URL", "")
    var_dir = PROJECT / settings.persistence.var_dir
    is_ours = not url and not is_running(var_dir)
    try:
        source = "DATABASE_URL" if url else f"the embedded PostgreSQL of {var_dir}"
        with connect(url or start_server(var_dir), connect_timeout=10) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # one state of things
            yield connection
    except ServerError as error:
        raise SettingsError("database", [Problem("persistence.var_dir", "", str(error))]) from error
    except psycopg.errors.UndefinedTable as error:
        problem = Problem(source, "", "holds no tables yet: start the instance once")
        raise SettingsError("database", [problem]) from error
    except psycopg.errors.UndefinedColumn as error:
        problem = Problem(source, "", "its tables are of an older version: start the instance once")
        raise SettingsError("database", [problem]) from error
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingsError("database", [Problem(source, "", f"does not answer: {reason}")]) from None
    finally:
        if is_ours:
            stop_server(var_dir)
