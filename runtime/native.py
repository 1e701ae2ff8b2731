"""Builds the compiled twins of hot Python code, where this machine can: ``python -m runtime.native``.

Two kinds. An extension (``venues/*/_name.c``) is a module of its package and needs a C compiler and Python's
headers. A library needs a compiler alone: it is given addresses of mapped memory and knows no Python. Without
either Tandem runs the Python code, which does the same, slower.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from shm.native_layout import difference

PROJECT: Final = Path(__file__).resolve().parents[1]
_FLAGS: Final = (
    *("-O2", "-std=gnu11", "-fPIC", "-shared", "-Wall", "-Wextra"),
    "-ffp-contract=off",  # a product and a sum in one would round once where Python rounds twice
)
# What every source of ours needs of a compiler's machine.
_PROBE: Final = """#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
int64_t probe(void) { return (int64_t)strlen("") + getpid(); }
"""
SOURCES: Final = tuple(sorted(PROJECT.glob("venues/*/_*.c")))


class Library(NamedTuple):
    """A plain shared library: its sources, whatever they include, and where it is built."""

    part: str  # what it is the twin of
    sources: tuple[Path, ...]
    headers: tuple[Path, ...]
    path: Path

    def digest(self) -> str:
        """Of all it is built from, and how: another one was built from other sources, or otherwise."""
        content = blake2b(" ".join(_FLAGS).encode(), digest_size=16)
        for file in (*self.sources, *self.headers):
            content.update(file.read_bytes())
        return content.hexdigest()


DETECTOR: Final = Library(
    "detector",
    tuple(sorted((PROJECT / "detector").glob("_*.c"))),
    (*sorted((PROJECT / "shm").glob("_*.h")), *sorted((PROJECT / "detector").glob("_*.h"))),
    PROJECT / "detector/_core.so",
)
LIBRARIES: Final = (DETECTOR,)


class NotNative(Exception):
    """A compiled part cannot be used; the text says why, and the Python twin serves."""


class _LayoutItem(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_int64))


def load(library: Library, path: Path | None = None) -> ctypes.CDLL:
    """Load a library and hold it against this code. Raises NotNative."""
    path = path or library.path
    if not path.exists():
        raise NotNative(f"{path.name} is not built: {no_compiler() or 'python -m runtime.native'}")
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise NotNative(f"{error}; build it on this machine: python -m runtime.native") from error
    try:
        loaded.core_digest.restype = ctypes.c_char_p
        loaded.core_layout.restype = ctypes.POINTER(_LayoutItem)
        digest = loaded.core_digest().decode()
    except AttributeError as error:
        raise NotNative(f"{path} is no compiled part of Tandem: {error}") from error
    if digest != library.digest():
        raise NotNative(f"{path.name} was built from other sources; build it again: python -m runtime.native")
    differs = difference(_layout(loaded))
    if differs:
        raise NotNative(f"{path.name} has another layout of shared memory: {differs}")
    return loaded


def _layout(loaded: ctypes.CDLL) -> dict[str, int]:
    items, found = loaded.core_layout(), {}
    place = 0
    while (name := items[place].name) is not None:
        found[name.decode()] = items[place].value
        place += 1
    return found


def build_library(library: Library, with_compiler: str) -> None:
    """Compile it and hold it against this code. Raises CalledProcessError with the compiler's words, or
    NotNative."""
    unfinished = library.path.with_suffix(f".{os.getpid()}")
    command = [
        *(with_compiler, *_FLAGS),
        f'-DSOURCE_DIGEST="{library.digest()}"',
        *("-o", str(unfinished), *map(str, library.sources), "-lm"),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        load(library, unfinished)
        unfinished.rename(library.path)
    finally:
        unfinished.unlink(missing_ok=True)


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
    """What this machine lacks for building extensions; empty if nothing."""
    if compiler() is None:
        return no_compiler()
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if not headers.exists():
        return f"no {headers} (install python3-dev)"
    return ""


def no_compiler() -> str:
    """Why nothing can be built; empty where there is a compiler."""
    return "" if compiler() else "no C compiler (install gcc, or name one in CC)"


def _cannot_build(with_compiler: str) -> str:
    """Why this compiler builds nothing here, our code or any; empty where it does."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "probe.c"
        source.write_text(_PROBE)
        command = [with_compiler, *_FLAGS, "-o", str(source.with_suffix(".so")), str(source)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except OSError as error:
            return f"{with_compiler} does not run: {error.strerror}"
        except subprocess.CalledProcessError as error:
            answer = (error.stderr.strip() or f"exit code {error.returncode}").splitlines()[0]
            remedy = "install libc6-dev, or name another one in CC"
            return f"{with_compiler} builds nothing here ({remedy}): {answer}"
    return ""


def compiler() -> str | None:
    """The C compiler of this machine: what CC names, or cc, or gcc."""
    return shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")


def absent() -> Sequence[str]:
    """Compiled parts that are not built."""
    return [
        *(source.name for source in SOURCES if not extension_of(source).exists()),
        *(library.path.name for library in LIBRARIES if not library.path.exists()),
    ]


def main() -> int:
    """Build everything; 0 also where it cannot be done, 1 only where the compiler refuses our code alone."""
    found = compiler()
    no_part = no_compiler() if found is None else _cannot_build(found)
    why_not = no_part or missing()
    if why_not:
        which = "parts are" if no_part else "extensions are"
        print(f"tandem: the compiled {which} not built: {why_not}; the Python ones serve", file=sys.stderr)
    if found is None or no_part:
        return 0
    failed = False
    for library in LIBRARIES:
        try:
            build_library(library, found)
        except subprocess.CalledProcessError as error:
            failed = _refused(library.path.name, error.stderr)
        except NotNative as error:
            failed = _refused(library.path.name, str(error))
    for source in () if why_not else SOURCES:
        try:
            build(source, extension_of(source), found)
        except subprocess.CalledProcessError as error:
            failed = _refused(source.name, error.stderr)
    return int(failed)


def _refused(name: str, why: str) -> bool:
    print(f"tandem: {name} does not compile; the Python twin serves:\n{why}", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
