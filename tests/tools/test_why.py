"""Every evaluation is accounted for, and the setting that is named would indeed have traded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import yaml

from events.decisions import Refusals
from monitoring.funnel import Funnel, of_counters, of_events, rows_of
from persistence.journal import Journal, journal_directory
from settings import load_raw, parse_settings
from shm.entry_block import GATES
from tests.reported import blanks
from tests.tools.recorded import a_session, lines_of
from tools.__main__ import main
from tools.record.reader import Recording
from tools.replay.overrides import changed
from tools.replay.simulate import simulate


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A market whose gap swings to 18 bps, recorded by an instance that asked for more."""
    with a_session(strategy={"entry_bps": 25.0}) as session:
        session.swing(20)
        yield session.close()


def test_the_funnel_loses_nothing() -> None:
    """Behind the last gate stand the signals, and nothing else."""
    with a_session() as session:
        session.swing(30)
        (funnel,) = of_counters(session.memory.counters("detector"), ["btc"])
        rows = list(rows_of(funnel))
        assert funnel.is_exact
        assert funnel.evaluations == 2 * len(session.published)
        assert [row.gate for row in rows] == [*(gate.value for gate in GATES), "signal"]
        assert rows[-2].passed == rows[-1].passed == len(session.signals) > 2
        assert not funnel._replace(signals=funnel.signals + 1).is_exact


def refusals(pair: str, evaluations: int, signals: int, gates: dict[str, int]) -> Refusals:
    return Refusals(
        pair=pair,
        evaluations=evaluations,
        signals=signals,
        expected_slippage_bps=0.0,
        expected_funding_bps=0.0,
        gates=gates,
        last=None,
        spreads_bps=None,
    )


def test_lines_of_a_period_add_up() -> None:
    lines = [
        refusals("btc", 10, 1, {"edge": 8, "size": 1}),
        refusals("eth", 4, 0, {"edge": 4}),
        refusals("btc", 6, 0, {"edge": 5, "risk_state": 1}),
    ]
    assert of_events(lines) == [
        Funnel("btc", 16, {"edge": 13, "size": 1, "risk_state": 1}, 1),
        Funnel("eth", 4, {"edge": 4}, 0),
    ]


def test_the_setting_that_is_named_would_have_traded(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Relaxed to what was missing it trades; a hair tighter it does not."""
    assert main(["why", "--recording", str(directory), "--json"]) == 0
    facts = lines_of(capsys.readouterr().out)
    (remedy,) = [item for item in facts["nearest"] if item["setting"] == "btc.entry_bps"]
    assert int(remedy["trades"]) >= 1
    assert 17 < float(remedy["needed"]) < 20
    recording = Recording(directory)
    tighter = float(remedy["needed"]) + 1e-9
    outcome = simulate(recording, changed(recording.raw_settings, {"entry_bps": tighter}))
    assert outcome.entries == 0
    (funnel,) = facts["funnels"]
    assert funnel["is_exact"]
    assert funnel["signals"] == 0


def test_a_period_is_told_from_the_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether an instance runs or not; only lines of the period, and the widest gap in it."""
    raw = load_raw(Path("config.yaml"))
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**raw, "persistence": {"var_dir": str(tmp_path)}}))
    settings = parse_settings(load_raw(config), "test")
    journal = Journal(journal_directory(settings), "run", 1)
    for hour, spreads_bps in ((8, [9.0, -9.0]), (10, [0.5, -2.0]), (11, [-3.0, 1.25])):
        line = {
            **blanks("refusals"),
            "ts": f"2026-01-02T{hour:02}:00:00.000000Z",
            "level": "info",
            "event": "refusals",
            "proc": "detector",
            "run_id": "run",
            "pair": "btc",
            "evaluations": 7,
            "signals": 1,
            "gates": {"edge": 6},
            "spreads_bps": [0.0, 0.0],
            "best_spreads_bps": spreads_bps,
            "expected_slippage_bps": 0.4,
            "threshold_bps": 8.0,
            "fees_bps": 11.0,
        }
        journal.append("detector", 0, orjson.dumps(line))
    journal.sync()
    journal.close()
    assert main(["why", "-c", str(config), "--since", "2026-01-02T09:00:00Z", "--json"]) == 0
    facts = lines_of(capsys.readouterr().out)
    assert [(item["pair"], item["evaluations"], item["signals"]) for item in facts["funnels"]] == [
        ("btc", 14, 2)
    ]
    level = facts["levels"][0]
    assert level["best_bps"] == [0.5, 1.25]
    assert level["sentence"] == "needs 11.0 fees + 0.4 slippage = 11.4; best 1.2"
    assert main(["why", "-c", str(config), "--since", "2026-01-02T09:00:00Z"]) == 0
    shown = capsys.readouterr().out
    assert "btc: needs 11.0 fees + 0.4 slippage = 11.4; best 1.2" in shown
    assert "eth: no figures yet" in shown
