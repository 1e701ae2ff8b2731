"""Keys and gateways: the one place of the executor that knows where accounts come from.

Keys are read here and nowhere else in Tandem, and every one of them is made unprintable first.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from executor.gateways.contract import Listener
from executor.gateways.live import LiveGateway
from observability.redaction import register_secret
from runtime import bootstrap
from runtime.venue_hosts import venue_hosts
from settings import KNOWN_VENUES, Settings, SettingsError, read_secrets
from venues.contract import AccountOptions, Secret, Trading, VenueHosts
from venues.registry import venue
from venues.rest_client import InsecureUrl, require_secure

# How long an unanswered order may keep its connection from others; the machine asks long before.
_ANSWER_LIMITS = 4  # times execution.reply_timeout_ms
_PRIVATE_KEY = "private_key"


def connect(process: bootstrap.Launch, name: str, listener: Listener, *, may_give_up: bool) -> LiveGateway:
    """The live gateway of one venue. Ends the process with a clear message if it cannot be made."""
    settings = process.settings
    where = venue_hosts(settings, name)
    try:
        for url in (where.rest_url, where.private_ws_url):
            require_secure(url)
        trading = make_trading(settings, process.env_file, name, where)
    except (InsecureUrl, SettingsError, ValueError) as error:
        bootstrap.refuse(f"executor: {name}: {error}")
    except KeyError as error:
        bootstrap.refuse(f"executor: {error.args[0]} is missing: set it in the environment or in .env")
    return LiveGateway(
        trading,
        where.rest_url,
        tuple(item for item in process.instruments if item.venue == name),
        listener,
        process.reporter,
        process.clock,
        connections=settings.execution.http_connections,
        answer_limit_s=_ANSWER_LIMITS * settings.execution.reply_timeout_ms / 1_000,
        may_give_up=may_give_up,
        warm_request=venue(name).warm_request,
    )


def make_trading(
    settings: Settings, env_file: Path, name: str, where: VenueHosts, *, over_http: bool = False
) -> Trading:
    """The venue's protocol object with its keys. KeyError names a missing one, ValueError a bad one."""
    chosen = venue(name)
    secrets = read_secrets(tuple(item.name for item in chosen.secrets), env_file)
    if settings.mode == "sim":
        secrets = simulated_secrets(name)
    for item in chosen.secrets:
        if _is_key(item) and item.name in secrets:
            register_secret(secrets[item.name])
    validity_ms = settings.execution.order_validity_ms
    options = AccountOptions(settings.bot_id.replace("-", ""), validity_ms, over_http)
    return chosen.open_account(where, secrets, options)


def register_keys(env_file: Path) -> None:
    """Let no text of this process show a key or the database's address that lie in the environment."""
    items = [item for name in KNOWN_VENUES for item in venue(name).secrets if _is_key(item)]
    for value in read_secrets((*(item.name for item in items), "DATABASE_URL"), env_file).values():
        register_secret(value)


def account_names(settings: Settings, env_file: Path) -> tuple[str, ...]:
    """Public names of the accounts these settings trade on: venue, host, and the account at that host.

    A venue whose keys are missing or bad is left out: what trades there will say so.
    """
    if settings.mode == "paper":
        return ()
    found = []
    for name in settings.venue_names:
        secrets = read_secrets(tuple(item.name for item in venue(name).secrets), env_file)
        if settings.mode == "sim":
            secrets = simulated_secrets(name)
        try:
            account = venue(name).account_of(secrets)
        except (KeyError, ValueError):
            continue
        found.append(f"{name} {urlsplit(venue_hosts(settings, name).rest_url).netloc} {account}")
    return tuple(found)


def simulated_secrets(name: str) -> dict[str, str]:
    """Throw-away keys for the simulator, the same at every start: the account stays the same."""
    return {
        item.name: simulated_secret(name, item.field)
        for item in venue(name).secrets
        if _is_key(item) or item.field.endswith("address")
    }


def simulated_secret(venue: str, field: str) -> str:
    """A private key of 250 bits, below the order of every curve the venues use, or an address of 160."""
    digest = hashlib.sha256(f"tandem simulator {venue} {field}".encode()).digest()
    number = int.from_bytes(digest, "big")
    return f"0x{number >> 6:064x}" if field.endswith(_PRIVATE_KEY) else f"0x{number >> 96:040x}"


def _is_key(secret: Secret) -> bool:
    return secret.field.endswith(_PRIVATE_KEY)
