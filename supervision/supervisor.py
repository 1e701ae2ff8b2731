"""The supervisor: starts the processes, replaces the dead and the silent, stops them in order."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from typing import Any

from events.instance import (
    EpochNotKept,
    ProcessesStopped,
    ProcessStateChanged,
    ProcessStderr,
    ShutdownStarted,
    ShutdownStep,
)
from observability.logs import Reporter
from runtime.bootstrap import EXIT_UNUSABLE
from runtime.epochs import Epochs
from settings import (
    PROJECT,
    Settings,
)
from shm import counter_names
from shm.counters import CounterTable
from supervision.checks import all_secret_names
from supervision.control.socket import Channel
from supervision.process_table import STEPS, Child, ProcessState
from supervision.systemd import ServiceManager
from supervision.takeover import FINAL_REPORT_S

_BOOT_TIMEOUT_S = 60.0  # initdb of the embedded database is the slowest boot
_STEADY_S = 10.0  # a process that lived this long did not die young
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # before the n-th restart after quick deaths
_OPTIONAL_BACKOFF_S = 60.0  # before any further restart of a process that trading does not need
_POLL_S = 0.1
_KILL_AFTER_S = 5.0  # patience with a process that has nothing to finish


class Fatal(Exception):
    """The whole must stop: ``exit_code`` and a last line for the operator."""

    def __init__(self, exit_code: int, detail: str) -> None:
        super().__init__(detail)
        self.exit_code = exit_code


class Supervisor:
    """Starts children in order, replaces the dead and the silent, stops them in order."""

    def __init__(
        self,
        settings: Settings,
        reporter: Reporter,
        counters: CounterTable,
        epochs: Epochs,
        service_manager: ServiceManager | None = None,
        unconfirmed: Callable[[], list[str]] = list,
    ) -> None:
        self.unconfirmed: list[str] = []  # at the end: what the venues did not confirm to the executor
        self._read_unconfirmed = unconfirmed
        self._settings = settings
        self._secret_names = all_secret_names() | set(settings.alerts.secret_names)
        self._reporter = reporter
        self._counters = counters
        self._heartbeat = counters.index("heartbeat_mono_ns")
        counters.set(counters.index("started_mono_ns"), time.monotonic_ns())
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._stop_requests = 0
        self._is_stopping = False
        self.is_all_started = False  # from then on a process that does not run is missed
        self._service_manager = service_manager or ServiceManager()
        self.has_executor_ended_in_order = True
        self._epochs = epochs
        self._channel: Channel | None = None

    # --- signals: the handler only counts; the loop acts ---

    def listen_for_signals(self) -> None:
        """Count SIGINT, SIGTERM and SIGHUP as requests to stop, and wake the loop."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        self._selector.register(reader, selectors.EVENT_READ, None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._count_stop)

    def _count_stop(self, _signum: int, _frame: object) -> None:
        self._stop_requests += 1

    def listen_to(self, channel: Channel) -> None:
        """Serve the operator's commands from here on."""
        self._selector.register(channel.fd, selectors.EVENT_READ, channel)
        self._channel = channel

    @property
    def stop_requested(self) -> bool:
        """Whether a signal or a command has asked for a stop."""
        return self._stop_requests > 0

    @property
    def has_executor_finished(self) -> bool:
        """Whether an executor ran and came to its orderly end."""
        return any(child.name == "executor" and child.exit_code == 0 for child in self._children)

    def begin_epochs_above(self, epoch: int) -> None:
        """Give every process from here on a larger number."""
        self._epochs.raise_to(epoch)

    # --- one child ---

    def start(self, child: Child) -> None:
        """Start a child and remember it. Its standard error is ours to log."""
        if child not in self._children:
            self._children.append(child)
        child.incarnations += 1
        child.started_mono_s = time.monotonic()
        child.last_stderr = ""
        self._show(child, "restarts", child.incarnations - 1)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in self._secret_names or name in child.secrets
        }
        had_problem, epoch = self._epochs.problem, self._epochs.next()
        if self._epochs.problem and not had_problem:
            self._reporter.report(EpochNotKept(detail=self._epochs.problem))
        child.process = subprocess.Popen(
            [*child.command, "--epoch", str(epoch)],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=child.bell_fds,
            process_group=0,  # Ctrl-C is the supervisor's to answer, in order
        )
        assert child.process.stderr is not None
        child.stderr = child.process.stderr
        os.set_blocking(child.stderr.fileno(), False)
        self._selector.register(child.stderr, selectors.EVENT_READ, child)
        self._show(child, "pid", child.process.pid)
        self._enter(child, ProcessState.STARTING, child_pid=child.process.pid)

    def _enter(self, child: Child, state: ProcessState, **fields: Any) -> None:
        assert state in STEPS[child.state], f"{child.name}: {child.state} -> {state}"
        previous, child.state = child.state, state
        self._show(child, "state", counter_names.PROCESS_STATES.index(state.value))
        changed = ProcessStateChanged(process=child.name, state=state.value, was=previous.value, **fields)
        self._reporter.report(changed)

    def _show(self, child: Child, what: str, value: int) -> None:
        """Publish a child's state in the supervisor's counters, for tools."""
        self._counters.set(self._counters.index(f"{what}.{child.name}"), value)

    def _reap(self, child: Child) -> None:
        """Deal with a child that has ended."""
        assert child.process is not None
        code = child.exit_code = child.process.returncode
        self._drain_stderr(child)
        assert child.stderr is not None
        self._selector.unregister(child.stderr)
        child.stderr.close()
        child.process = None
        if child.state is ProcessState.STOPPING:
            self._enter(child, ProcessState.EXITED, exit_code=code)
            return
        lived_s = time.monotonic() - child.started_mono_s
        child.quick_deaths = child.quick_deaths + 1 if lived_s < _STEADY_S else 1
        is_given_up = code == EXIT_UNUSABLE or child.quick_deaths > len(_BACKOFF_S)
        if is_given_up and child.is_vital:
            self._enter(child, ProcessState.FATAL, exit_code=code, detail=child.last_stderr)
            if self._is_stopping:
                return  # reported; the others are to end in their order all the same
            why = child.last_stderr or f"ended with exit code {code}"
            exit_code = EXIT_UNUSABLE if code == EXIT_UNUSABLE else 1
            raise Fatal(exit_code, f"{child.name}: {why}")
        delay_s = _OPTIONAL_BACKOFF_S if is_given_up else _BACKOFF_S[child.quick_deaths - 1]
        child.retry_mono_s = time.monotonic() + delay_s
        self._counters.add(self._counters.index("restarts_total"))
        self._enter(
            child,
            ProcessState.BACKOFF,
            exit_code=code,
            lived_s=round(lived_s, 3),
            retry_in_s=delay_s,
            detail=child.last_stderr,
        )

    def _drain_stderr(self, child: Child) -> None:
        assert child.stderr is not None
        data = child.stderr.read()
        whole, _, child.partial = (child.partial + (data or b"")).rpartition(b"\n")
        lines = [line for line in whole.decode(errors="replace").splitlines() if line.strip()]
        if lines:  # a traceback is one event, on one line
            child.last_stderr = lines[-1]
            self._reporter.report(ProcessStderr(process=child.name, detail=" | ".join(lines)[-3000:]))

    # --- all children ---

    def poll(self, timeout_s: float = _POLL_S) -> None:
        """Wait a moment, then reap, replace and restart what needs it. Raises Fatal."""
        if self._channel is not None:
            timeout_s = self._channel.patience_s(timeout_s)
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                os.read(key.fd, 4096)
            elif isinstance(key.data, Child):
                self._drain_stderr(key.data)
        if self._channel is not None:
            self._channel.do_work()
        self._counters.set(self._heartbeat, time.monotonic_ns())
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._reap(child)
            elif child.state is ProcessState.STARTING and child.has_beaten():
                self._enter(child, ProcessState.RUNNING, boot_ms=round((now - child.started_mono_s) * 1e3))
            elif child.state is ProcessState.BACKOFF and now >= child.retry_mono_s:
                self.start(child)
            elif child.state in (ProcessState.STARTING, ProcessState.RUNNING):
                self._replace_if_silent(child)
        status, is_ready = self._status()
        self._service_manager.notify(self._reporter, status, is_ready=is_ready)

    def _status(self) -> tuple[str, bool]:
        """One line for ``systemctl status``, and whether the instance can trade."""
        absent = [child for child in self._children if child.state is not ProcessState.RUNNING]
        named = ", ".join(f"{child.name} ({child.state.value})" for child in absent)
        if self._is_stopping:
            left = [child.name for child in self._children if child.process is not None]
            return f"stopping: {', '.join(left) or 'the final report'}", False
        if not self.is_all_started:
            return f"starting: {named or 'the next process'}", False
        if absent:
            return f"not trading: {named}", False
        executor = next(child for child in self._children if child.name == "executor")
        if not executor.counters.get(executor.counters.index("ready")):
            return "not trading: the executor waits for a venue, `tools status` says which", False
        pairs = ", ".join(pair.id for pair in self._settings.pairs)
        return f"mode {self._settings.mode}: ready to trade {pairs}", True

    def _replace_if_silent(self, child: Child) -> None:
        starting = child.state is ProcessState.STARTING
        limit_s = _BOOT_TIMEOUT_S if starting else self._settings.runtime.heartbeat_timeout_ms / 1e3
        silent_s = child.heartbeat_age_s()
        if silent_s > limit_s and child.process is not None:
            detail = f"no heartbeat for {silent_s:.1f} s (limit {limit_s:g} s): killed to be replaced"
            child.last_stderr = detail
            self._reporter.report(ProcessStderr(process=child.name, detail=detail))
            child.process.kill()

    def wait_until_running(self, wanted: Sequence[str]) -> bool:
        """Poll until these run. False when a stop was asked for meanwhile."""
        children = [child for child in self._children if child.name in wanted]
        return self.wait_until(lambda: all(child.state is ProcessState.RUNNING for child in children))

    def wait_until(self, is_so: Callable[[], bool]) -> bool:
        """Poll until the condition holds. False when a stop was asked for meanwhile."""
        while not is_so():
            self.poll()
            if self.stop_requested:
                return False
        return True

    def watch(self) -> None:
        """Until a stop is asked for."""
        while not self.stop_requested:
            self.poll()

    def stop(self, exit_code: int) -> int:
        """Stop in the order in which nothing is lost. Returns the exit code when no child is left."""
        self._is_stopping = True
        self._counters.set(self._counters.index("stopping"), 1)
        self._service_manager.stopping(self._reporter, 0.0)
        patience_s = self._settings.runtime.shutdown_timeout_s
        on_shutdown = self._settings.runtime.on_shutdown
        detail = (
            "no new entries; finishing trades and cancelling orders, then feeds, then queues. "
            "A second signal shortens the wait, a third ends every process at once"
        )
        self._reporter.report(ShutdownStarted(patience_s=patience_s, on_shutdown=on_shutdown, detail=detail))
        # The executor first, while prices and venues are still there to finish with.
        self.has_executor_ended_in_order = self._end_executor(patience_s + FINAL_REPORT_S)
        self.unconfirmed = self._read_unconfirmed()
        if self.unconfirmed or not self.has_executor_ended_in_order:
            exit_code = exit_code or 1
        self._end({child.name for child in self._children if child.name.startswith("feed-")}, _KILL_AFTER_S)
        self._end({"detector"}, _KILL_AFTER_S)
        self._end({"simulator"}, _KILL_AFTER_S)
        self._reporter.report(ProcessesStopped(exit_code=exit_code))
        # Last of all, when nobody emits any more: the queues are drained to disk.
        self._end({"persistence"}, patience_s)
        self._end({"alerts"}, _KILL_AFTER_S)  # it alerts about how the others have ended
        return exit_code

    def _end_executor(self, patience_s: float) -> bool:
        """Let the executor finish what is under way; False when it could not, or did not say so."""
        executor = next((child for child in self._children if child.name == "executor"), None)
        if executor is None:
            return True
        if executor.state is ProcessState.BACKOFF:
            # It may have died in the middle of something: only a new incarnation can find out and repair it.
            self.start(executor)
        deadline_s = time.monotonic() + patience_s
        coming_up = (ProcessState.STARTING, ProcessState.BACKOFF)
        while executor.incarnations > 1 and executor.state in coming_up and time.monotonic() < deadline_s:
            self.poll(0.02)  # a SIGTERM before it listens for signals would just kill it
            if self._stop_requests > 1:
                break
        self._end({"executor"}, patience_s)
        had_not_begun = executor.incarnations == 1 and executor.exit_code == -signal.SIGTERM
        if executor.exit_code in (0, EXIT_UNUSABLE) or had_not_begun:
            return True
        detail = (
            "it did not end in order: look at both venues for open positions and orders; its memory "
            "stays for the next start"
        )
        self._reporter.report(ShutdownStep(process="executor", exit_code=executor.exit_code, detail=detail))
        return False

    def _end(self, group: Set[str], patience_s: float) -> None:
        children = [child for child in self._children if child.name in group]
        for child in children:
            if child.state in (ProcessState.STARTING, ProcessState.RUNNING, ProcessState.BACKOFF):
                self._enter(child, ProcessState.STOPPING)
                if child.process is None:
                    self._enter(child, ProcessState.EXITED)
                else:
                    child.process.terminate()
        seen_requests = self._stop_requests
        deadline_s = time.monotonic() + patience_s
        while any(child.process is not None for child in children):
            self.poll(0.02)
            if self._stop_requests > seen_requests:
                seen_requests = self._stop_requests
                for child in children:
                    if child.process is not None:
                        child.process.terminate()
            if self._stop_requests >= 3 or time.monotonic() > deadline_s:
                self._kill(children)
                deadline_s = time.monotonic() + _KILL_AFTER_S

    def _kill(self, children: Sequence[Child]) -> None:
        for child in children:
            if child.process is not None and child.process.poll() is None:
                left = "positions and orders as they are on the venues" if child.name == "executor" else ""
                detail = "did not finish in time and was killed" + (f"; it leaves {left}" if left else "")
                self._reporter.report(ShutdownStep(process=child.name, detail=detail))
                child.process.kill()

    def kill_all(self) -> None:
        """After a failure of our own: leave no process behind, and no leg that the executor can mend."""
        patience_s = self._settings.runtime.shutdown_timeout_s + FINAL_REPORT_S
        self._service_manager.stopping(self._reporter, patience_s)
        for child in self._children:
            if child.process is not None and child.name == "executor":
                child.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(patience_s)
        for child in self._children:
            if child.process is not None:
                child.process.kill()
                child.process.wait()
