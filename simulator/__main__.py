"""``python -m simulator``: the venues on loopback until a signal says stop."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import uvloop

from events.simulator import SimulatorReady
from observability.logs import Reporter
from observability.redaction import guard_stderr
from observability.standard_streams import open_standard_streams, run_command
from runtime.bootstrap import end_with_supervisor
from shm.layout import Memory
from simulator import fault_scripts
from simulator.config import SimulatorConfig
from simulator.fault_scripts import AnyScript, ScriptError
from simulator.process import PortTaken, RunningSimulator, run
from simulator.recorded import RecordingDamaged, RecordingTooShort
from simulator.registry import simulated_venues
from venues.contract import parse_e8

EXIT_UNUSABLE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulator. Returns 0 after a signal, 2 when it cannot be started as asked."""
    config, memory_directory = _parse(argv)
    beat: Callable[[int], None] = _no_one_watches
    if memory_directory is not None:
        end_with_supervisor()
        beat = _beat(memory_directory)
    reporter = Reporter("simulator", run_id="-")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(config, partial(_announce, reporter), beat, reporter.report))
    except (PortTaken, RecordingDamaged, RecordingTooShort, ScriptError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return EXIT_UNUSABLE
    return 0


def _announce(reporter: Reporter, running: RunningSimulator) -> None:
    reporter.report(SimulatorReady(host=running.host, ports=running.ports))


def _no_one_watches(_now_mono_ns: int) -> None:
    """Started by hand: there is no supervisor to beat for."""


def _beat(directory: Path) -> Callable[[int], None]:
    counters = Memory(directory).counters("simulator", writer=True)
    heartbeat = counters.index("heartbeat_mono_ns")
    return lambda now_mono_ns: counters.set(heartbeat, now_mono_ns)


def _parse(argv: Sequence[str] | None) -> tuple[SimulatorConfig, Path | None]:
    defaults = SimulatorConfig()
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    venues = list(simulated_venues())
    for venue in venues:
        parser.add_argument(
            f"--{venue}-port", type=_port, default=0, help="on 127.0.0.1; 0: the system chooses"
        )
    parser.add_argument("--venues", type=_venues, default=(), help="separated by commas; default: all")
    parser.add_argument("--source", choices=("recorded", "synthetic"), default=defaults.source)
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of the synthetic market")
    parser.add_argument("--speed", type=_positive, default=defaults.speed, help="times market time")
    parser.add_argument("--start-s", type=float, default=defaults.start_s, help="where the recording begins")
    parser.add_argument("--taker-fee-bps", type=float, help="on all venues; default: what each publishes")
    parser.add_argument("--maker-fee-bps", type=float, help="likewise")
    parser.add_argument(
        "--published-fee",
        action="append",
        default=[],
        metavar="VENUE:SYMBOL",
        help="a contract that costs what its venue publishes all the same",
    )
    parser.add_argument("--ack-latency-ms", type=float, help="from a request to its answer")
    parser.add_argument("--execution-latency-ms", type=float, help="from acceptance to matching")
    parser.add_argument("--collateral", default="100000", help="quote currency of every new account")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_script,
        metavar="NAME[:KEY=VALUE,...]",
        help="a fault script to run, as often as wanted: --fault stall:venue=vest,after_s=10,for_s=5",
    )
    parser.add_argument("--list-faults", action=_ListFaults, help="print the fault scripts and stop")
    parser.add_argument("--memory", type=Path, help="given by the supervisor: where to beat")
    parser.add_argument("--epoch", type=int, help="given by the supervisor to every process; not used")
    arguments = parser.parse_args(argv)
    try:
        collateral_e8 = parse_e8(arguments.collateral)
    except ValueError as error:
        parser.error(f"--collateral: {error}")
    config = SimulatorConfig(
        venues=arguments.venues,
        ports={venue: getattr(arguments, f"{venue}_port") for venue in venues},
        source=arguments.source,
        seed=arguments.seed,
        speed=arguments.speed,
        start_s=arguments.start_s,
        taker_fee_bps=arguments.taker_fee_bps,
        maker_fee_bps=arguments.maker_fee_bps,
        published_fees=frozenset(arguments.published_fee),
        ack_latency_ms=arguments.ack_latency_ms,
        execution_latency_ms=arguments.execution_latency_ms,
        collateral_e8=collateral_e8,
        faults=tuple(arguments.fault),
    )
    return config, arguments.memory


class _ListFaults(argparse.Action):
    """Prints every fault script with its parameters and their defaults."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        for name in fault_scripts.names():
            print(name)
            print(f"    {fault_scripts.load(name).description}")
            values = fault_scripts.parameters_of(name).items()
            print("    " + " ".join(f"{key}={_shown(value)}" for key, value in values))
        parser.exit()


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "/".join(str(each) for each in value.values())
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _script(text: str) -> AnyScript:
    try:
        return fault_scripts.parse(text)
    except ScriptError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _venues(text: str) -> tuple[str, ...]:
    known = simulated_venues()
    chosen = tuple(text.split(","))
    for venue in chosen:
        if venue not in known:
            raise argparse.ArgumentTypeError(f"{venue!r} is unknown; known are {', '.join(known)}")
    return chosen


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed (above 0, at most 1000)")
    return value


if __name__ == "__main__":
    open_standard_streams()
    guard_stderr()
    run_command(main)
