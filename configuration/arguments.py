"""Parses arguments of the command line relative to where they were typed."""

from __future__ import annotations

import argparse
from pathlib import Path


def path_argument(text: str) -> Path:
    """A path, absolute from here on: processes that are started with it run in another directory."""
    path = Path(text)
    try:
        return path if path.is_absolute() else Path.cwd() / path
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is relative to a directory that is gone ({error.strerror}): give an absolute path"
        ) from None
