"""The embedded server, as a start finds it after everything was killed."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import psycopg

from persistence.server import is_running, start_server, stop_server
from tests.instance import a_directory
from tests.waiting import wait_until


def test_a_killed_servers_process_that_lingers_is_waited_for() -> None:
    """While one has its shared memory no other server can start, and the start ended with exit code 2, as if
    the operator had to correct something; seconds later all would have been well."""
    with a_directory() as directory:
        var_dir = directory / "var"
        with psycopg.connect(start_server(var_dir)) as connection:
            backend = connection.info.backend_pid
            postmaster = int((var_dir / "postgres/postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(backend, signal.SIGSTOP)
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
            for pid in (postmaster, *(int(child) for child in children if int(child) != backend)):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not is_running(var_dir))
            ends = threading.Timer(2.0, os.kill, (backend, signal.SIGKILL))
            ends.start()
            try:
                url = start_server(var_dir)
            finally:
                ends.join()
        with psycopg.connect(url) as again:
            assert again.execute("select 1").fetchone() == (1,)
        assert stop_server(var_dir)


def test_a_killed_server_leaves_nothing_in_memory_that_everybody_shares() -> None:
    """Files in /dev/shm outlive a SIGKILL, and no start would ever look for them there."""
    with a_directory() as directory:
        var_dir = directory / "var"
        start_server(var_dir)
        cluster = var_dir / "postgres"
        postmaster = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        mapped = Path(f"/proc/{postmaster}/maps").read_text()
        assert stop_server(var_dir)

    assert "/pg_dynshmem/" in mapped
    assert "/dev/shm/" not in mapped
