"""Checks that this user may write where the configuration says, before anything is made there.

Files of two owners under one directory block each other: what a start as root has made, a later start as
the user cannot write.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from persistence.journal import journal_directory
from settings import PROJECT, Problem, Settings

_KEY = "persistence.var_dir"


def ownership_problems(settings: Settings) -> list[Problem]:
    """Files of another user where an instance of these settings keeps its own."""
    var_dir = PROJECT / settings.persistence.var_dir
    there = next(path for path in (var_dir, *var_dir.parents) if path.exists())
    me, owner = _user(os.geteuid()), _user(there.stat().st_uid)
    if os.geteuid() == 0 and owner != me:
        text = f"{there} belongs to {owner}, and you are root: run as {owner}, without sudo"
        return [Problem(_KEY, str(var_dir), text)]
    if not there.is_dir():
        return [Problem(_KEY, str(var_dir), f"{there} is a file, and a folder has to be there: move it away")]
    if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        text = (
            f"{there} belongs to {owner}, and {me} may not write there: run as {owner}, or name another one"
        )
        return [Problem(_KEY, str(var_dir), text)]
    ours = (
        var_dir / f"epoch-{settings.bot_id}",
        var_dir / f"instance-{settings.bot_id}.lock",
        journal_directory(settings),
        var_dir / "postgres",
    )
    foreign = [path for path in ours if path.exists() and not _is_usable(path)]
    if not foreign:
        return []
    owner = _user(foreign[0].stat().st_uid)
    shown = ", ".join(map(str, foreign))
    text = f"{owner} has made {shown}: run as {owner}, or once chown -R {me} {var_dir}"
    return [Problem(_KEY, str(var_dir), text)]


def _is_usable(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK, effective_ids=True)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
