"""docs/live-hyperliquid-paradex.md, followed word by word: a dry drive in mode live on simulated venues.

A checkout of its own is copied; `.env`, `live.yaml` and the commands are what the page says. Only where the
venues are, and where an instance keeps its memory, is the test's.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fast_stark_crypto import get_public_key

from settings import PROJECT
from simulator.hyperliquid import HyperliquidFront
from simulator.paradex import ParadexFront
from simulator.paradex.session import address_of
from simulator.process import RunningSimulator
from tests.crash.stage import Stage, a_stage
from tests.executor.harness import symbols_of
from tests.instance import Instance
from tests.waiting import wait_until
from venues.contract import E8
from venues.hyperliquid.signing import Signer

PAGE = (PROJECT / "docs/live-hyperliquid-paradex.md").read_text()
OWN_KEY, AGENT_KEY = "0x" + "31" * 32, "0x" + "32" * 32
MAIN_KEY, SUBKEY = 0x1234567890ABCDEF, 0xFEDCBA0987654321
ACCOUNT = Signer(OWN_KEY, is_mainnet=False).address
AGENT = Signer(AGENT_KEY, is_mainnet=False).address
PARADEX_ACCOUNT = address_of(get_public_key(MAIN_KEY))
KEYS = {
    "HYPERLIQUID_PRIVATE_KEY": AGENT_KEY,
    "HYPERLIQUID_ACCOUNT": ACCOUNT,
    "HYPERLIQUID_SUB_ACCOUNT": "",
    "PARADEX_L2_PRIVATE_KEY": f"{SUBKEY:#x}",
    "PARADEX_ACCOUNT": f"{PARADEX_ACCOUNT:#x}",
}
SECRETS = (OWN_KEY[2:], AGENT_KEY[2:], f"{SUBKEY:x}")
FAR_BPS = 40.0  # wider than the page's entry_bps
SIZE_E8 = E8 // 1_000


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[str]:
    """Everything the page has typed, in its order."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line.partition(" #")[0].strip() for line in lines]


class Checkout:
    """A user's copy of the project, with the page's files in it."""

    def __init__(self, directory: Path, stage: Stage) -> None:
        self.directory = directory / "checkout"
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True)
        for name in filter(None, listed.stdout.decode().split("\0")):
            target = self.directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, target)
        [env], [config] = blocks("ini"), blocks("yaml")
        (self.directory / ".env").write_text("".join(self._filled(line) for line in env.splitlines()))
        (self.directory / ".env").chmod(0o600)
        own = yaml.safe_load(stage.config.read_text())
        places = {
            "venues": {venue: own["venues"][venue] for venue in stage.symbols},
            "runtime": {"memory_dir": own["runtime"]["memory_dir"], "pin": {}},
            "persistence": {"var_dir": own["persistence"]["var_dir"]},
        }
        self.config = self.directory / "live.yaml"
        self.config.write_text(f"{config}\n{yaml.safe_dump(places)}")
        self.output = ""

    def _filled(self, line: str) -> str:
        name, equals, _ = line.partition("=")
        return f"{name}={KEYS[name]}\n" if equals and not line.startswith("#") else f"{line}\n"

    def words(self, command: str) -> list[str]:
        return [sys.executable if word == "python" else word for word in shlex.split(command)]

    def type(self, command: str) -> str:
        """Run a command of the page to its end, which must be a good one; what it said."""
        done = subprocess.run(
            self.words(command), cwd=self.directory, capture_output=True, text=True, timeout=240, check=False
        )
        logged = done.stdout + done.stderr
        self.output += logged
        assert done.returncode == 0, f"{command}: {done.returncode}\n{logged}"
        return logged

    def start(self, command: str) -> Instance:
        assert self.words(command)[1:3] == ["supervisor.py", "--config"]
        return Instance(self.config, *self.words(command)[4:], project=self.directory)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with a_stage(symbols_of(("paradex", "hyperliquid"))) as made:
        yield made


def sign_up(simulator: RunningSimulator) -> None:
    """What sections 1 and 2 have done on the web sites: deposits, an agent, a subkey."""
    hyperliquid, paradex = simulator.fronts["hyperliquid"], simulator.fronts["paradex"]
    assert isinstance(hyperliquid, HyperliquidFront)
    assert isinstance(paradex, ParadexFront)
    hyperliquid.members.open(ACCOUNT)
    now_ms = hyperliquid.exchange.now_unix_ns() // 1_000_000
    hyperliquid.members.approve(ACCOUNT, AGENT, "tandem", now_ms)
    paradex.sign_up(get_public_key(MAIN_KEY), subkey=get_public_key(SUBKEY))


def held(stage: Stage) -> bool:
    return stage.positions_e8 == {"paradex": SIZE_E8, "hyperliquid": -SIZE_E8}


def is_flat(stage: Stage) -> bool:
    return not any(stage.positions_e8.values())


@pytest.mark.timeout(600)
def test_the_page_leads_from_keys_to_a_pair_and_back_out(stage: Stage, tmp_path: Path) -> None:
    stage.ask(sign_up)
    check, doctor, start, status, monitor, pause, force_exit, kill = commands()
    checkout = Checkout(tmp_path, stage)

    assert "btc" in checkout.type(check)
    reported = checkout.type(doctor)
    assert f"{AGENT} may trade for {ACCOUNT} until 20" in " ".join(reported.split())
    assert "0 problems" in reported

    instance = checkout.start(start)
    try:
        instance.wait_for("running")
        stage.market.gap_bps = FAR_BPS
        wait_until(lambda: held(stage), "the pair to be open at both venues")
        assert "HEDGED" in checkout.type(status)
        assert "btc" in checkout.type(f"{monitor} --once")
        checkout.type(pause)
        checkout.type(force_exit)
        assert is_flat(stage)
        assert instance.stop(signal.SIGINT) == 0
    finally:
        instance.process.kill()
        instance.process.wait()
    checkout.type(kill)

    assert is_flat(stage)
    assert stage.open_orders() == []
    logged = checkout.output + "".join(str(line) for line in instance.lines)
    assert not [secret for secret in SECRETS if secret in logged]
