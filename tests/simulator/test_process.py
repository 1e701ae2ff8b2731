"""The program: ports, signals, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from simulator.__main__ import main
from tests.simulator.vest_client import Stream
from tests.waiting import DEADLINE_S

ROOT = Path(__file__).parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_announces_its_ports_shows_the_market_and_ends_clean_on_a_signal(
    number: signal.Signals,
) -> None:
    """A moving book on a socket; exit code 0, nothing on stderr, ports given back."""
    process = start("--start-s", "30")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["event"] == "simulator_ready"
    port = ready["ports"]["vest"]
    async with ClientSession() as session:
        stream = await Stream.open(session, port)
        await stream.subscribe("BTC-PERP@depth")
        first = await stream.push("BTC-PERP@depth")
        assert len(first["bids"]) == len(first["asks"]) == 20
        async with asyncio.timeout(DEADLINE_S):
            while await stream.push("BTC-PERP@depth") == first:
                pass

        os.kill(process.pid, number)
        assert await stream.close_code() == 1012
    _, errors = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 0
    assert errors == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)


def test_a_taken_port_is_one_clear_line_and_exit_code_2() -> None:
    """It names venue, port and remedy, and no venue is left serving."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        process = start("--vest-port", str(port))
        output, errors = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 2
    assert output == ""
    assert errors == (
        f"simulator: cannot serve vest on 127.0.0.1:{port}: the port is taken; "
        "stop what uses it or choose another port (0 lets the system choose)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--vest-port", "70000"], "'70000' is not a port"),
        (["--speed", "0"], "'0' is not a speed"),
        (["--collateral", "1e5"], "'1e5' is not a plain decimal number"),
    ],
)
def test_an_unusable_argument_is_named_with_its_value(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, as argparse has it."""
    with pytest.raises(SystemExit) as left:
        main(arguments)

    assert left.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_start_beyond_the_recording_is_one_clear_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The recording's length is only known once it is read; it must still end without a traceback."""
    assert main(["--start-s", "400"]) == 2
    assert capsys.readouterr().err == (
        "simulator: start 400 s is beyond the end of the recording (343.6 s)\n"
    )
