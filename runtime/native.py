"""Builds the compiled twins of hot Python code, where this machine can: ``python -m runtime.native``.

Each ``_name.c`` beside a module becomes an extension of that package. Needs a C compiler and Python's
headers and nothing else; without them Tandem runs the Python code, which does the same, slower.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = tuple(sorted(PROJECT.glob("venues/*/_*.c")))


def extension_of(source: Path) -> Path:
    """Where the extension of a source file lies for this interpreter."""
    return source.with_name(source.stem + sysconfig.get_config_var("EXT_SUFFIX"))


def build(source: Path, into: Path, with_compiler: str) -> None:
    """Compile one source file. Raises CalledProcessError with the compiler's output."""
    # Beside the target and then renamed: a process that loads it meanwhile sees the old one or the new.
    unfinished = into.with_suffix(f".{os.getpid()}")
    command = [
        *(with_compiler, "-O2", "-fPIC", "-shared", "-Wall", "-Wextra"),
        f"-I{sysconfig.get_path('include')}",
        *("-o", str(unfinished), str(source)),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    unfinished.rename(into)


def missing() -> str:
    """What this machine lacks for building; empty if nothing."""
    if compiler() is None:
        return "no C compiler (install gcc, or name one in CC)"
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if not headers.exists():
        return f"no {headers} (install python3-dev)"
    return ""


def compiler() -> str | None:
    """The C compiler of this machine: what CC names, or cc, or gcc."""
    return shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")


def main() -> int:
    """Build everything; 0 also where it cannot be done, 1 only where the compiler refuses our code."""
    why_not = missing()
    if why_not:
        print(f"tandem: the compiled parts are not built: {why_not}; the Python ones serve", file=sys.stderr)
        return 0
    found = compiler()
    assert found is not None
    for source in SOURCES:
        try:
            build(source, extension_of(source), found)
        except subprocess.CalledProcessError as error:
            print(
                f"tandem: {source.name} does not compile; the Python twin serves:\n{error.stderr}",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
