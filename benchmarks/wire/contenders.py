"""Starts the contenders: Tandem as its users run it, and the bots it is compared with.

A contender is started against venues that listen already, says when it is ready to trade, and is
stopped when the venues have seen what they wanted.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

import yaml

from benchmarks.wire.market import ENTRY_BPS, EXIT_BPS, hyperliquid_symbol, paradex_symbol, vest_symbol
from settings import PROJECT

Ports = Mapping[str, int]  # by venue
READY_WITHIN_S: Final = 300.0
_SIZE_BASE: Final = "0.01"
# Nobody's keys: the venues of the benchmark check no signature, and nobody else sees one.
_SECRETS: Final = {
    "VEST_PRIMARY_PRIVATE_KEY": "0x" + "11" * 32,
    "PARADEX_L2_PRIVATE_KEY": "0x" + "02" * 31,
    "HYPERLIQUID_PRIVATE_KEY": "0x" + "11" * 32,
}


class Variant(NamedTuple):
    """How one run is set up."""

    contender: str  # "tandem", a floor ("floor", "floor-one"), or a bot ("asyncio-free", "ccxt", …)
    tls: bool
    idle: str  # how Tandem's processes wait: park or spin
    awake: bool  # /dev/cpu_dma_latency held at 0 while it runs
    pairs: int = 1
    warm_ms: float = 0.0  # runtime.keep_warm_ms
    fifo: bool = False  # the hot processes are real-time
    busy: int = 0  # quotes a second on each venue beyond the recorded ones
    beside: str = ""  # a tool that watches meanwhile
    first: str = "vest"  # the venue of the first leg; the second is Paradex

    @property
    def name(self) -> str:
        parts = (
            self.contender,
            self.first if self.first != "vest" else "",
            self.idle if self.contender == "tandem" else "",
            "awake" if self.awake else "idle",
            "fifo" if self.fifo else "",
            "warm" if self.warm_ms else "",
            "tls" if self.tls else "plain",
            f"{self.pairs} pairs" if self.pairs > 1 else "",
            "busy" if self.busy else "",
            f"beside {self.beside}" if self.beside else "",
        )
        return " ".join(part for part in parts if part)


class NotReady(Exception):
    """The contender did not come up; the text holds its last words."""


def urls(ports: Ports, *, tls: bool) -> dict[str, dict[str, str]]:
    """What to configure, by venue."""
    http, ws = ("https", "wss") if tls else ("http", "ws")
    host = "127.0.0.1"
    at = {venue: f"{host}:{port}" for venue, port in ports.items()}
    hosts = {
        "vest": ("/v2", "/ws-api"),
        "paradex": ("/v1", "/v1"),
        "hyperliquid": ("", "/ws"),
    }
    return {
        venue: {
            "rest_url": f"{http}://{where}{hosts[venue][0]}",
            "public_ws_url": f"{ws}://{where}{hosts[venue][1]}",
            "private_ws_url": f"{ws}://{where}{hosts[venue][1]}",
        }
        for venue, where in at.items()
    }


@contextmanager
def keep_cores_awake(wanted: bool) -> Iterator[None]:
    """Forbid idle states while a bot runs; Tandem does it for itself. Needs root."""
    if not wanted:
        yield
        return
    with open("/dev/cpu_dma_latency", "wb", buffering=0) as file:
        file.write((0).to_bytes(4, "little"))
        yield


# ------------------------------------------------------------------------------------------ Tandem


def tandem_config(variant: Variant, ports: Ports, directory: Path) -> dict[str, Any]:
    first_symbol = vest_symbol if variant.first == "vest" else hyperliquid_symbol
    pairs = [
        {
            "id": f"p{number}",
            "base": hyperliquid_symbol(number),
            "legs": {variant.first: first_symbol(number), "paradex": paradex_symbol(number)},
            "size_base": _SIZE_BASE,
        }
        for number in range(variant.pairs)
    ]
    return {
        "version": 1,
        "mode": "live",
        "bot_id": f"bench-{os.getpid()}",
        "pairs": pairs,
        "quote": {"usdc_per_usd": "par"},
        "strategy": {"entry_bps": ENTRY_BPS, "exit_bps": EXIT_BPS, "cooldown_ms": 0, "signal_ttl_ms": 1_000},
        "execution": {"price_band_bps": 5.0, "rearm_bps": 0.5, "http_connections": 4},
        "risk": {
            "max_order_notional_quote": "100000",
            "max_position_notional_quote": "1000000",
            "max_daily_loss_quote": "1000000",
            "max_orders_per_minute": 100_000,
        },
        "venues": urls(ports, tls=variant.tls),
        "persistence": {"var_dir": str(directory / "var")},
        "runtime": {
            "memory_dir": str(directory),
            "idle": dict.fromkeys(("feed", "detector", "executor"), variant.idle),
            "keep_cores_awake": variant.awake,
            "nice": {"persistence": 10},
            "keep_warm_ms": variant.warm_ms,
            "on_shutdown": "keep",
        },
    }


@contextmanager
def tandem(variant: Variant, ports: Ports, directory: Path, ca_file: Path | None) -> Iterator[None]:
    """Run the whole product; ``log.jsonl`` in the directory is complete when the context has ended."""
    config, env_file, log = directory / "config.yaml", directory / "secrets.env", directory / "log.jsonl"
    config.write_text(yaml.safe_dump(tandem_config(variant, ports, directory), sort_keys=False))
    env_file.write_text("".join(f"{name}={value}\n" for name, value in _SECRETS.items()))
    command = [
        sys.executable,
        str(PROJECT / "supervisor.py"),
        *("--config", str(config), "--env-file", str(env_file), "--live"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=_environment(ca_file), cwd=PROJECT
        )
        try:
            _wait_for_tandem(process, log)
            with _watched_by(variant.beside, config):
                yield
        finally:
            process.terminate()  # not SIGINT: a shell starts what runs in its background with that ignored
            process.wait(60)


@contextmanager
def _watched_by(tool: str, config: Path) -> Iterator[None]:
    """Run one of the tools on a terminal of its own, from its first output on."""
    if not tool:
        yield
        return
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "tools", tool, "--config", str(config)]
    size = {"COLUMNS": "160", "LINES": "50", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=PROJECT, env={**os.environ, **size}
    )
    os.close(terminal)
    try:
        os.read(screen, 65_536)
        Thread(target=_look_at, args=(screen,), daemon=True).start()
        time.sleep(3.0)  # as long as Tandem had
        yield
    finally:
        process.terminate()
        process.wait(60)


def _look_at(screen: int) -> None:
    """Read a terminal until nobody writes to it any more."""
    with contextlib.suppress(OSError):  # how Linux says so
        while os.read(screen, 65_536):
            pass
    os.close(screen)


def _wait_for_tandem(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline_s:
        events = [line["event"] for line in read_log(log)]
        if events.count("venue_ready") == 2 and events.count("feed_live") == 2:
            time.sleep(3.0)  # positions are read, orders armed, caches warm
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise NotReady(f"tandem did not come up; its last lines:\n{log.read_text()[-3000:]}")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log that may still be written."""
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


def _environment(ca_file: Path | None) -> dict[str, str]:
    # OpenSSL's own variable: every client of a process trusts this certificate, and nothing else.
    return {**os.environ, **({"SSL_CERT_FILE": str(ca_file)} if ca_file else {})}


# -------------------------------------------------------------------------------------------- bots


class Bot(NamedTuple):
    """A baseline: its program, its arguments, and the environment it runs in."""

    script: str
    arguments: tuple[str, ...]
    venv: str  # "" for our own


BOTS: Final = {
    "asyncio": Bot("asyncio_bot.py", ("--signing", "shipped"), ".venv-baselines"),
    "asyncio-free": Bot("asyncio_bot.py", ("--signing", "free"), ".venv-baselines"),
    "ccxt": Bot("ccxt_bot.py", (), ".venv-conformance"),
    "ccxt-sbe": Bot("ccxt_bot.py", ("--sbe",), ".venv-conformance"),
}


def bot_python(bot: Bot) -> Path:
    return PROJECT / bot.venv / "bin/python" if bot.venv else Path(sys.executable)


@contextmanager
def run_bot(variant: Variant, ports: Ports, ca_file: Path | None) -> Iterator[None]:
    """Run a baseline until the context ends."""
    bot = BOTS[variant.contender]
    command = [
        str(bot_python(bot)),
        str(PROJECT / "benchmarks/baselines" / bot.script),
        *("--urls", json.dumps(urls(ports, tls=variant.tls))),
        *("--entry-bps", str(ENTRY_BPS), "--exit-bps", str(EXIT_BPS), "--size", _SIZE_BASE),
        *bot.arguments,
    ]
    with keep_cores_awake(variant.awake):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment(ca_file))
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN_S)
            if not readable or process.stdout.readline().strip() != b"ready":
                raise NotReady(f"{variant.name} did not come up")
            time.sleep(1.0)
            yield
        finally:
            process.kill()
            process.wait()
