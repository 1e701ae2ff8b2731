"""What the dashboard and the alert rules ask for is what the exporter says."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics import InstanceCollector
from settings import PROJECT, load_raw, parse_settings
from shm.counter_names import PROCESS_STATES
from shm.layout import Memory
from shm.records import PairPhase
from supervision.memory_plan import memory_plan, process_counters
from tests.tools.shown import shown_instance

DEPLOY = PROJECT / "deploy"
ADDED_BY_PROMETHEUS = {"instance", "job", "le"}


@pytest.fixture(scope="module")
def exported() -> Mapping[str, set[str]]:
    """Every sample of an instance that shows all it can: name -> labels, and ``name.label`` -> values."""
    found: dict[str, set[str]] = {}
    with shown_instance() as shown:
        shown.quote(0, 100.0, 101.0)
        shown.quote(1, 99.0, 100.0)
        for number in range(len(shown.settings.pairs)):
            shown.view(number)
        for process in process_counters(shown.settings):
            shown.count(process, heartbeat_mono_ns=time.monotonic_ns())
        for venue in shown.settings.venue_names:
            shown.count(f"feed-{venue}", last_data_mono_ns=time.monotonic_ns())
        raw = {**load_raw(PROJECT / "config.yaml"), "alerts": {"webhook_env": "HOOK"}}
        raw["runtime"]["memory_dir"] = str(shown.directory.parent)
        raw["bot_id"] = "told"
        settings = parse_settings(raw, "test")
        directory = shown.directory.parent / "tandem-told"
        Memory.create(directory, memory_plan(settings), process_counters(settings))
        for exporter in (InstanceCollector(settings), InstanceCollector(_beside(shown.settings, settings))):
            registry = CollectorRegistry()
            registry.register(exporter)
            for family in text_string_to_metric_families(generate_latest(registry).decode()):
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)
                    for label, value in sample.labels.items():
                        found.setdefault(f"{sample.name}.{label}", set()).add(value)
    return found


def _beside(shown: Any, settings: Any) -> Any:
    return shown.model_copy(update={"runtime": settings.runtime})


def queries() -> Iterator[tuple[str, str]]:
    """Where, and what is asked."""
    board = json.loads((DEPLOY / "grafana/tandem.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["definition"]
    rules = yaml.safe_load((DEPLOY / "prometheus/tandem.rules.yml").read_text())
    for rule in rules["groups"][0]["rules"]:
        yield f"rule {rule['alert']}", rule["expr"]


def test_every_metric_and_label_that_is_asked_for_exists(exported: Mapping[str, set[str]]) -> None:
    """A renamed metric leaves an empty panel, and a rule that never fires."""
    wrong = []
    for where, query in queries():
        labels = set()
        for name, selector in re.findall(r"\b(tandem_\w+)(?:\{([^}]*)\})?", query):
            if name not in exported:
                wrong.append(f"{where}: {name} is not exported")
                continue
            labels |= exported[name]
            for label, operator, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', selector):
                if label not in exported[name] | ADDED_BY_PROMETHEUS:
                    wrong.append(f"{where}: {name} has no label {label}")
                elif operator in ("=", "!=") or (operator in ("=~", "!~") and "$" not in value):
                    known = exported.get(f"{name}.{label}", set()) | {"tandem"}
                    wrong += [
                        f"{where}: {label} is never {each}" for each in value.split("|") if each not in known
                    ]
        for group in re.findall(r"\b(?:by|on|ignoring|without) \(([^)]*)\)", query):
            asked = {label.strip() for label in group.split(",")}
            wrong += [f"{where}: nothing has {label}" for label in asked - labels - ADDED_BY_PROMETHEUS]
        if query.count("(") != query.count(")") or query.count("{") != query.count("}"):
            wrong.append(f"{where}: brackets do not match")
    assert wrong == []


def test_legends_name_labels_that_are_there(exported: Mapping[str, set[str]]) -> None:
    board = json.loads((DEPLOY / "grafana/tandem.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            names = re.findall(r"\btandem_\w+", target["expr"])
            asked = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert asked <= {label for name in names for label in exported[name]}, panel["title"]


def test_every_family_that_tells_trouble_has_a_rule_or_a_panel(exported: Mapping[str, set[str]]) -> None:
    """What is exported and shown nowhere is forgotten."""
    asked = " ".join(query for _, query in queries())
    shown_elsewhere = {"tandem_uptime_seconds"}
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exported if "." not in name}
    assert {name for name in families if name not in asked} <= shown_elsewhere


def test_panels_have_ids_of_their_own_and_do_not_lie_on_each_other() -> None:
    """Grafana keeps one of two panels with the same id, and moves what overlaps."""
    panels = json.loads((DEPLOY / "grafana/tandem.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_states_and_phases_in_rules_are_spelled_as_exported(exported: Mapping[str, set[str]]) -> None:
    assert exported["tandem_process_state.state"] == set(PROCESS_STATES)
    assert exported["tandem_pair_phase.phase"] == {phase.name.lower() for phase in PairPhase}
