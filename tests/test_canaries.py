"""Planted secrets, and venues that quote them back: nothing the instance writes holds one of them.

A real instance in mode live trades at both simulated venues. Keys and a database password are
canaries; the venues answer every few calls with an error that quotes the whole request (API key,
bearer token, signature headers, signed body), and a process dies of an exception that quotes its keys. Then
everything that anybody could read is searched, for the text itself, its base64 and its hexadecimal.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from aiohttp import web
from psycopg.conninfo import conninfo_to_dict

import simulator.paradex.front
import simulator.vest.front
from persistence.server import start_server, stop_server
from settings import PROJECT
from simulator.config import SimulatorConfig
from simulator.paradex.rpc import METHOD_ERROR, RpcError, RpcSession
from simulator.paradex.tokens import TokenMint
from simulator.process import serve
from supervision.preflight import loopback_urls
from tests.instance import Instance, a_directory, memory_dir, write_config
from tests.waiting import DEADLINE_S
from venues.registry import venue as venue_of

QUOTED_CALLS = (1, 3, 6)  # of each kind, these are answered with an error that quotes them
# Raises, where it is asked to, an exception that quotes what the process works with.
CRASH = """
import json, os, signal
def crash(signum, frame):
    raise RuntimeError("asked with " + json.dumps(json.load(open(os.environ["CANARIES"]))))
signal.signal(signal.SIGUSR1, crash)
"""


class QuotingVenues:
    """Both simulated venues in a thread of their own, and every secret that passed them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: set[str] = set()  # tokens granted, signatures received
        self.quoted: Counter[str] = Counter()
        self._calls: Counter[str] = Counter()
        self.is_quoting = False
        self._is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._patch(monkeypatch)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._is_up.wait(60)

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        config = SimulatorConfig(start_s=26.0, taker_fee_bps=0.1, ack_latency_ms=3.0)
        running = await serve(config)
        self.ports = running.ports
        self._is_up.set()
        await self._stop.wait()
        self.seen |= set(running.fronts["vest"].clients._api_keys)  # type: ignore[attr-defined]
        self.seen |= set(running.fronts["vest"].clients._listen_keys)  # type: ignore[attr-defined]
        await running.stop()

    def _is_quoted(self, call: str) -> bool:
        if not self.is_quoting:
            return False
        self._calls[call] += 1
        is_due = self._calls[call] in QUOTED_CALLS
        self.quoted[call] += is_due
        return is_due

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for front in (simulator.paradex.front.ParadexFront, simulator.vest.front.VestFront):
            monkeypatch.setattr(front, "app", self._quoting(front.app, front.venue))
        issue, dispatch = TokenMint.issue, RpcSession._dispatch

        def note_token(mint: TokenMint, *arguments: Any, **options: Any) -> str:
            token = issue(mint, *arguments, **options)
            self.seen.add(token)
            return token

        async def quote_request(
            session: RpcSession, request: Any, request_id: object, received_us: int
        ) -> None:
            text = json.dumps(request)
            self._note_signatures(text)
            if request["method"] in ("order.create", "auth") and self._is_quoted(request["method"]):
                raise RpcError(METHOD_ERROR, "INVALID_ORDER_SIGNATURE", f"you sent {text}")
            await dispatch(session, request, request_id, received_us)

        monkeypatch.setattr(TokenMint, "issue", note_token)
        monkeypatch.setattr(RpcSession, "_dispatch", quote_request)

    def _quoting(self, make_app: Callable[[Any], web.Application], venue: str) -> Any:
        @web.middleware
        async def quote_request(request: web.Request, handler: Any) -> web.StreamResponse:
            if "Upgrade" in request.headers:
                return await handler(request)  # type: ignore[no-any-return]
            body = (await request.read()).decode()
            text = f"{request.method} {request.path_qs} {json.dumps(dict(request.headers))} {body}"
            self._note_signatures(text)
            is_private = "X-API-KEY" in text or "uthorization" in text or "SIGNATURE" in text or body
            call = re.sub(r"/[^/]*\d[^/]*", "/:id", f"{venue} {request.method} {request.path[3:]}")
            if not is_private or not self._is_quoted(call):
                return await handler(request)  # type: ignore[no-any-return]
            match self.quoted[call]:
                case 1:  # a refusal in the venue's own shape
                    shape = {"code": 1130, "msg": text} if venue == "vest" else _error(text)
                    return web.json_response(shape, status=400)
                case 2:  # whatever stands before the venue, breaking
                    return web.Response(status=502, text=text)
                case _:  # not JSON, and no error either
                    return web.Response(status=200, text=text)

        def app(front: Any) -> web.Application:
            made = make_app(front)
            made.middlewares.insert(0, quote_request)
            return made

        return app

    def _note_signatures(self, text: str) -> None:
        self.seen |= set(re.findall(r"[0-9a-f]{130}|\d{70,80}", text))


def _error(text: str) -> dict[str, str]:
    return {"error": "VALIDATION_ERROR", "message": text}


def forms(secret: str) -> set[bytes]:
    """A secret as it might be found: any case, encoded, its beginning alone."""
    bare = secret.removeprefix("0x")
    found = {bare[:24], bare[:24].upper(), json.dumps(bare)[1:-1][:24], quote(bare, "")[:24]}
    found |= {base64.b64encode(text.encode()).decode()[:24] for text in (bare, secret)}
    found |= {text.encode().hex()[:24] for text in (bare, secret)}
    if re.fullmatch("[0-9a-fA-F]+", bare) and len(bare) % 2 == 0:
        found |= {base64.b64encode(bytes.fromhex(bare)).decode()[:24], str(int(bare, 16))[:24]}
    return {text.encode() for text in found}


def findings(places: dict[str, bytes], canaries: dict[str, str]) -> list[str]:
    """Where which canary is to be seen."""
    wanted = [(name, form) for name, value in canaries.items() for form in forms(value)]
    return [
        f"{name} in {place}: …{content[max(0, content.index(form) - 80) : content.index(form)]!r}"
        for place, content in places.items()
        for name, form in wanted
        if form in content
    ]


def files_below(directory: Path) -> dict[str, bytes]:
    found = {}
    for path in directory.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                found[str(path)] = path.read_bytes()
        except FileNotFoundError:
            continue  # PostgreSQL's files come and go
    return found


def every_row(uri: str) -> dict[str, bytes]:
    """Every table as text."""
    with psycopg.connect(uri) as connection:
        tables = connection.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_schema not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        return {
            f"table {schema}.{table}": "\n".join(
                row[0]
                for row in connection.execute(f'select t::text from "{schema}"."{table}" t'.encode())
                if row[0]
            ).encode()
            for schema, table in tables
        }


def command(*words: str, env: dict[str, str]) -> bytes:
    done = subprocess.run(
        [sys.executable, *words], cwd=PROJECT, env=env, capture_output=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.stdout + done.stderr


def scraped(config: Path) -> bytes:
    """What Prometheus would read."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tools", "metrics", "--config", str(config), "--bind", "127.0.0.1:0"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[1].decode()
        with urllib.request.urlopen(address, timeout=DEADLINE_S) as answer:
            content: bytes = answer.read()
            return content
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()


@pytest.fixture
def directory() -> Iterator[Path]:
    with a_directory() as directory:
        try:
            yield directory
        finally:
            stop_server(directory / "database")
            shutil.rmtree(memory_dir(directory / "config.yaml"))


@pytest.fixture
def venues(monkeypatch: pytest.MonkeyPatch) -> Iterator[QuotingVenues]:
    venues = QuotingVenues(monkeypatch)
    yield venues
    venues.close()


def test_no_planted_secret_is_to_be_seen_anywhere(directory: Path, venues: QuotingVenues) -> None:
    key = [f"0x{secrets.randbits(249):064x}" for _ in range(3)]
    password = f'canary"\\{secrets.token_hex(12)}'
    canaries = {"Vest primary": key[0], "Vest signing": key[1], "Paradex": key[2], "password": password}
    config = live_config(directory, venues.ports)
    socket = conninfo_to_dict(start_server(directory / "database"))["host"]
    uri = f"postgresql://postgres:{quote(password, '')}@/postgres?host={quote(str(socket), '')}"
    env_file = directory / ".env"
    address = f"PARADEX_L1_ADDRESS=0x{secrets.token_hex(20)}\n"  # public, and needed for a new account
    env_file.write_text(f"PARADEX_L2_PRIVATE_KEY={key[2]}\nDATABASE_URL='{uri}'\n{address}")
    (directory / "plugin").mkdir()
    (directory / "plugin" / "sitecustomize.py").write_text(CRASH)
    (directory / "plugin" / "canaries").write_text(json.dumps({"keys": key}))
    env = {
        "VEST_PRIMARY_PRIVATE_KEY": key[0],
        "VEST_SIGNING_PRIVATE_KEY": key[1],
        "PYTHONPATH": str(directory / "plugin"),
        "CANARIES": str(directory / "plugin" / "canaries"),
    }
    memory = memory_dir(config) / "tandem-test"
    places: dict[str, bytes] = {}
    instance = Instance(config, "--live", "--env-file", str(env_file), env=env)
    try:
        instance.wait_for("trade_opened")
        venues.is_quoting = True
        instance.wait_for("trade_closed")
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            places[str(path)] = path.read_bytes() if path.exists() else b""
        os.kill(instance.pid_of("executor"), signal.SIGUSR1)
        crashed = instance.wait_for("process_stderr")
        assert "RuntimeError: asked with" in crashed["detail"]
        stop_server(directory / "database")
        instance.wait_for("database_away")
        start_server(directory / "database")
        instance.wait_for("database_back")
        places |= files_below(memory)
        options = ("--config", str(config))
        with_keys = (*options, "--env-file", str(env_file))
        around = {**os.environ, **env, "PYTHONPATH": ""}
        for words in (("status", "--json"), ("status",), ("why",), ("show-config",)):
            places[f"tools {' '.join(words)}"] = command("-m", "tools", *words, *options, env=around)
        places["tools reconcile"] = command("-m", "tools", "reconcile", *with_keys, env=around)
        places["tools doctor"] = command("-m", "tools", "doctor", *with_keys, env=around)
        report = str(directory / "report")
        places["tools report"] = command("-m", "tools", "report", *with_keys, "--out", report, env=around)
        places["supervisor --check"] = command("supervisor.py", "--check", "--live", *with_keys, env=around)
        places["metrics"] = scraped(config)
    finally:
        exit_code = instance.stop(signal.SIGTERM)
    assert instance.process.stderr is not None
    places["standard error"] = instance.process.stderr.read()
    places["tools kill"] = command("-m", "tools", "kill", *with_keys, env=around)
    places["tools journal"] = command("-m", "tools", "journal", *options, env=around)
    places |= {f"line {number}": text_of(line) for number, line in enumerate(instance.lines)}
    places |= every_row(uri) | files_below(directory / "var") | files_below(directory / "report")
    # Its tables were read above; what the server itself says lies in its log.
    server_logs = list((directory / "database" / "postgres").glob("log*"))
    assert server_logs
    places |= {str(path): path.read_bytes() for path in server_logs}
    venues.close()
    canaries |= {f"passed the venues {secret[:6]}": secret for secret in venues.seen}

    assert exit_code == 0
    assert len(venues.quoted) > 8, venues.quoted
    assert len(venues.seen) > 20
    assert any("X-API-KEY" in line for line in map(str, instance.lines)), "no venue's quote was ever logged"
    found = findings(places, canaries)
    assert found == []


def text_of(line: Any) -> bytes:
    """A line's texts as they are, without what JSON adds to them."""
    if isinstance(line, dict):
        return b"\n".join(text_of(value) for value in line.values())
    if isinstance(line, list):
        return b"\n".join(map(text_of, line))
    return str(line).encode()


def live_config(directory: Path, ports: dict[str, int]) -> Path:
    urls = {venue: loopback_urls(venue_of(venue).production_hosts, port) for venue, port in ports.items()}
    return write_config(
        directory,
        mode="live",
        venues={venue: {**where, "taker_fee_bps": 0.1} for venue, where in urls.items()},
        # What is quoted instead of answered counts as failures; the point here is to go on.
        risk__max_consecutive_failures=1_000,
        runtime__on_shutdown="flatten",
    )


def test_the_search_finds_a_secret_in_every_form() -> None:
    """Who finds nothing must be able to find."""
    key = f"0x{secrets.randbits(249):064x}"
    raw = bytes.fromhex(key[2:])
    shown = [key, key[2:], key.upper(), key[:40], base64.b64encode(raw).decode(), str(int(key, 16))]
    shown += [base64.b64encode(key.encode()).decode(), key.encode().hex()]
    for text in shown:
        assert findings({"here": b"x" * 9 + text.encode()}, {"key": key}), text
    assert findings({"here": b"nothing"}, {"key": key}) == []
