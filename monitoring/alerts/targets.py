"""Who takes our messages: Telegram, Discord, a webhook, a mail server; the sending is apprise's.

Secrets come from the environment or ``.env`` by the names in ``alerts``, and appear in nothing that
this module says: apprise's own warnings are passed on with every secret replaced, and its debug lines,
which hold whole URLs, go nowhere.

Sources: Telegram Bot API, "sendMessage"; Discord developer documentation, "Execute Webhook".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from apprise import Apprise, NotifyFormat, NotifyType
from apprise.plugins import NotifyBase

from monitoring.alerts.book import Message, Severity, State
from observability.plain_text import plain
from observability.redaction import redact, register_secret
from settings import (
    AlertsSettings,
    MailSettings,
    Problem,
    SettingsError,
    TelegramSettings,
    read_secrets,
    require_secure_url,
)

_TIMEOUT_S: Final = 10.0
_SECRET_MIN: Final = 8  # characters
_TITLE_MAX: Final = 120
_LOGGER: Final = "apprise"
_TYPES: Final = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}
_COMMON: Final = {"cto": _TIMEOUT_S, "rto": _TIMEOUT_S, "redirect": "no", "overflow": "truncate"}


class SendError(Exception):
    """A target did not take a message; the text says why and holds no secret."""


class Alert(NamedTuple):
    """A message with when and where from. ``unix_s`` is this host's clock."""

    message: Message
    unix_s: float
    bot_id: str
    mode: str

    @property
    def line(self) -> str:
        at = datetime.fromtimestamp(self.unix_s, UTC).strftime("%H:%M:%S")
        state = "" if self.message.state is State.RAISED else f" {self.message.state}"
        severity = self.message.condition.severity.name
        return plain(f"{at}Z {severity}{state} {self.message.condition.key}: {self.message.text}")

    def as_plain(self) -> dict[str, Any]:
        """For programs: what a webhook gets of each alert."""
        message = self.message
        return {
            "at": datetime.fromtimestamp(self.unix_s, UTC).isoformat(timespec="milliseconds"),
            "bot_id": self.bot_id,
            "mode": self.mode,
            "state": message.state.value,
            "severity": message.condition.severity.name.lower(),
            "kind": message.condition.kind,
            "key": message.condition.key,
            "held_s": round(message.held_s, 3),
            "unseen": message.unseen,
            "text": message.text,
        }


class Target:
    """One place messages go to. ``send`` is for one thread at a time."""

    def __init__(self, name: str, plugin: NotifyBase, secrets: Sequence[str]) -> None:
        self.name = name
        self._plugin = plugin
        for secret in secrets:
            register_secret(secret)
        self._apprise = Apprise()
        self._apprise.add(plugin)

    def send(self, alerts: Sequence[Alert], dropped: int = 0) -> None:
        """Send them as one message, the gravest in its title. Raises SendError."""
        assert alerts
        lines = [alert.line for alert in alerts]
        if dropped:
            lines.append(f"{dropped} older alerts did not fit the queue and are lost")
        if hasattr(self._plugin, "payload_extras"):  # the webhook: programs want fields
            self._plugin.payload_extras = {
                "alerts": [alert.as_plain() for alert in alerts],
                "dropped": dropped,
            }
        severity = max(alert.message.condition.severity for alert in alerts)
        is_over = all(alert.message.state is State.RESOLVED for alert in alerts)
        warnings = _warnings()
        warnings.clear()
        is_taken = self._apprise.notify(
            title=_title(alerts),
            body="\n".join(lines),
            notify_type=NotifyType.SUCCESS if is_over else _TYPES[severity],
            body_format=NotifyFormat.TEXT,
        )
        if not is_taken:
            raise SendError(redact("; ".join(warnings) or "it was not taken"))

    def __repr__(self) -> str:
        return f"Target({self.name})"


def make_targets(settings: AlertsSettings, env_file: Path) -> list[Target]:
    """Every configured target. Raises SettingsError naming each secret that is missing or malformed."""
    _listen_to_apprise()
    secrets = read_secrets(settings.secret_names, env_file)
    problems = [
        Problem(name, "", f"is named in alerts and not set: set it in {env_file} or the environment")
        for name in settings.secret_names
        if name not in secrets
    ]
    if problems:
        raise SettingsError("alerts", problems)
    made: list[Target] = []
    for name, make in (
        ("telegram", lambda: settings.telegram and _telegram(settings.telegram, secrets)),
        ("discord", lambda: settings.discord_env and _discord(settings.discord_env, secrets)),
        ("webhook", lambda: settings.webhook_env and _webhook(settings.webhook_env, secrets)),
        ("mail", lambda: settings.mail and _mail(settings.mail, secrets)),
    ):
        try:
            target = make()
        except _Malformed as error:
            problems.append(Problem(error.name, "", f"is not as {name} needs it: {error.remedy}"))
        else:
            made += [target] if target else []
    if problems:
        raise SettingsError("alerts", problems)
    return made


class _Malformed(Exception):
    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(name, remedy)
        self.name = name
        self.remedy = remedy


def _telegram(wanted: TelegramSettings, secrets: Mapping[str, str]) -> Target:
    token = secrets[wanted.token_env].strip()
    plugin = _plugin(
        wanted.token_env,
        "a bot's token looks like 123456:AbC-dEf, @BotFather gives it",
        {"schema": "tgram", "bot_token": token, "targets": [wanted.chat_id], "detect_owner": False},
    )
    plugin.notify_url = f"{wanted.api_url}/bot"  # Telegram's own, or a Bot API server run beside
    return Target("telegram", plugin, (token,))


def _discord(name: str, secrets: Mapping[str, str]) -> Target:
    url, remedy = secrets[name].strip(), "copy the whole https://…/api/webhooks/ID/TOKEN from the channel"
    base, _, identity = url.partition("/api/webhooks/")
    webhook_id, _, token = identity.partition("?")[0].rstrip("/").partition("/")
    if not (webhook_id.isdigit() and token and "/" not in token):
        raise _Malformed(name, remedy)
    _require_secure(name, url)
    plugin = _plugin(
        name, remedy, {"schema": "discord", "webhook_id": webhook_id, "webhook_token": token, "avatar": False}
    )
    plugin.notify_url = f"{base}/api/webhooks"
    return Target("discord", plugin, (url, token))


def _webhook(name: str, secrets: Mapping[str, str]) -> Target:
    url = secrets[name].strip()
    _require_secure(name, url)
    parts = urlsplit(url)
    known = {
        "schema": "jsons" if parts.scheme == "https" else "json",
        "host": parts.hostname,
        "port": parts.port,
        "fullpath": parts.path or "/",
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "params": dict(parse_qsl(parts.query, keep_blank_values=True)),
    }
    plugin = _plugin(name, "an https:// URL that takes a POST of JSON", known)
    # What is shorter is no secret, and its mask would hide half of every line.
    hidden = (part for part in (parts.path, parts.query) if len(part) >= _SECRET_MIN)
    return Target("webhook", plugin, (url, parts.password or "", *hidden))


def _mail(wanted: MailSettings, secrets: Mapping[str, str]) -> Target:
    password = secrets[wanted.password_env] if wanted.password_env else ""
    known = {
        "schema": "mailtos" if wanted.security == "tls" else "mailto",
        "host": wanted.server,
        "smtp_host": wanted.server,
        "port": wanted.port,
        "secure_mode": {"tls": "ssl", "starttls": "starttls", "none": "insecure"}[wanted.security],
        "from_addr": f"Tandem <{wanted.sender}>",
        "targets": list(wanted.to),
        "user": wanted.user or None,
        "password": password or None,
        "format": "text",
    }
    plugin = _plugin(wanted.password_env or "alerts.mail", "see alerts.mail in config.yaml", known)
    return Target("mail", plugin, (password,))


def _plugin(name: str, remedy: str, known: dict[str, Any]) -> Any:
    try:
        plugin = Apprise.instantiate({**_COMMON, **known}, suppress_exceptions=False)
    except (TypeError, ValueError):
        plugin = None  # its text repeats the secret
    if not isinstance(plugin, NotifyBase):
        raise _Malformed(name, remedy)
    plugin.socket_connect_timeout = plugin.socket_read_timeout = _TIMEOUT_S
    return plugin


def _require_secure(name: str, url: str) -> None:
    try:
        require_secure_url(url)
        is_whole = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
        _ = urlsplit(url).port
    except ValueError:
        is_whole = False
    if not is_whole:
        raise _Malformed(name, "an https:// URL (plain http for this machine alone)")


def _title(alerts: Sequence[Alert]) -> str:
    gravest = max(alerts, key=lambda alert: alert.message.condition.severity)
    message = gravest.message
    state = "" if message.state is State.RAISED else f" {message.state}"
    rest = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    head = f"Tandem {gravest.bot_id} ({gravest.mode}): {message.condition.severity.name}{state}"
    return f"{head} {message.condition.key}{rest}"[:_TITLE_MAX]


# --- apprise's warnings ---

_captured = threading.local()


def _warnings() -> list[str]:
    """Apprise's warnings in this thread since it was emptied."""
    if not hasattr(_captured, "warnings"):
        _captured.warnings = []
    warnings: list[str] = _captured.warnings
    return warnings


class _Listener(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _warnings().append(record.getMessage().strip())


def _listen_to_apprise() -> None:
    """Keep its warnings for us and off standard error; what it uses (urllib3) says nothing by itself."""
    logger = logging.getLogger(_LOGGER)
    if not any(isinstance(handler, _Listener) for handler in logger.handlers):
        logger.addHandler(_Listener(logging.WARNING))
        logger.propagate = False
        logger.setLevel(logging.WARNING)
