"""A file of secrets that cannot be used is named, with what is wrong and what helps; never what it holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import supervisor
from configuration.env_file import EnvFileError, exposure_of, find_secrets, read_env_file
from events.event import Event
from monitoring.alerts.targets import make_targets
from settings import PROJECT, load_raw, parse_settings
from supervision import boot
from tools.__main__ import main as tools

SECRET = "hunter2-€"
UNUSABLE = {
    "latin1": ("# für Jürgen\nKEY=hunter2\n".encode("iso8859-1"), "is not UTF-8 (line 1): save it as UTF-8"),
    "latin1 below": (b"KEY=hunter2\nB=\xe9\n", "is not UTF-8 (line 2): save it as UTF-8"),
    "utf-16": ("KEY=hunter2\n".encode("utf-16"), "is UTF-16"),
    "utf-16 unmarked": ("KEY=hunter2\n".encode("utf-16-le"), "is UTF-16"),
    "utf-32": ("KEY=hunter2\n".encode("utf-32"), "is UTF-16, or no text: save it as UTF-8"),
    "no assignment": (b"KEY=a\nhunter2 on its own\n", "line 2 is not NAME=value"),
}


@pytest.fixture(params=UNUSABLE)
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    content, logged = UNUSABLE[request.param]
    path = tmp_path / "keys.env"
    path.write_bytes(content)
    return path, logged


def test_what_cannot_be_read_says_why_and_holds_nothing_of_it(unusable: tuple[Path, str]) -> None:
    path, logged = unusable

    with pytest.raises(EnvFileError) as raised:
        read_env_file(path)

    assert logged in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_utf8_is_read_with_and_without_a_byte_order_mark(mark: bytes, tmp_path: Path) -> None:
    path = tmp_path / "keys.env"
    path.write_bytes(mark + f"KEY='{SECRET}'\n# ünïcode\nexport B=2\nEMPTY=\nLONE\n".encode())

    assert read_env_file(path) == {"KEY": SECRET, "B": "2", "EMPTY": ""}


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_env_file(tmp_path / "none.env") == {}
    assert read_env_file(Path("/dev/null")) == {}


def test_a_directory_a_pipe_and_a_name_that_is_none_are_refused(tmp_path: Path) -> None:
    """A pipe is read once, and by several processes."""
    os.mkfifo(tmp_path / "pipe")
    for path, logged in (
        (tmp_path, "is no file"),
        (tmp_path / "pipe", "is no file"),
        (Path("a\0b"), "cannot be"),
    ):
        with pytest.raises(EnvFileError, match=logged):
            read_env_file(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_says_who_must_own_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.env"
    path.write_text("KEY=1\n")
    path.chmod(0o000)

    with pytest.raises(EnvFileError, match="chown"):
        read_env_file(path)


def test_the_file_is_not_needed_where_the_environment_has_everything(
    monkeypatch: pytest.MonkeyPatch, unusable: tuple[Path, str]
) -> None:
    """Whoever gives keys by the environment can close positions whatever lies about."""
    monkeypatch.setenv("KEY", SECRET)

    assert find_secrets(("KEY",), unusable[0]) == {"KEY": SECRET}


def test_an_environment_that_is_not_utf8_is_text_that_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KEY", os.fsdecode(b"caf\xe9\n"))

    assert find_secrets(("KEY",), tmp_path / "none") == {"KEY": "caf\ufffd"}


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """A file in directories that everybody may enter."""
    if any(not parent.stat().st_mode & 0o001 for parent in [tmp_path, *tmp_path.parents]):
        import tempfile

        tmp_path = Path(tempfile.mkdtemp(dir="/var/tmp"))
        tmp_path.chmod(0o755)
    path = tmp_path / "keys.env"
    path.write_text("KEY=1\n")
    return path


@pytest.mark.parametrize(
    ("mode", "is_exposed"), [(0o600, False), (0o400, False), (0o644, True), (0o602, True)]
)
def test_a_file_that_everybody_can_reach_is_exposed(open_to_all: Path, mode: int, is_exposed: bool) -> None:
    open_to_all.chmod(mode)

    assert bool(exposure_of(open_to_all)) is is_exposed
    assert ("chmod 600" in exposure_of(open_to_all)) is is_exposed


def test_a_file_behind_a_closed_directory_is_not_exposed(open_to_all: Path) -> None:
    open_to_all.chmod(0o644)
    open_to_all.parent.chmod(0o700)

    assert exposure_of(open_to_all) == ""
    assert exposure_of(open_to_all.parent / "none") == ""
    assert exposure_of(Path("/dev/null")) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_exposed_to_him(open_to_all: Path) -> None:
    open_to_all.chmod(0o600)
    os.chown(open_to_all, 12_345, 12_345)

    assert "belongs to 12345" in exposure_of(open_to_all)


def a_config(tmp_path: Path, **changes: str) -> Path:
    text = (PROJECT / "config.yaml").read_text().replace("var_dir: var ", f"var_dir: {tmp_path / 'var'} ")
    for key, value in changes.items():
        text = text.replace(f"\n{key}: ", f"\n{key}: {value} #", 1)
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("command", [["kill"], ["reconcile"], ["doctor", "--offline"], ["alerts", "--test"]])
def test_every_tool_that_reads_keys_says_the_same(
    command: list[str], unusable: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, logged = unusable
    config = a_config(tmp_path)
    with config.open("a") as file:
        file.write("alerts: {webhook_env: CASE_WEBHOOK}\n")

    code = tools([command[0], "--config", str(config), "--env-file", str(path), *command[1:]])

    shown = " ".join("".join(capfd.readouterr()).split())
    assert code == 2
    assert str(path) in shown
    assert logged in shown
    assert "hunter2" not in shown


class Heard:
    """What the supervisor reports before it has a run."""

    def __init__(self, *_: object, **__: object) -> None:
        self.events = heard
        heard.clear()

    def report(self, event: Event) -> bool:
        heard.append(event)
        return True


heard: list[Event] = []


def test_the_supervisor_says_it_as_config_error(
    unusable: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, logged = unusable
    monkeypatch.setattr(boot, "Reporter", Heard)

    code = supervisor.main(["--config", str(a_config(tmp_path)), "--env-file", str(path), "--check"])

    assert (code, [event.name() for event in heard]) == (2, ["config_error"])
    assert f"{path} {logged}" in str(heard[0])


@pytest.mark.parametrize(("mode", "is_refused"), [("sim", False), ("live", True)])
def test_an_exposed_file_is_refused_in_live(
    mode: str, is_refused: bool, open_to_all: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all.chmod(0o644)
    monkeypatch.setattr(boot, "Reporter", Heard)

    words = ["--config", str(a_config(tmp_path, mode=mode)), "--env-file", str(open_to_all), "--check"]
    supervisor.main([*words, "--live"] if mode == "live" else words)

    assert any("can be read or changed by everybody" in str(event) for event in heard) is is_refused


def test_alerts_read_their_secrets_by_the_same_rules(tmp_path: Path) -> None:
    (tmp_path / "keys.env").write_bytes("\ufeffCASE_WEBHOOK=https://127.0.0.1:9/x-long-enough\n".encode())
    config = a_config(tmp_path)
    with config.open("a") as file:
        file.write("alerts: {webhook_env: CASE_WEBHOOK, on: [naked, halted]}\n")
    settings = parse_settings(load_raw(config), "config.yaml")

    assert settings.alerts.on == ("naked", "halted")
    assert [target.name for target in make_targets(settings.alerts, tmp_path / "keys.env")] == ["webhook"]
