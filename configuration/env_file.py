"""Reads the file of secrets (``.env``) strictly. Errors name the problem and never quote the content.

One assignment a line, as python-dotenv reads them. UTF-8, with or without a byte order mark: in another
encoding a key would have other characters.
"""

from __future__ import annotations

import grp
import io
import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from observability.plain_text import plain


class EnvFileError(Exception):
    """The file cannot be used. The text says what is wrong and what helps; it holds nothing of the file."""


def find_secrets(names: Sequence[str], path: Path) -> dict[str, str]:
    """Secrets by name from the environment, else from the file; absent and empty ones are left out.

    The file is read where the environment lacks one of them. Raises EnvFileError.
    """
    is_file_needed = not names or not all(os.environ.get(name) for name in names)
    from_file = read_env_file(path) if is_file_needed else {}
    found = {name: plain(os.environ.get(name) or from_file.get(name) or "").strip() for name in names}
    return {name: value for name, value in found.items() if value}


def read_env_file(path: Path) -> dict[str, str]:
    """What the file assigns; nothing where there is no file. Raises EnvFileError."""
    try:
        status = path.stat()
        if os.path.samestat(status, os.stat(os.devnull)):
            return {}  # how one says that there is none
        if not stat.S_ISREG(status.st_mode):
            raise EnvFileError("is no file: every process reads it anew; name a file with --env-file")
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except PermissionError as error:
        raise EnvFileError(f"cannot be read ({error.strerror}): {_who_may(path)}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise EnvFileError(f"cannot be read ({why}): name another with --env-file") from None
    text = _decoded(content)
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            line = binding.original.line
            raise EnvFileError(f"line {line} is not NAME=value: correct it, or begin it with #")
    found = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in found.items() if value is not None}


def _decoded(content: bytes) -> str:
    """The text of the file. What is not UTF-8 has a line that can be named, or is another encoding at all."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise EnvFileError("is UTF-16, or no text: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise EnvFileError(f"is not UTF-8 (line {line}): save it as UTF-8") from None


def _who_may(path: Path) -> str:
    """Who has to own the file, for the remedy."""
    own = _user(os.geteuid())
    try:
        owner = _user(path.stat().st_uid)
    except OSError:
        return f"let the user {own} enter {path.parent}"
    return f"it belongs to {owner}; give it to the user who runs Tandem: chown {own} {path}; chmod 600 {path}"


def exposure_of(path: Path) -> str:
    """Which others besides its owner, this user and root can read or change the file, and the remedy; or "".

    A file in a directory that others may not enter is out of their reach, whatever its own mode.
    """
    try:
        path = path.resolve(strict=True)
        status = path.stat()
        parents = [parent.stat().st_mode for parent in path.parents]
    except OSError:
        return ""  # reading it says more
    if not stat.S_ISREG(status.st_mode):
        return ""
    if status.st_uid not in (0, os.geteuid()):
        owner, own = _user(status.st_uid), _user(os.geteuid())
        return f"belongs to {owner}, who can read it: run as {owner}, or chown {own} {path}"
    mode = stat.S_IMODE(status.st_mode)
    remedy = f"chmod 600 {path}"
    if mode & 0o006 and all(parent & 0o001 for parent in parents):
        return f"can be read or changed by everybody on this machine (mode {mode:03o}): {remedy}"
    if mode & 0o060 and all(parent & 0o011 for parent in parents) and (others := _others_in(status.st_gid)):
        return f"can be read or changed by {', '.join(others)} (mode {mode:03o}): {remedy}"
    return ""


def _others_in(gid: int) -> list[str]:
    """Members of a group other than this user and root."""
    try:
        members = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        members = set()
    members |= {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid}
    return sorted(members - {_user(os.geteuid()), "root"})


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
