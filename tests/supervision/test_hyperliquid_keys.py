"""What a start with wrong keys or coins at Hyperliquid ends with: exit code 2, and a text with the remedy.

The venue itself has one text for all wrong keys ("does not exist"): they are told apart before any order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from executor.accounts import simulated_secrets
from simulator.hyperliquid import HyperliquidFront
from simulator.process import RunningSimulator
from tests.crash.stage import Stage, a_stage
from tests.executor.harness import symbols_of
from tests.instance import Instance
from venues.hyperliquid.signing import Signer

OWN_KEY, AGENT_KEY, STRANGERS_KEY = ("0x" + digit * 64 for digit in "345")
ACCOUNT, AGENT, STRANGER = (
    Signer(key, is_mainnet=False).address for key in (OWN_KEY, AGENT_KEY, STRANGERS_KEY)
)
OTHER_ACCOUNT = "0x" + "ab" * 20
_numbers = itertools.count()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with a_stage(symbols_of(("paradex", "hyperliquid"))) as made:
        made.ask(sign_up)
        yield made


def front_of(simulator: RunningSimulator) -> HyperliquidFront:
    front = simulator.fronts["hyperliquid"]
    assert isinstance(front, HyperliquidFront)
    return front


def sign_up(simulator: RunningSimulator) -> None:
    front = front_of(simulator)
    front.members.open(ACCOUNT)
    front.members.approve(ACCOUNT, AGENT, "tandem", front.exchange.now_unix_ns() // 1_000_000)


def ended(stage: Stage, *, coin: str = "BTC", **keys: str) -> tuple[int, str]:
    """Start in mode live with these keys of Hyperliquid; exit code, and everything that was said."""
    raw = yaml.safe_load(stage.config.read_text())
    raw["pairs"][0]["legs"]["hyperliquid"] = coin
    # Nothing that an earlier start left is taken for a position: then the code would be 3.
    raw["bot_id"] = f"k{next(_numbers)}"
    config = stage.config.with_name("own.yaml")
    config.write_text(yaml.safe_dump(raw))
    env_file = Path(stage.config.parent / "own.env")
    env_file.touch(mode=0o600)
    secrets = {**simulated_secrets("paradex"), "HYPERLIQUID_PRIVATE_KEY": AGENT_KEY, **keys}
    env_file.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
    instance = Instance(config, "--live", "--env-file", str(env_file))
    code = instance.finish()
    assert instance.process.stderr is not None
    logged = " ".join([*(str(line) for line in instance.lines), instance.process.stderr.read().decode()])
    assert not [key for key in secrets.values() if len(key) == 66 and key[2:] in logged]
    return code, logged


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"HYPERLIQUID_ACCOUNT": OTHER_ACCOUNT}, [AGENT, f"an agent of {ACCOUNT}", OTHER_ACCOUNT]),
        ({}, [AGENT, f"set HYPERLIQUID_ACCOUNT={ACCOUNT}"]),
        (
            {"HYPERLIQUID_PRIVATE_KEY": STRANGERS_KEY, "HYPERLIQUID_ACCOUNT": ACCOUNT},
            [STRANGER, "unknown on the testnet", "approve it", "rest_url"],
        ),
        ({"HYPERLIQUID_PRIVATE_KEY": ACCOUNT}, ["is an address", "64 hex digits"]),
    ],
    ids=[
        "agent of another account",
        "no account named",
        "unknown key, or of the other network",
        "address for key",
    ],
)
def test_a_wrong_key_ends_the_start_with_its_address_and_the_remedy(
    stage: Stage, keys: dict[str, str], words: list[str]
) -> None:
    code, logged = ended(stage, **keys)
    assert code == 2, logged
    assert all(word in logged for word in words), logged


def test_an_unknown_coin_ends_the_start_with_one_that_is_there(stage: Stage) -> None:
    code, logged = ended(stage, coin="BTCC", HYPERLIQUID_ACCOUNT=ACCOUNT)
    assert code == 2, logged
    assert "did you mean BTC" in logged


def test_a_delisted_coin_ends_the_start(stage: Stage) -> None:
    stage.ask(lambda simulator: front_of(simulator).exchange.set_trading("BTC", False))
    try:
        code, logged = ended(stage, HYPERLIQUID_ACCOUNT=ACCOUNT)
    finally:
        stage.ask(lambda simulator: front_of(simulator).exchange.set_trading("BTC", True))
    assert code == 2, logged
    assert "pairs[0].legs.hyperliquid" in logged
    assert "is listed no more on hyperliquid; take the pair out" in logged
