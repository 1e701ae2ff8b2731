"""One run, from the lock to the last line: start order, memory plan, exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from configuration.env_file import exposure_of
from events.instance import (
    ConfiguredPair,
    EpochNotKept,
    InstrumentLoaded,
    PairSuspended,
    Running,
    SecretsExposed,
    SettingsLoaded,
    ShutdownDone,
    Starting,
)
from executor.accounts import account_names
from observability.logs import Reporter
from persistence.journal import journal_directory
from persistence.server import stop_server
from runtime.bootstrap import (
    EXIT_UNUSABLE,
    instruments_in,
    read_launch,
    remember_instruments,
    remembered_instruments,
    write_launch,
)
from runtime.epochs import Epochs
from runtime.tuning import cores_kept_awake
from runtime.unconfirmed import read_unconfirmed
from settings import (
    PROJECT,
    Settings,
    SettingsError,
    load_raw,
)
from shm import counter_names
from shm.layout import DOORBELLS, Memory, MemoryPlan
from shm.segment import SegmentError
from supervision.checks import config_error, fault_problems, needed_secrets
from supervision.control.commands import Commands
from supervision.control.socket import Channel
from supervision.instance_lock import Takeover, account_locks, instance_directory
from supervision.preflight import load_instruments, pair_problems, resolve, unpaid_costs
from supervision.process_table import Child
from supervision.supervisor import Fatal, Supervisor
from supervision.systemd import ServiceManager
from supervision.unattended import EXIT_NOT_YET, may_be_held
from venues.contract import format_e8

VERSION: Final = "0.2.0"


def run(settings: Settings, raw: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Everything from the lock to the last line."""
    run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S") + f"-{os.getpid()}"
    source = str(arguments.config)
    with ExitStack() as stack:
        service_manager = stack.enter_context(closing(ServiceManager.from_environment(os.environ)))
        epochs = stack.enter_context(closing(open_epochs(settings)))
        accounts = account_names(settings, arguments.env_file)
        stack.enter_context(account_locks(settings, accounts))
        takeover = Takeover()
        directory = stack.enter_context(instance_directory(settings, epochs, takeover, clean=arguments.clean))
        Memory.create(directory, memory_plan(settings), process_counters(settings))
        takeover.hand_over(directory, run_id)
        memory = Memory(directory)
        counters = memory.counters("supervisor", writer=True)
        reporter = Reporter(
            "supervisor",
            run_id=run_id,
            level=settings.log_level,
            to_queue=memory.events_writer("supervisor").push,
        )
        reporter.report(Starting(version=VERSION, mode=settings.mode, config=source, memory=str(directory)))
        if exposure := exposure_of(arguments.env_file):
            reporter.report(SecretsExposed(file=str(arguments.env_file), detail=exposure))
        if takeover.processes or takeover.events is not None:
            reporter.report(takeover.event())
        if epochs.problem:
            reporter.report(EpochNotKept(detail=epochs.problem))
        left = partial(read_unconfirmed, memory.directory)
        supervisor = Supervisor(settings, reporter, counters, epochs, service_manager, left)
        supervisor.listen_for_signals()
        reread = partial(read_again, arguments, memory.directory)
        commands = stack.enter_context(closing(Commands(settings, memory, counters, reporter, reread)))
        channel = Channel(memory.directory, commands.handle, commands.tell_refused)
        stack.enter_context(closing(channel))
        supervisor.listen_to(channel)
        stack.enter_context(cores_kept_awake(settings.runtime.keep_cores_awake, reporter))
        bells = {name: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for name in DOORBELLS}
        for fd in bells.values():
            stack.callback(os.close, fd)
        stack.callback(supervisor.kill_all)
        exit_code, last_words = 0, "nothing is left running"
        try:
            _start_all(
                supervisor=supervisor,
                settings=settings,
                raw=raw,
                run_id=run_id,
                source=source,
                memory=memory,
                bells=bells,
                env_file=arguments.env_file,
                accounts=accounts,
                reporter=reporter,
                takeover=takeover,
            )
            supervisor.watch()
        except Fatal as error:
            exit_code, last_words = error.exit_code, str(error)
        except SettingsError as error:
            for problem in error.problems:
                reporter.report(config_error(problem))
            may_pass = all(problem.may_pass for problem in error.problems)
            exit_code = EXIT_NOT_YET if may_pass else EXIT_UNUSABLE
            last_words = f"{source}: {len(error.problems)} problem(s), see above"
        if supervisor.stop(exit_code) and not exit_code:
            exit_code, last_words = 1, "the executor did not end in order: look at both venues"
            if supervisor.has_executor_ended_in_order:
                last_words = f"not confirmed: {', '.join(supervisor.unconfirmed)}; look there"
        # Its machines know more than was told of them: a signal's orders may have left untold. So do those
        # that were taken over from a run before, until an executor has told all of it and ended.
        is_untold = bool(takeover.machines) and not supervisor.has_executor_told_all
        takeover.is_left_in_turn = is_untold or not supervisor.has_executor_ended_in_order
        supervisor.kill_all()
        takeover.is_left_in_turn |= settings.mode != "sim" and memory.events_reader("executor").has_more()
        if exit_code == EXIT_UNUSABLE and _is_something_held(settings, takeover):
            exit_code, last_words = EXIT_NOT_YET, f"{last_words} (exit code 3: something may be held)"
        stop_server(PROJECT / settings.persistence.var_dir)
        unconfirmed = tuple(supervisor.unconfirmed)
        reporter.report(ShutdownDone(exit_code=exit_code, unconfirmed=unconfirmed, detail=last_words))
    return exit_code


def _is_something_held(settings: Settings, takeover: Takeover) -> bool:
    """Whether this must be tried again, by whoever has started it, until somebody has corrected it."""
    is_known = may_be_held(journal_directory(settings)) or takeover.may_hold or takeover.is_left_in_turn
    return settings.mode != "sim" and is_known


def read_again(arguments: argparse.Namespace, directory: Path) -> tuple[Settings, dict[str, Any]]:
    """The configuration as it stands in its file now. Raises SettingsError with all that is wrong with it."""
    source = str(arguments.config)
    settings, resolved = resolve(load_raw(arguments.config), source)
    launch = read_launch(directory)
    instruments = {(item.venue, item.symbol): item for item in instruments_in(launch)}
    problems = fault_problems(settings.simulator.faults)
    for number, pair in enumerate(settings.pairs):
        legs = [instruments.get(leg) for leg in pair.legs]
        if (
            None not in legs and pair.id not in launch["suspended"]
        ):  # others are asked for at the restart that they need
            problems += pair_problems(number, pair, *(leg for leg in legs if leg is not None))
    if problems:
        raise SettingsError(source, problems)
    return settings, resolved


def instruments_file(settings: Settings) -> Path:
    """Where the grids of the last start are kept, beside the journal."""
    return PROJECT / settings.persistence.var_dir / f"instruments-{settings.bot_id}.json"


def open_epochs(settings: Settings) -> Epochs:
    """The numbers of process lives, kept beside the journal. Raises SegmentError where they cannot be."""
    path = PROJECT / settings.persistence.var_dir / f"epoch-{settings.bot_id}"
    try:
        return Epochs(path)
    except OSError as error:
        raise SegmentError(
            f"persistence.var_dir: {path}: {error.strerror}; name a directory you own"
        ) from error
    except ValueError as error:
        raise SegmentError(str(error)) from error


def memory_plan(settings: Settings) -> MemoryPlan:
    """How much shared memory an instance of these settings needs."""
    feeds = tuple(f"feed-{venue}" for venue in settings.venue_names)
    return MemoryPlan(
        venues=settings.venue_names,
        instrument_count=len(settings.legs),
        pair_count=len(settings.pairs),
        ring_cells=settings.runtime.ring_cells,
        signal_queue_bytes=65_536,
        event_queue_bytes=settings.runtime.event_queue_kib * 1024,
        event_sources=(
            *("supervisor", *feeds, "detector", "executor"),
            *(("alerts",) if settings.alerts.has_target else ()),
        ),
    )


def process_counters(settings: Settings) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Every process's counters and histograms."""
    tables: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        f"feed-{venue}": (list(counter_names.FEED_COUNTERS), list(counter_names.FEED_HISTOGRAMS))
        for venue in settings.venue_names
    }
    tables["detector"] = (
        counter_names.detector_counters([pair.id for pair in settings.pairs]),
        list(counter_names.DETECTOR_HISTOGRAMS),
    )
    tables["executor"] = (list(counter_names.EXECUTOR_COUNTERS), list(counter_names.EXECUTOR_HISTOGRAMS))
    tables["persistence"] = (list(counter_names.PERSISTENCE_COUNTERS), [])
    if settings.alerts.has_target:
        tables["alerts"] = (list(counter_names.ALERTS_COUNTERS), [])
    if settings.mode == "sim":
        tables["simulator"] = (list(counter_names.SIMULATOR_COUNTERS), [])
    return {**tables, "supervisor": (counter_names.supervisor_counters(tables), [])}


def _start_all(
    supervisor: Supervisor,
    settings: Settings,
    raw: dict[str, Any],
    run_id: str,
    source: str,
    memory: Memory,
    bells: Mapping[str, int],
    env_file: Path,
    accounts: Sequence[str],
    reporter: Reporter,
    takeover: Takeover,
) -> None:
    """Start everything in order; returns when all run or a stop was asked for."""

    def child(
        package: str, *, venue: str = "", extra: Sequence[str] = (), secrets: Set[str] = frozenset()
    ) -> Child:
        name = f"{package.rstrip('s')}-{venue}" if venue else package
        command = [sys.executable, "-m", package, "--memory", str(memory.directory), *extra]
        if venue:
            command += ["--venue", venue]
        if package != "simulator":
            command += ["--bells", ",".join(f"{bell}={fd}" for bell, fd in bells.items())]
        fds = tuple(bells.values())
        return Child(name, command, frozenset(secrets), memory.counters(name), fds)

    if settings.mode == "sim":
        supervisor.start(child("simulator", extra=_simulator_arguments(settings)))
        if not supervisor.wait_until_running(["simulator"]):
            return
    memory_of_grids = instruments_file(settings)
    instruments, suspended = load_instruments(
        settings,
        source,
        is_any_held=lambda: _is_something_held(settings, takeover),
        remembered=remembered_instruments(memory_of_grids),
    )
    if not suspended:
        remember_instruments(memory_of_grids, instruments)
    write_launch(
        directory=memory.directory,
        raw_settings=raw,
        run_id=run_id,
        instruments=instruments,
        env_file=env_file,
        accounts=accounts,
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
    # Alone, until the database has answered or is known to be away: without any nothing is started.
    persistence = child("persistence", secrets={"DATABASE_URL"})
    supervisor.start(persistence)
    database = persistence.counters.index("database_state")
    if not supervisor.wait_until(
        lambda: persistence.counters.get(database) != counter_names.DATABASE_UNTRIED
    ):
        return
    if settings.alerts.has_target:
        command = [sys.executable, "-m", "tools", "alerts", "--memory", str(memory.directory)]
        secrets = frozenset(settings.alerts.secret_names)
        supervisor.start(Child("alerts", command, secrets, memory.counters("alerts"), is_vital=False))
    # Another host may have traded on these accounts, by a clock that is ahead of ours.
    supervisor.begin_epochs_above(persistence.counters.get(persistence.counters.index("lease_epoch")))
    # Paper has no use for keys, so it cannot lose them.
    keys = set() if settings.mode == "paper" else {name for name, _ in needed_secrets(settings)}
    supervisor.start(child("executor", secrets=keys))
    for venue in settings.venue_names:
        supervisor.start(child("feeds", venue=venue))
    supervisor.start(child("detector"))
    everyone = ["persistence", "executor", "detector", *(f"feed-{venue}" for venue in settings.venue_names)]
    if supervisor.wait_until_running(everyone):
        supervisor.everything_is_started()
        reporter.report(Running(mode=settings.mode, detail="trading begins when both venues are ready"))


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
