"""Runs an instance from its configuration to its exit code: checks, locks, takeover, start, stop."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from configuration.env_file import exposure_of
from events.instance import (
    ConfigError,
    EpochNotKept,
    SecretsExposed,
    ShutdownDone,
    Starting,
)
from executor.accounts import account_names, register_keys
from observability.logs import Reporter
from persistence.journal import journal_directory
from persistence.server import stop_server
from runtime.bootstrap import (
    EXIT_UNUSABLE,
    instruments_in,
    read_launch,
)
from runtime.epochs import Epochs
from runtime.tuning import cores_kept_awake
from runtime.unconfirmed import read_unconfirmed
from settings import (
    PROJECT,
    VERSION,
    Settings,
    SettingsError,
    load_raw,
)
from shm.layout import DOORBELLS, Memory
from shm.segment import SegmentError
from supervision.checks import check_mode, config_error, fault_problems, print_resolved
from supervision.control.commands import Commands
from supervision.control.socket import Channel
from supervision.instance_lock import account_locks
from supervision.memory_plan import memory_plan, process_counters
from supervision.preflight import pair_problems, resolve
from supervision.start_order import Instance, start_all
from supervision.supervisor import Fatal, Supervisor
from supervision.systemd import ServiceManager
from supervision.takeover import Takeover, instance_directory
from supervision.unattended import EXIT_NOT_YET, exit_code_of_refusal, may_be_held


def run(arguments: argparse.Namespace) -> int:
    """Check the configuration and run the instance; return the exit code. Every refusal is logged."""
    reporter = Reporter("supervisor", run_id="-")
    try:
        register_keys(arguments.env_file)
        settings, resolved = resolve(load_raw(arguments.config), str(arguments.config))
        check_mode(settings, arguments)
        if arguments.check:
            print_resolved(settings, arguments.env_file)
            return 0
        return _run_instance(settings, resolved, arguments)
    except SettingsError as error:
        refusals = [config_error(problem) for problem in error.problems]
    except SegmentError as error:
        refusals = [ConfigError(detail=str(error))]
    exit_code = EXIT_UNUSABLE if arguments.check else exit_code_of_refusal(arguments.config)
    for refusal in refusals:  # last of all: who reads them finds the process ended
        reporter.report(refusal)
    return exit_code


def _run_instance(settings: Settings, raw: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Hold the locks, take over what a killed run left, run until stopped, stop in order."""
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
        unconfirmed = partial(read_unconfirmed, memory.directory)
        supervisor = Supervisor(settings, reporter, counters, epochs, service_manager, unconfirmed)
        supervisor.listen_for_signals()
        reread = partial(read_again, arguments, memory.directory)
        commands = stack.enter_context(closing(Commands(settings, memory, counters, reporter, reread)))
        channel = Channel(memory.directory, commands.handle, commands.report_refused)
        stack.enter_context(closing(channel))
        supervisor.listen_to(channel)
        stack.enter_context(cores_kept_awake(settings.runtime.keep_cores_awake, reporter))
        bells = {name: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for name in DOORBELLS}
        for fd in bells.values():
            stack.callback(os.close, fd)
        stack.callback(supervisor.kill_all)
        instance = Instance(
            settings=settings,
            raw=raw,
            source=source,
            run_id=run_id,
            memory=memory,
            bells=bells,
            env_file=arguments.env_file,
            accounts=accounts,
            reporter=reporter,
        )
        exit_code, detail = _run_processes(instance, supervisor, takeover)
        if supervisor.stop(exit_code) and not exit_code:
            exit_code, detail = 1, "the executor did not end in order: look at both venues"
            if supervisor.has_executor_ended_in_order:
                detail = f"not confirmed: {', '.join(supervisor.unconfirmed)}; look there"
        # The pair machines know more than was journalled: a signal's orders may have left unrecorded. So do
        # the machines taken over from a run before, until an executor has finished with them and ended.
        is_unfinished = bool(takeover.machines) and not supervisor.has_executor_finished
        takeover.is_left_in_turn = is_unfinished or not supervisor.has_executor_ended_in_order
        supervisor.kill_all()
        takeover.is_left_in_turn |= settings.mode != "sim" and memory.events_reader("executor").has_more()
        if exit_code == EXIT_UNUSABLE and _is_something_held(settings, takeover):
            exit_code, detail = EXIT_NOT_YET, f"{detail} (exit code 3: something may be held)"
        stop_server(PROJECT / settings.persistence.var_dir)
        reporter.report(
            ShutdownDone(exit_code=exit_code, unconfirmed=tuple(supervisor.unconfirmed), detail=detail)
        )
    return exit_code


def _run_processes(instance: Instance, supervisor: Supervisor, takeover: Takeover) -> tuple[int, str]:
    """Start the processes and watch them until a stop; return the exit code and the last line for it."""
    try:
        start_all(instance, supervisor, may_be_held=lambda: _is_something_held(instance.settings, takeover))
        supervisor.watch()
    except Fatal as error:
        return error.exit_code, str(error)
    except SettingsError as error:
        for problem in error.problems:
            instance.reporter.report(config_error(problem))
        may_pass = all(problem.may_pass for problem in error.problems)
        exit_code = EXIT_NOT_YET if may_pass else EXIT_UNUSABLE
        return exit_code, f"{instance.source}: {len(error.problems)} problem(s), see above"
    return 0, "nothing is left running"


def _is_something_held(settings: Settings, takeover: Takeover) -> bool:
    """Whether a position may be open, so that a refused start must be tried again."""
    is_known = may_be_held(journal_directory(settings)) or takeover.may_hold or takeover.is_left_in_turn
    return settings.mode != "sim" and is_known


def read_again(arguments: argparse.Namespace, directory: Path) -> tuple[Settings, dict[str, Any]]:
    """Read the configuration file again. Raises SettingsError naming all that is wrong with it."""
    source = str(arguments.config)
    settings, resolved = resolve(load_raw(arguments.config), source)
    launch = read_launch(directory)
    instruments = {(item.venue, item.symbol): item for item in instruments_in(launch)}
    problems = fault_problems(settings.simulator.faults)
    for number, pair in enumerate(settings.pairs):
        legs = [instruments.get(leg) for leg in pair.legs]
        # Legs that were not loaded, and suspended pairs, need a restart, which checks them.
        if None not in legs and pair.id not in launch["suspended"]:
            problems += pair_problems(number, pair, *(leg for leg in legs if leg is not None))
    if problems:
        raise SettingsError(source, problems)
    return settings, resolved


def open_epochs(settings: Settings) -> Epochs:
    """The epochs of this bot_id, kept beside the journal. Raises SegmentError where they cannot be kept."""
    path = PROJECT / settings.persistence.var_dir / f"epoch-{settings.bot_id}"
    try:
        return Epochs(path)
    except OSError as error:
        raise SegmentError(
            f"persistence.var_dir: {path}: {error.strerror}; name a directory you own"
        ) from error
    except ValueError as error:
        raise SegmentError(str(error)) from error
