"""``python -m tools doctor``: whether this machine, these settings and these venues will do.

It changes nothing: no order, no cancel, no file, no setting. Offline it looks at the machine and at what
an instance keeps; then, unless ``--offline``, at the venues, and in modes sim and live logs in to read the
account (where a venue wants one, that registers a session key, as every start does); not while an
instance runs, whose word is taken instead. In mode sim, where
no simulator answers, one is started for these questions and stopped again.
Exit codes: 0 no problem (there may be warnings), 1 at least one, 2 the file of secrets cannot be read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from configuration.arguments import path_argument
from monitoring.snapshot import Finder
from settings import PROJECT, Settings, SettingsError, load_raw
from simulator.fault_scripts import ScriptError
from simulator.fault_scripts import parse as parse_fault
from supervision.preflight import resolve
from tools.doctor.edge import look_at_edge
from tools.doctor.finding import Finding, Grade, from_settings_error, ok, problem, warning
from tools.doctor.host import look_at_host
from tools.doctor.keeping import is_instance_running, look_at_keeping
from tools.doctor.naked import look_at_naked_bound
from tools.doctor.online import look_at_venues
from tools.doctor.reads import look_at_read_loads
from tools.doctor.software import look_at_software

_CALLS: Final = 10
_WIDTH: Final = 110
_END_S: Final = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--env-file", type=path_argument, default=PROJECT / ".env", help="secrets; default: .env"
    )
    parser.add_argument("--offline", action="store_true", help="ask no venue")
    parser.add_argument("--calls", type=_calls, default=_CALLS, help="timed per venue (default 10)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def run(arguments: argparse.Namespace) -> int:
    findings = look_at_software()
    source = str(arguments.config)
    try:
        raw = load_raw(arguments.config)
        settings, raw = resolve(raw, source)
    except SettingsError as error:
        findings += from_settings_error("configuration", error)
    else:
        findings += [*_configuration(settings, source), *look_at_host(settings)]
        try:
            findings += look_at_keeping(settings, arguments.env_file)
            if not arguments.offline:
                findings += _online(settings, raw, arguments)
        except SettingsError as error:  # the file of secrets cannot be read: what needs it is not looked at
            findings += from_settings_error("credentials", error)
            _print(findings, as_json=arguments.json)
            return 2
    _print(findings, as_json=arguments.json)
    return int(any(finding.grade is Grade.PROBLEM for finding in findings))


def _configuration(settings: Settings, source: str) -> list[Finding]:
    findings = []
    for text in settings.simulator.faults:
        try:
            parse_fault(text)
        except ScriptError as error:
            findings.append(problem("configuration", f"simulator.faults: {error}", "correct it there"))
    pairs = ", ".join(pair.id for pair in settings.pairs)
    findings.append(ok("configuration", f"{source}: mode {settings.mode}, pairs {pairs}"))
    return [*findings, look_at_naked_bound(settings), *look_at_read_loads(settings)]


def _online(settings: Settings, raw: dict[str, Any], arguments: argparse.Namespace) -> list[Finding]:
    if settings.mode != "sim":
        return _ask(settings, arguments)
    if all(_listens(settings.simulator.ports[venue]) for venue in settings.venue_names):
        ports = ", ".join(str(settings.simulator.ports[venue]) for venue in settings.venue_names)
        return [ok("simulator", f"answers on ports {ports}"), *_ask(settings, arguments)]
    try:
        with _simulator(settings) as own_ports:
            simulated = {**(raw.get("simulator") or {}), "ports": own_ports}
            own, _ = resolve({**raw, "simulator": simulated}, "the doctor's own simulator")
            finding = ok("simulator", "none runs: one was started for these checks and is stopped again")
            return [finding, *_ask(own, arguments)]
    except OSError as error:
        return [problem("simulator", f"does not start: {error}", "python -m simulator says why")]


def _ask(settings: Settings, arguments: argparse.Namespace) -> list[Finding]:
    runs = is_instance_running(settings)
    findings, instruments = asyncio.run(
        look_at_venues(settings, arguments.env_file, arguments.calls, may_log_in=not runs)
    )
    if runs and settings.mode != "paper":
        findings.append(_session(settings))
    return findings + look_at_edge(settings, instruments)


def _session(settings: Settings) -> Finding:
    """What the running instance says of its own logins, where another one might disturb them."""
    watcher = Finder(settings).find()
    if watcher is not None and watcher.read().executor["ready"]:
        return ok("accounts", "the running instance is logged in and has confirmed its positions")
    return warning("accounts", "the running instance is not ready", "python -m tools status says more")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def _simulator(settings: Settings) -> Iterator[dict[str, int]]:
    """The ports of a simulator of our own. Raises OSError where it does not come up."""
    zero = [part for venue in settings.venue_names for part in (f"--{venue}-port", "0")]
    fee = ["--taker-fee-bps", str(settings.simulator.taker_fee_bps)]
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", *zero, *fee],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise OSError(process.stderr.read().decode(errors="replace").strip()[-300:])
        yield json.loads(line)["ports"]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _print(findings: Sequence[Finding], *, as_json: bool) -> None:
    counts = {grade: sum(item.grade is grade for item in findings) for grade in Grade}
    if as_json:
        print(json.dumps({**counts, "findings": [finding._asdict() for finding in findings]}))
        return
    indent = " " * 26
    for finding in findings:
        print(_filled(finding.found, _head(finding), indent))
        if finding.remedy:
            first, later = f"{indent}-> ", f"{indent}   "
            print(_filled(finding.remedy, first, later))
    print(f"{counts[Grade.PROBLEM]} problems, {counts[Grade.WARNING]} warnings, {counts[Grade.OK]} ok")


def _head(finding: Finding) -> str:
    return f"{finding.grade:8} {finding.check:16} "


def _calls(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError("must be 1 to 1000")
    return int(text)


def _filled(text: str, first: str, later: str) -> str:
    """Wrapped between words only: a path that is broken cannot be copied."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
        break_long_words=False,
    )
