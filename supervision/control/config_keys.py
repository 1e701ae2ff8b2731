"""The configuration key by key: what each is set to, when a change of it takes effect, what differs.

Keys are named as in the file, pairs by their id: ``pairs[btc].strategy.entry_bps``. The shared
``strategy`` section is part of every pair, as it is in force.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from settings import PairSettings, Reload, Section, Settings, with_strategy_defaults
from venues.contract import format_e8

Path = tuple[str, ...]  # ("pairs", "btc", "strategy", "entry_bps"): names as in the file


class Key(NamedTuple):
    """One key as it is set; ``value`` as the file has it."""

    path: Path
    value: Any
    reload: Reload

    @property
    def name(self) -> str:
        """The key as ``config.yaml`` and error texts write it: ``pairs[btc].strategy.entry_bps``."""
        if self.path[0] == "pairs" and len(self.path) > 1:
            return f"pairs[{self.path[1]}]." + ".".join(self.path[2:])
        return ".".join(self.path)

    @property
    def pair(self) -> str:
        """The id of the pair it belongs to; empty for what all share."""
        return self.path[1] if self.path[0] == "pairs" and len(self.path) > 1 else ""


class Change(NamedTuple):
    """A key that two configurations set differently."""

    key: Key  # as it would be
    old: Any

    def plain(self) -> dict[str, Any]:
        """The change as a JSON object, as the control socket and ``config_reloaded`` carry it."""
        return {"key": self.key.name, "old": self.old, "new": self.key.value, "reload": self.key.reload.value}


def keys_of(settings: Settings) -> dict[Path, Key]:
    """Every key by its path, defaults included, in the file's order."""
    return {key.path: key for key in _walk(settings, ())}


def changes_between(before: Settings, after: Settings) -> list[Change]:
    """What ``after`` sets otherwise. Other pairs, or legs, or their order are one change: of ``pairs``; other
    quote rates are one of ``quote``."""
    old, new = keys_of(before), keys_of(after)
    found = [Change(key, old[path].value) for path, key in new.items() if path in old and key != old[path]]
    if _shape(before.pairs) != _shape(after.pairs):
        key = Key(("pairs",), _shape(after.pairs), Reload.RESTART)
        found.append(Change(key, _shape(before.pairs)))
    if _rates(before) != _rates(after):  # a rate that only one of them has has no key in the other
        found = [change for change in found if change.key.path[0] != "quote"]
        found.append(Change(Key(("quote",), _rates(after), Reload.RESTART), _rates(before)))
    # A venue that only one of them speaks of is set to the defaults by the other.
    for venue in sorted(before.venues.keys() ^ after.venues.keys()):
        was, will_be = (
            {key.path: key for key in _walk(settings.venue(venue), ("venues", venue))}
            for settings in (before, after)
        )
        found += [Change(key, was[path].value) for path, key in will_be.items() if key != was[path]]
    return found


def composed(raw: Mapping[str, Any], wanted: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """The configuration ``raw`` with these keys as ``wanted`` has them. Both as parsed from a file."""
    made, other = _tree(raw), _tree(wanted)
    for *sections, name in paths:
        target, source = made, other
        for section in sections:
            target = target.setdefault(section, {})
            source = source.get(section, {})
        if name in source:
            target[name] = source[name]
        else:
            target.pop(name, None)
    made["pairs"] = list(made["pairs"].values())
    return made


def _tree(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The file with the shared strategy in every pair, and pairs by their id."""
    tree: dict[str, Any] = copy.deepcopy(with_strategy_defaults(dict(raw)))
    tree["pairs"] = {pair["id"]: pair for pair in tree["pairs"]}
    return tree


def _shape(pairs: Sequence[PairSettings]) -> list[str]:
    return [f"{pair.id}: " + " - ".join(f"{leg.venue}:{leg.symbol}" for leg in pair.legs) for pair in pairs]


def _rates(settings: Settings) -> dict[str, Any]:
    """The quote rates as the file has them."""
    return {
        name: rate if rate == "par" else rate.model_dump(mode="json") for name, rate in settings.quote.items()
    }


def _walk(section: Section, path: Path) -> Iterator[Key]:
    for attribute, field in type(section).model_fields.items():
        value, here = getattr(section, attribute), (*path, field.alias or attribute)
        if isinstance(value, Section):
            yield from _walk(value, here)
        elif isinstance(value, Mapping) and value and all(isinstance(v, Section) for v in value.values()):
            for name, inner in value.items():
                yield from _walk(inner, (*here, str(name)))
        elif isinstance(value, tuple) and value and all(isinstance(v, PairSettings) for v in value):
            for pair in value:
                yield from _walk(pair, (*here, pair.id))
        else:
            yield Key(here, _shown(attribute, value), _reload(field))


def _reload(field: FieldInfo) -> Reload:
    return next((item for item in field.metadata if isinstance(item, Reload)), Reload.RESTART)


def _shown(attribute: str, value: Any) -> Any:
    """The value as the file has it, as JSON takes it."""
    if isinstance(value, int) and attribute.endswith("_e8"):
        whole, _, decimals = format_e8(value, 8).partition(".")
        return f"{whole}.{decimals.rstrip('0')}".rstrip(".")
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(name): _shown("", item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_shown("", item) for item in value]
    return value
