"""``python -m verification.conformance PYTHON``: the venues' own clients, unchanged, against the simulator.

PYTHON is the interpreter of the clients' environment (``make conformance`` makes it). Prints every call
of every client and ends with 0 only if all of them are green.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from verification.conformance.report import Outcome, Report, parse
from verification.conformance.venue import simulated_venues

HERE = Path(__file__).resolve().parent
# What each is given: the venues it runs on, by the names of ``venue.simulated_venues``.
PROGRAMS = {
    "paradex_sdk": ("json", "sbe"),
    "ccxt_client": ("json", "sbe"),
    "hyperliquid_sdk": ("hyperliquid",),
    "hyperliquid_minimal": ("hyperliquid",),
    "ccxt_hyperliquid": ("hyperliquid",),
}
PROGRAM_S = 240.0  # a client that takes longer hangs


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.conformance", description=__doc__)
    parser.add_argument("python", type=Path, help="of the clients' environment")
    report = asyncio.run(_run(parser.parse_args().python))
    print(report.text(is_coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return report.exit_code


async def _run(python: Path) -> Report:
    report = Report()
    async with simulated_venues() as urls, asyncio.TaskGroup() as programs:
        for program, venues in PROGRAMS.items():
            own = {name: urls[name] for name in venues}
            programs.create_task(_run_program(python, program, own, report))
    return report


async def _run_program(python: Path, program: str, urls: Mapping[str, str], report: Report) -> None:
    """Run one client program to its end; what it says on standard error is shown only if it breaks off."""
    arguments = [part for name, url in urls.items() for part in (f"--{name}", url)]
    # -P: nothing from the working directory, where our own packages are
    command = (str(python), "-P", "-m", f"conformance.clients.{program}", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command,
        env={
            **os.environ,
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE / 'shims'}",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    complaints = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(PROGRAM_S):
            async for line in process.stdout:
                report.add(_outcome(program, line.decode()))
            await process.wait()
        ending = f"ended with exit code {process.returncode}"
    except TimeoutError:
        process.send_signal(signal.SIGABRT)  # its fault handler tells on standard error where it hangs
        await process.wait()
        ending = f"killed after {PROGRAM_S:g} s"
    if process.returncode != 0:
        last_words = (await complaints).decode(errors="replace")[-2_000:]
        report.add(
            Outcome(program, "the program", "ends by itself", ok=False, detail=f"{ending}\n{last_words}")
        )


def _outcome(program: str, line: str) -> Outcome:
    """A line of a client as an outcome; one that is none is a failure of the program."""
    try:
        return parse(line)
    except ValueError as error:
        return Outcome(program, "the program", "writes nothing but outcomes", ok=False, detail=str(error))


if __name__ == "__main__":
    sys.exit(main())
