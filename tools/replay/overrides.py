"""``key=value`` on the command line as a change of the settings a recording was made with."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from configuration.yaml_text import YamlError, read_yaml
from settings import Problem, SettingsError, StrategySettings

_STRATEGY = frozenset(StrategySettings.model_fields)
_OF_PAIR = _STRATEGY | {"size_base"}


class Sweep(NamedTuple):
    """One key and the values it is to take."""

    key: str
    values: tuple[float, ...]


def parse_set(text: str) -> tuple[str, object]:
    """``key=value``; values as in config.yaml. Raises SettingsError."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise _problem("--set", text, "must be key=value, such as entry_bps=2.5 or eth.exit_bps=0")
    try:
        return key, read_yaml(value)
    except YamlError as error:
        raise _problem("--set", text, f"the value {error.detail}") from None


def parse_sweep(text: str) -> Sweep:
    """``key=first:last:step``, both ends included. Raises SettingsError."""
    key, _, span = text.partition("=")
    try:
        first, last, step = (Decimal(part) for part in span.split(":"))
        count = int((last - first) / step) + 1
    except (ValueError, ArithmeticError):
        raise _problem("--sweep", text, "must be key=first:last:step, such as entry_bps=2:6:0.5") from None
    if not key or not 1 <= count <= 1_000:
        raise _problem("--sweep", text, f"gives {count} values; 1 to 1,000 are possible")
    return Sweep(key, tuple(float(first + step * number) for number in range(count)))


def changed(raw: Mapping[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """The settings with changes: ``entry_bps`` of every pair, ``eth.entry_bps`` of one, or a path.

    A path is written with dots, as in ``execution.price_band_bps``. A value that is text in the file
    stays text. Whether key and value are possible is for ``parse_settings`` to say.
    """
    made: dict[str, Any] = copy.deepcopy(dict(raw))
    pairs = {pair["id"]: pair for pair in made["pairs"]}
    for key, value in changes.items():
        first, _, rest = key.partition(".")
        if key in _OF_PAIR:
            for pair in pairs.values():
                _set_in_pair(pair, key, value)
        elif first in pairs and rest in _OF_PAIR:
            _set_in_pair(pairs[first], rest, value)
        elif first == "strategy" and rest in _STRATEGY:
            for pair in pairs.values():
                _set_in_pair(pair, rest, value)
        elif first == "pairs":
            raise _problem(key, "", "a recording has the pairs it has; write <pair id>.<key> for one of them")
        else:
            _set_at(made, key, value)
    return made


def _set_in_pair(pair: dict[str, Any], key: str, value: object) -> None:
    if key == "size_base":
        pair[key] = _as_text(value)
    else:
        pair["strategy"] = {**(pair.get("strategy") or {}), key: value}


def _set_at(made: dict[str, Any], path: str, value: object) -> None:
    *sections, last = path.split(".")
    section = made
    for name in sections:
        inner = section.get(name)
        inner = dict(inner) if isinstance(inner, Mapping) else {}
        section[name] = inner
        section = inner
    section[last] = _as_text(value) if isinstance(section.get(last), str) else value


def _as_text(value: object) -> object:
    """Quantities are quoted in the file, but need not be quoted once more for the shell."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return format(Decimal(str(value)), "f") if is_number else value


def _problem(key: str, value: str, allowed: str) -> SettingsError:
    return SettingsError("replay", [Problem(key, repr(value) if value else "", allowed)])
