"""However descriptors 0, 1 and 2 were left to us, and whoever reads what tools print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from settings import PROJECT
from tests.observability.test_plain_text import HOSTILE, is_harmless
from tests.waiting import DEADLINE_S

SHOW = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from observability.standard_streams import open_standard_streams
open_standard_streams()
found = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)}
inherited = {fd: os.get_inheritable(fd) for fd in range(3)}
print("to standard output", file=sys.stdout, flush=True)
print("to standard error", file=sys.stderr, flush=True)
sys.stdin.read()
own = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)
os.write(own, json.dumps([found, inherited, own]).encode())
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_descriptor_is_never_given_to_a_file_of_ours(closed: str, tmp_path: Path) -> None:
    into = tmp_path / "found"
    words = [sys.executable, "-c", SHOW, str(PROJECT), str(into)]
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", *words]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=DEADLINE_S)

    found, inherited, own = json.loads(into.read_bytes())
    names = {"<": "0", ">": "1", "2": "2"}
    for part in closed.split():
        assert found[names[part[0]]] == "/dev/null"
    assert set(inherited.values()) == {True}
    assert own > 2


@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "words",
    [
        ["supervisor.py", "--check"],
        ["-m", "tools", "kill", "--release"],
        ["-m", "tools", "doctor", "--offline"],
        ["-m", "simulator", "--list-faults"],
    ],
    ids=lambda words: " ".join(words),
)
def test_commands_work_with_their_streams_closed(words: list[str], closed: str, tmp_path: Path) -> None:
    """None of them dies of a stream that is None, and none writes into a file of its own."""
    config = tmp_path / "config.yaml"
    text = (PROJECT / "config.yaml").read_text()
    config.write_text(text.replace("var_dir: var ", f"var_dir: {tmp_path}/var "))
    own = ["--config", str(config)] if "simulator" not in words else []
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, *words, *own]
    done = subprocess.run(command, cwd=PROJECT, stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)

    assert done.returncode in (0, 1)
    assert b"Traceback" not in done.stderr


PRINTS = """
import sys; sys.path.insert(0, sys.argv[1])
from observability.standard_streams import open_standard_streams, run_command
def main():
    {body}
    return 0
open_standard_streams()
run_command(main)
"""


def printing(body: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    script = PRINTS.format(body=body)
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [sys.executable, "-c", script, str(PROJECT)],
        **{"capture_output": True, "timeout": 60, "check": False, **more},  # type: ignore[call-overload]
    )
    return done


def test_what_a_tool_prints_drives_no_terminal() -> None:
    done = printing(f"print({HOSTILE!r}, end='')")

    assert done.returncode == 0
    assert is_harmless(done.stdout.decode().replace("\n", ""))  # the breaks between lines are the tool's


def test_a_terminal_that_is_not_utf8_is_shown_what_it_can_show() -> None:
    done = printing("print('3 \\u2192 4 caf\\u00e9')", env={**os.environ, "PYTHONIOENCODING": "iso8859-1"})

    assert (done.returncode, done.stdout) == (0, b"3 ? 4 caf\xe9\n")


def test_a_reader_that_has_gone_is_no_error_of_ours() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = printing("print('x' * 100_000)", capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)

    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_is_named() -> None:
    with open("/dev/full", "wb") as full:
        done = printing("print('x')", capture_output=False, stdout=full, stderr=subprocess.PIPE)

    assert (done.returncode, done.stderr) == (1, b"standard output: No space left on device\n")


def test_a_pipe_that_does_not_wait_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        [sys.executable, "-c", PRINTS.format(body="print('x' * 1_000_000)"), str(PROJECT)], stdout=writer
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert len(pipe.read()) == 1_000_001
    assert process.wait(60) == 0
