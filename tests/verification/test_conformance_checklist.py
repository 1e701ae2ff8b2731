"""The conformance run's own tools: what is recorded, what ends a section, what makes the run fail.

The run itself is ``make conformance``; it needs an environment of its own and is not collected here.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from verification.conformance import report
from verification.conformance.clients.checklist import Checklist
from verification.conformance.report import Outcome, Report
from verification.conformance.shims import starknet_crypto_py

CLIENTS = Path(__file__).parents[2] / "verification" / "conformance" / "clients"
VECTORS = Path(__file__).parents[1] / "vectors" / "paradex_vectors.json"
FOREIGN = {"ccxt", "fast_stark_crypto", "httpx", "paradex_py"}
MINIMAL = {"aiohttp", "eth_account", "eth_utils", "msgpack"}


def recorded(capsys: pytest.CaptureFixture[str]) -> list[Outcome]:
    return [report.parse(line) for line in capsys.readouterr().out.splitlines()]


def test_a_call_is_green_if_its_block_ends(capsys: pytest.CaptureFixture[str]) -> None:
    calls = Checklist("client")
    with calls("place", "is accepted") as call:
        call.expect(True, "seen")

    (outcome,) = recorded(capsys)
    assert (outcome.client, outcome.call, outcome.expectation) == ("client", "place", "is accepted")
    assert (outcome.ok, outcome.detail) == (True, "")


def test_a_failed_call_is_red_with_its_reason_and_ends_its_section_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What follows it would only repeat the failure; what does not rest on it still runs."""
    calls = Checklist("client")
    with calls.section():
        with calls("first", "works") as call:
            call.expect(False, {"status": "odd"})
        with calls("second", "is not reached"):
            pass
    with calls.section(), calls("third", "raises by itself"):
        raise ConnectionError("gone")
    with calls.section(), calls("fourth", "works"):
        pass

    outcomes = recorded(capsys)
    assert [(outcome.call, outcome.ok) for outcome in outcomes] == [
        ("first", False),
        ("third", False),
        ("fourth", True),
    ]
    assert outcomes[0].detail == "Unexpected: {'status': 'odd'}"
    assert outcomes[1].detail == "ConnectionError: gone"


def test_a_mistake_outside_a_call_is_not_taken_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A section swallows nothing but calls that are recorded; an interruption is no failure of a call."""
    calls = Checklist("client")
    with pytest.raises(KeyError), calls.section():
        raise KeyError("a bug of ours")
    with pytest.raises(KeyboardInterrupt), calls.section(), calls("first", "is interrupted"):
        raise KeyboardInterrupt

    assert recorded(capsys) == []


def test_refusals_are_expected_with_their_code(capsys: pytest.CaptureFixture[str]) -> None:
    calls = Checklist("client")

    def refuse() -> None:
        raise ValueError("INVALID_ORDER_SIZE: too odd")

    for attempt, code in ((refuse, "INVALID_ORDER_SIZE"), (refuse, "NOT_FOUND"), (lambda: "taken", "X")):
        with calls.section(), calls("place", "is refused") as call:
            call.refused(attempt, ValueError, code)

    assert [outcome.ok for outcome in recorded(capsys)] == [True, False, False]


def test_eventually_reads_until_it_is_true_and_not_for_ever(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verification.conformance.clients.checklist.POLL_S", 0.001)
    calls, answers = Checklist("client"), iter([None, "", "open"])
    with calls("read", "opens") as call:
        call.eventually(lambda: next(answers), "open")
    monkeypatch.setattr("verification.conformance.clients.checklist.DEADLINE_S", 0.02)
    with calls.section(), calls("read", "never opens") as call:
        call.eventually(lambda: "", "open")

    opened, never = recorded(capsys)
    assert opened.ok
    assert not never.ok
    assert "not within 0.02 s: open" in never.detail


@pytest.mark.parametrize(
    ("results", "exit_code"), [([], 1), ([True], 0), ([True, False, True], 1), ([False], 1)]
)
def test_one_red_call_or_none_at_all_fails_the_run(results: list[bool], exit_code: int) -> None:
    """A client that never started must not look like one that passed."""
    collected = Report()
    for ok in results:
        collected.add(Outcome("client", "call", "works", ok=ok, detail="" if ok else "why"))

    assert collected.exit_code == exit_code
    text = collected.text(is_coloured=False)
    assert text.endswith(f"conformance: {results.count(True)} passed, {results.count(False)} failed")
    assert text.count("FAILED") == text.count("why") == results.count(False)


@pytest.mark.parametrize("line", ["", "not JSON", "[]", "{}", '{"client": "x", "more": 1}', '"text"'])
def test_a_line_that_is_no_outcome_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        report.parse(line)


def test_the_clients_use_nothing_of_ours() -> None:
    """What both sides believe wrongly would pass; so the clients know the foreign libraries alone."""
    for path in sorted(CLIENTS.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = {str(node.module)}
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            else:
                continue
            ours = {entry.stem for entry in CLIENTS.parents[2].iterdir()} - FOREIGN
            assert not {name.partition(".")[0] for name in names} & ours, (path.name, names)


def test_the_minimal_client_knows_no_library_of_the_venues() -> None:
    """It is there to disagree with the official SDK, should that be wrong."""
    tree = ast.parse((CLIENTS / "hyperliquid_minimal.py").read_text())
    modules = {
        node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level
    }
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

    assert {name.partition(".")[0] for name in modules} - sys.stdlib_module_names <= MINIMAL


def test_the_shim_signs_as_published() -> None:
    """Its four functions against the venue's vectors: the SDK rests on it for every signature."""
    cases = json.loads(VECTORS.read_text())["signing_cases"]
    for case in cases:
        key, message_hash = int(case["private_key"], 16), int(case["message_hash"], 16)
        published = tuple(int(case["signatures"]["noseed"][name]) for name in ("r", "s"))
        public_key = starknet_crypto_py.get_public_key(key)
        assert starknet_crypto_py.sign(key, message_hash, seed=32) == published
        assert starknet_crypto_py.verify(public_key, message_hash, *published)
        assert not starknet_crypto_py.verify(public_key, message_hash + 1, *published)
    assert len(cases) > 20


def test_the_shim_hashes_as_published() -> None:
    for case in json.loads(VECTORS.read_text())["pedersen"]:
        assert starknet_crypto_py.pedersen_hash(int(case["a"], 16), int(case["b"], 16)) == int(
            case["hash"], 16
        )
