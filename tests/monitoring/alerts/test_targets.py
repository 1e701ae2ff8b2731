"""Each kind of target, over real sockets: what arrives, what is said of a failure, what is never said."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from monitoring.alerts.book import Condition, Message, Severity, State
from monitoring.alerts.targets import Alert, SendError, make_targets
from settings import PROJECT, AlertsSettings, SettingsError, load_raw, parse_settings
from tests.monitoring.alerts.servers import MailServer, Service, http_service, mail_server
from tests.waiting import DEADLINE_S

TOKEN = "123456:AAE-canary_of_the_telegram_token"
DISCORD = "canary-of-the-discord-token"
HOOK = "canary-of-the-webhook-path"
PASSWORD = "canary-of-the-mail-password"
CANARIES = (TOKEN, DISCORD, HOOK, PASSWORD)


class Harness:
    """All four targets on loopback, and an ``.env`` that names them."""

    def __init__(self, http: Service, mail: MailServer, directory: Path) -> None:
        self.http = http
        self.mail = mail
        self.env_file = directory / ".env"
        self.env_file.write_text(
            f"TG_TOKEN={TOKEN}\nDISCORD={http.url}/api/webhooks/77/{DISCORD}\n"
            f"HOOK={http.url}/{HOOK}?key=value\nMAIL_PASSWORD={PASSWORD}\n"
        )
        self.raw = {
            "telegram": {"token_env": "TG_TOKEN", "chat_id": "-100200", "api_url": http.url},
            "discord_env": "DISCORD",
            "webhook_env": "HOOK",
            "mail": {
                "server": "127.0.0.1",
                "port": mail.port,
                "security": "none",
                "sender": "bot@example.org",
                "to": ["me@example.org"],
                "user": "bot",
                "password_env": "MAIL_PASSWORD",
            },
        }

    def settings(self) -> AlertsSettings:
        return alerts_of(self.raw)

    def config(self, directory: Path) -> Path:
        path = directory / "config.yaml"
        path.write_text(yaml.safe_dump({**load_raw(PROJECT / "config.yaml"), "alerts": self.raw}))
        return path


def alerts_of(raw: object) -> AlertsSettings:
    return parse_settings({**load_raw(PROJECT / "config.yaml"), "alerts": raw}, "test").alerts


def an_alert(text: str = "pair btc stands <naked> & alone", state: State = State.RAISED) -> Alert:
    condition = Condition("naked", "naked.btc", Severity.CRITICAL, text)
    return Alert(Message(state, condition, 4.2, 0), time.time(), "demo", "live")


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with ExitStack() as stack:
        http = stack.enter_context(http_service())
        mail = stack.enter_context(mail_server("bot", PASSWORD))
        yield Harness(http, mail, tmp_path)


def test_every_target_takes_an_alert_in_its_own_shape(harness: Harness) -> None:
    """Telegram, Discord, webhook and mail are told the same."""
    for target in make_targets(harness.settings(), harness.env_file):
        target.send([an_alert(), an_alert("all is well", State.RESOLVED)], dropped=3)

    by_path = {taken.path: taken.body for taken in harness.http.taken}
    telegram = by_path[f"/bot{TOKEN}/sendMessage"]
    assert str(telegram["chat_id"]) == "-100200"
    assert "&lt;naked&gt; &amp; alone" in telegram["text"]  # shown as it was written
    discord = json.dumps(by_path[f"/api/webhooks/77/{DISCORD}"])
    assert "<naked> & alone" in discord
    webhook = by_path[f"/{HOOK}?key=value"]
    raised, resolved = webhook["alerts"]
    assert (raised["state"], raised["severity"], raised["key"]) == ("raised", "critical", "naked.btc")
    assert (resolved["state"], resolved["held_s"], webhook["dropped"]) == ("resolved", 4.2, 3)
    assert webhook["title"] == "Tandem demo (live): CRITICAL naked.btc and 1 more"
    (mail,) = harness.mail.mails
    assert (mail.sender, mail.recipients) == ("bot@example.org", ("me@example.org",))
    assert "Tandem demo (live): CRITICAL" in mail.text


def test_a_failure_says_why_and_holds_no_secret(harness: Harness) -> None:
    """Every way in which a service can refuse, one that repeats our token included."""
    harness.http.description = f"no bot {TOKEN} here"
    targets = make_targets(harness.settings(), harness.env_file)
    logged = []
    for status in (401, 404, 500):
        harness.http.status = status
        for target in targets:
            if target.name != "mail":
                with pytest.raises(SendError) as failure:
                    target.send([an_alert()])
                assert str(status) in str(failure.value)
                logged.append(f"{failure.value!r} {target!r}")
    harness.mail.credentials = "of somebody else"
    with pytest.raises(SendError) as refused:
        next(target for target in targets if target.name == "mail").send([an_alert()])
    logged.append(repr(refused.value))
    assert not [canary for canary in CANARIES for line in logged if canary in line]


def test_a_service_that_is_not_there_is_a_failure_without_its_url(tmp_path: Path) -> None:
    with http_service() as http, mail_server("bot", PASSWORD) as mail:
        harness = Harness(http, mail, tmp_path)
    for target in make_targets(harness.settings(), harness.env_file):
        with pytest.raises(SendError) as failure:
            target.send([an_alert()])
        assert not [canary for canary in CANARIES if canary in str(failure.value)]


def test_a_missing_or_malformed_secret_is_named_and_not_shown(harness: Harness) -> None:
    harness.env_file.write_text(
        f"TG_TOKEN=no-token\nDISCORD=https://x/{DISCORD}\nHOOK=http://example.org/{HOOK}"
    )
    with pytest.raises(SettingsError) as missing:
        make_targets(harness.settings(), harness.env_file)
    assert [problem.key for problem in missing.value.problems] == ["MAIL_PASSWORD"]
    del harness.raw["mail"]
    with pytest.raises(SettingsError) as malformed:
        make_targets(harness.settings(), harness.env_file)
    assert [problem.key for problem in malformed.value.problems] == ["TG_TOKEN", "DISCORD", "HOOK"]
    assert not [word for word in ("no-token", DISCORD, HOOK) if word in str(malformed.value)]


@pytest.mark.parametrize(
    "raw",
    [
        {"webhook_env": f"https://example.org/{HOOK}"},
        {"telegram": {"token_env": TOKEN, "chat_id": "1"}},
        {"telegram": {"token": TOKEN, "token_env": "TG", "chat_id": "1"}},
        {"mail": {"server": "mail.example.org", "sender": "a@b", "to": ["c@d"], "password_env": PASSWORD}},
    ],
)
def test_a_secret_written_into_the_configuration_is_refused_and_not_repeated(raw: object) -> None:
    """The refusal goes into a log that others may read."""
    with pytest.raises(SettingsError) as refused:
        alerts_of(raw)
    assert not [canary for canary in CANARIES if canary in str(refused.value)]


@pytest.mark.parametrize(
    ("raw", "logged"),
    [
        ({"on": ["naked", "sleep"]}, "'sleep' is no kind of alert"),
        (
            {"mail": {"server": "mail.example.org", "security": "none", "sender": "a@b", "to": ["c@d"]}},
            "for a mail server on this machine",
        ),
        ({"mail": {"server": "127.0.0.1", "sender": "a@b", "to": ["c@d"], "user": "me"}}, "belong together"),
        ({"telegram": {"token_env": "TG", "chat_id": "1", "api_url": "http://a.b"}}, "must begin with https"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(raw: object, logged: str) -> None:
    with pytest.raises(SettingsError, match=logged):
        alerts_of(raw)


def test_the_test_command_says_which_target_does_not_take_it(harness: Harness, tmp_path: Path) -> None:
    """Before one relies on them. Exit code 1, and no secret on either stream, whatever a library says."""
    harness.http.header = "no header at all"
    harness.mail.credentials = "of somebody else"
    command = [sys.executable, "-m", "tools", "alerts", "--config", str(harness.config(tmp_path)), "--test"]
    ended = subprocess.run(
        [*command, "--env-file", str(harness.env_file)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    lines = dict(line.split(None, 1) for line in ended.stdout.splitlines())
    assert ended.returncode == 1, ended.stderr
    assert {name: logged.partition(":")[0] for name, logged in lines.items()} == {
        **dict.fromkeys(("telegram", "discord", "webhook"), "took it"),
        "mail": "failed",
    }
    assert ended.stderr == ""
    assert not [canary for canary in CANARIES if canary in ended.stdout]
    assert len(harness.http.taken) == 3
