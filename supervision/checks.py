"""Checks mode, keys, faults and alerts before anything is started, and prints the settings."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from configuration.env_file import exposure_of
from events.instance import ConfigError
from executor.gateways.read_load import read_loads
from executor.pair.config import compare_naked_bound, naked_bound_ms
from persistence.address import Address, AddressError
from persistence.journal import journal_directory
from settings import (
    KNOWN_VENUES,
    Problem,
    Reload,
    Settings,
    SettingsError,
    read_secrets,
)
from simulator.fault_scripts import ScriptError
from simulator.fault_scripts import parse as parse_fault
from supervision.control.config_keys import keys_of
from supervision.ownership import ownership_problems
from supervision.preflight import quote_problems
from supervision.unattended import may_be_held
from venues.registry import venue


def check_mode(settings: Settings, arguments: argparse.Namespace) -> None:
    """Live needs both switches and its keys, the other modes neither. Raises SettingsError."""
    problems: list[Problem] = []
    if settings.mode == "live":
        if not arguments.live:
            problems.append(
                Problem(
                    "mode", "'live'", "needs --live on the command line too: two switches for real orders"
                )
            )
        if exposure := exposure_of(arguments.env_file):
            problems.append(Problem("--env-file", "", f"{arguments.env_file} {exposure}"))
        present = present_secrets(settings, arguments.env_file)
        problems += [
            Problem(
                name,
                "",
                f"is missing and mode live needs it: set it in {arguments.env_file} or the environment",
            )
            for name, is_required in needed_secrets(settings)
            if is_required and name not in present
        ]
    elif arguments.live:
        problems.append(Problem("mode", repr(settings.mode), "with --live it must be live"))
    for number, pair in enumerate(settings.pairs):
        first, second = (venue(leg.venue).quote for leg in pair.legs)
        problems += quote_problems(settings, number, (first, second))
    problems += ownership_problems(settings)
    problems += fault_problems(settings.simulator.faults)
    problems += alert_problems(settings, arguments.env_file)
    problems += database_problems(settings, arguments.env_file)
    if problems:
        raise SettingsError(str(arguments.config), problems)


def fault_problems(faults: Sequence[str]) -> list[Problem]:
    """What is wrong with ``simulator.faults``, entry by entry."""
    problems: list[Problem] = []
    for text in faults:
        try:
            parse_fault(text)
        except ScriptError as error:
            problems.append(Problem("simulator.faults", repr(text), str(error)))
    return problems


def alert_problems(settings: Settings, env_file: Path) -> list[Problem]:
    """Secrets that ``alerts`` names and that are missing, or that have another use."""
    wanted = settings.alerts.secret_names
    present = read_secrets(wanted, env_file)
    taken = all_secret_names()
    return [
        Problem("alerts", name, "is a key of trading or of the database; alerts need a name of their own")
        if name in taken
        else Problem(name, "", f"is named in alerts and missing: set it in {env_file} or the environment")
        for name in wanted
        if name in taken or name not in present
    ]


def database_problems(settings: Settings, env_file: Path) -> list[Problem]:
    """Why DATABASE_URL cannot be used. Empty while something is held: then the start goes on without it."""
    url = read_secrets(("DATABASE_URL",), env_file).get("DATABASE_URL", "")
    try:
        address = Address.parse(url)
        problem = address.exposure() if settings.mode == "live" else ""
    except AddressError as error:
        problem = str(error)
    if not problem or (settings.mode != "sim" and may_be_held(journal_directory(settings))):
        return []
    return [Problem("DATABASE_URL", "", problem.removeprefix("DATABASE_URL "))]


def needed_secrets(settings: Settings) -> list[tuple[str, bool]]:
    """Environment names the venues of these settings read, and whether each must be there."""
    return [
        (secret.name, secret.is_required) for name in settings.venue_names for secret in venue(name).secrets
    ]


def present_secrets(settings: Settings, env_file: Path) -> frozenset[str]:
    """Which of the secrets are set. Their values are dropped at once."""
    wanted = (*(name for name, _ in needed_secrets(settings)), "DATABASE_URL", *settings.alerts.secret_names)
    return frozenset(read_secrets(wanted, env_file))


def all_secret_names() -> frozenset[str]:
    """Every environment variable that holds a secret of any venue, used or not."""
    return frozenset(
        {"DATABASE_URL"} | {secret.name for name in KNOWN_VENUES for secret in venue(name).secrets}
    )


def print_resolved(settings: Settings, env_file: Path) -> None:
    """The settings as they would be used, defaults included; of secrets only whether they are set."""
    present = present_secrets(settings, env_file)
    names_wanted = [name for name, _ in needed_secrets(settings)] + ["DATABASE_URL"]
    names_wanted += settings.alerts.secret_names
    shown = settings.model_dump(mode="json", by_alias=False)
    shown["secrets"] = {name: "********" if name in present else "not set" for name in names_wanted}
    shown["naked_bound_ms"] = naked_bound_ms(settings)
    looks = [compare_naked_bound(settings), *((load.found, load.remedy) for load in read_loads(settings))]
    shown["warnings"] = [f"{found}: {remedy}" for found, remedy in looks if remedy]
    shown["reload"] = {**changeable(settings), Reload.RESTART.value: "everything else"}
    sys.stdout.write(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True))


def changeable(settings: Settings) -> dict[str, list[str]]:
    """The keys that may change while it runs, by when they do; a pair's once for all pairs."""
    return {
        reload.value: list(
            dict.fromkeys(
                re.sub(r"^pairs\[.*?\]", "pairs[]", key.name)
                for key in keys_of(settings).values()
                if key.reload is reload
            )
        )
        for reload in (Reload.HOT, Reload.WHEN_FLAT)
    }


def config_error(problem: Problem) -> ConfigError:
    """One thing wrong with the configuration, as it is reported."""
    return ConfigError(key=problem.key, value=problem.value, detail=problem.allowed)
