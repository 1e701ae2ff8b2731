"""Starts the processes in the order in which each finds what it needs.

The simulator comes first, for the venues are asked about their instruments; then persistence, alone until
the database has answered or is known to be away; then the executor, the feeds and the detector.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

from events.instance import ConfiguredPair, InstrumentLoaded, PairSuspended, Running, SettingsLoaded
from observability.logs import Reporter
from runtime.bootstrap import remember_instruments, remembered_instruments, write_launch
from settings import PROJECT, VERSION, Settings
from shm import counter_names
from shm.layout import Memory
from supervision.checks import needed_secrets
from supervision.preflight import load_instruments, unpaid_costs
from supervision.process_table import Child
from supervision.supervisor import Supervisor
from venues.contract import format_e8


class Instance(NamedTuple):
    """What one run is started from. ``bells``: name -> eventfd of each process that can be woken."""

    settings: Settings
    raw: dict[str, Any]  # what the settings were parsed from
    source: str  # the configuration file, for error texts
    run_id: str
    memory: Memory
    bells: Mapping[str, int]
    env_file: Path
    accounts: Sequence[str]  # public names
    reporter: Reporter


def start_all(instance: Instance, supervisor: Supervisor, *, may_be_held: Callable[[], bool]) -> None:
    """Start every process; return when all run or a stop was asked for.

    ``may_be_held``: whether a position may be open; then a pair that does not fit its venues is suspended
    instead of ending the start. Raises SettingsError naming what does not fit, and Fatal.
    """
    settings, reporter = instance.settings, instance.reporter
    if settings.mode == "sim":
        supervisor.start(_child(instance, "simulator", extra=_simulator_arguments(settings)))
        if not supervisor.wait_until_running(["simulator"]):
            return
    _load_instruments(instance, may_be_held)
    persistence = _child(instance, "persistence", secrets={"DATABASE_URL"})
    supervisor.start(persistence)
    database = persistence.counters.index("database_state")
    if not supervisor.wait_until(
        lambda: persistence.counters.get(database) != counter_names.DATABASE_UNTRIED
    ):
        return
    if settings.alerts.has_target:
        command = [sys.executable, "-m", "tools", "alerts", "--memory", str(instance.memory.directory)]
        secrets = frozenset(settings.alerts.secret_names)
        counters = instance.memory.counters("alerts")
        supervisor.start(Child("alerts", command, secrets, counters, is_vital=False))
    # Another host may have traded on these accounts, by a clock that is ahead of ours.
    supervisor.begin_epochs_above(persistence.counters.get(persistence.counters.index("lease_epoch")))
    # Paper has no use for keys, so it cannot lose them.
    keys = set() if settings.mode == "paper" else {name for name, _ in needed_secrets(settings)}
    supervisor.start(_child(instance, "executor", secrets=keys))
    for venue in settings.venue_names:
        supervisor.start(_child(instance, "feeds", venue=venue))
    supervisor.start(_child(instance, "detector"))
    vital = ["persistence", "executor", "detector", *(f"feed-{venue}" for venue in settings.venue_names)]
    if supervisor.wait_until_running(vital):
        supervisor.is_all_started = True
        reporter.report(Running(mode=settings.mode, detail="trading begins when both venues are ready"))


def _load_instruments(instance: Instance, may_be_held: Callable[[], bool]) -> None:
    """Ask the venues for the instruments, and leave what the processes start from in memory."""
    settings, reporter = instance.settings, instance.reporter
    file = instruments_file(settings)
    instruments, suspended = load_instruments(
        settings, instance.source, is_any_held=may_be_held, remembered=remembered_instruments(file)
    )
    if not suspended:
        remember_instruments(file, instruments)
    write_launch(
        instance.memory.directory,
        instance.raw,
        instance.run_id,
        instruments,
        env_file=instance.env_file,
        accounts=instance.accounts,
        suspended=suspended,
    )
    reporter.report(settings_loaded(settings))
    if settings.mode != "sim":  # whose fees are invented
        for event in unpaid_costs(settings, instruments):
            reporter.report(event)
    for instrument in instruments:
        reporter.report(InstrumentLoaded(**instrument._asdict()))
    for pair, why in suspended.items():
        reporter.report(PairSuspended(pair=pair, detail=why))


def _child(
    instance: Instance,
    package: str,
    *,
    venue: str = "",
    extra: Sequence[str] = (),
    secrets: Set[str] = frozenset(),
) -> Child:
    name = f"{package.rstrip('s')}-{venue}" if venue else package
    command = [sys.executable, "-m", package, "--memory", str(instance.memory.directory), *extra]
    if venue:
        command += ["--venue", venue]
    if package != "simulator":
        command += ["--bells", ",".join(f"{bell}={fd}" for bell, fd in instance.bells.items())]
    fds = tuple(instance.bells.values())
    return Child(name, command, frozenset(secrets), instance.memory.counters(name), fds)


def instruments_file(settings: Settings) -> Path:
    """Where the grids of the last start are kept, beside the journal."""
    return PROJECT / settings.persistence.var_dir / f"instruments-{settings.bot_id}.json"


def _simulator_arguments(settings: Settings) -> list[str]:
    chosen = settings.simulator
    return [
        *("--venues", ",".join(settings.venue_names)),
        *(part for venue in settings.venue_names for part in (f"--{venue}-port", str(chosen.ports[venue]))),
        *(part for contract in chosen.published_fees for part in ("--published-fee", contract)),
        *("--source", chosen.source, "--seed", str(chosen.seed), "--speed", str(chosen.speed)),
        *("--start-s", str(chosen.start_s), "--taker-fee-bps", str(chosen.taker_fee_bps)),
        *("--ack-latency-ms", str(chosen.ack_latency_ms)),
        *("--collateral", format_e8(chosen.collateral_quote_e8, 2)),
        *(part for fault in chosen.faults for part in ("--fault", fault)),
    ]


def settings_loaded(settings: Settings) -> SettingsLoaded:
    """What an operator wants to see of the settings at start."""
    return SettingsLoaded(
        mode=settings.mode,
        version=VERSION,
        bot_id=settings.bot_id,
        pairs=tuple(
            ConfiguredPair(
                pair=pair.id,
                legs=(f"{first.venue}:{first.symbol}", f"{second.venue}:{second.symbol}"),
                size_base_e8=pair.size_base_e8,
                entry_bps=pair.strategy.entry_bps,
                exit_bps=pair.strategy.exit_bps,
                layers=pair.strategy.layers,
                confirm_ticks=pair.strategy.confirm_ticks,
            )
            for pair in settings.pairs
            for first, second in (pair.legs,)
        ),
        pin=dict(settings.runtime.pin),
        idle={process: settings.idle_strategy(process) for process in ("feed", "detector", "executor")},
        ring_cells=settings.runtime.ring_cells,
        http_connections=settings.execution.http_connections,
        on_shutdown=settings.runtime.on_shutdown,
        paper=settings.paper.model_dump() if settings.mode == "paper" else None,
    )
