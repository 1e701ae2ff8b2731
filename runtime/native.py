"""Builds the compiled twins of hot Python code, where this machine can: ``python -m runtime.native``.

Two kinds. A library needs a C compiler alone: it is given addresses of mapped memory and knows no Python. An
extension is a module of its package and needs Python's headers besides. Without either Tandem runs the Python
code, which does the same, slower.
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
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final, NamedTuple

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


class Part(NamedTuple):
    """A compiled part: its sources, whatever they include, and where it is built."""

    name: str  # what it is the twin of
    sources: tuple[Path, ...]
    headers: tuple[Path, ...]
    path: Path
    is_extension: bool = False

    def digest(self) -> str:
        """Of all it is built from, and how: another one was built from other sources, or otherwise."""
        content = blake2b(" ".join(_FLAGS).encode(), digest_size=16)
        for file in (*self.sources, *self.headers):
            content.update(file.read_bytes())
        return content.hexdigest()


def _headers(*folders: str) -> tuple[Path, ...]:
    return tuple(path for folder in folders for path in sorted((PROJECT / folder).glob("_*.h")))


DETECTOR: Final = Part(
    "detector",
    tuple(sorted((PROJECT / "detector").glob("_*.c"))),
    _headers("shm", "detector"),
    PROJECT / "detector/_core.so",
)
LISTENER: Final = Part(
    "listener",
    (PROJECT / "feeds/_listener.c",),
    _headers("shm", "venues", "feeds"),
    PROJECT / f"feeds/_listener{sysconfig.get_config_var('EXT_SUFFIX')}",
    is_extension=True,
)


def reader(venue: str) -> Part:
    """What reads a venue's usual frames."""
    folder = PROJECT / "venues" / venue
    return Part(f"reader of {venue}", (folder / "_frame.c",), _headers("shm", "venues"), folder / "_frame.so")


PARTS: Final = (
    DETECTOR,
    *(reader(source.parent.name) for source in sorted(PROJECT.glob("venues/*/_frame.c"))),
    LISTENER,
)


_SEAL_SIZE: Final = 16


class NotNative(Exception):
    """A compiled part cannot be used; the text says why, and the Python twin serves."""


class _LayoutItem(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_int64))


def load(part: Part, path: Path | None = None) -> ctypes.CDLL:
    """Load a library and hold it against this code. Raises NotNative."""
    path = _there(part, path)
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise NotNative(f"{error}; build it on this machine: python -m runtime.native") from error
    try:
        loaded.library_digest.restype = ctypes.c_char_p
        loaded.library_layout.restype = ctypes.POINTER(_LayoutItem)
        digest = loaded.library_digest().decode()
    except AttributeError as error:
        raise NotNative(f"{path} is no compiled part of Tandem: {error}") from error
    _compare(part, path, digest)
    differs = difference(_layout(loaded))
    if differs:
        raise NotNative(f"{path.name} has another layout of shared memory: {differs}")
    return loaded


def load_extension(part: Part, path: Path | None = None) -> Any:
    """Import an extension and hold it against this code. Raises NotNative."""
    path = _there(part, path)
    module_name = ".".join((*part.sources[0].relative_to(PROJECT).parent.parts, part.sources[0].stem))
    spec = spec_from_file_location(module_name, path)
    assert spec is not None, "an extension has the interpreter's suffix"
    assert spec.loader is not None, "an extension has the interpreter's suffix"
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        digest = module.digest()
    except Exception as error:
        raise NotNative(f"{error}; build it on this machine: python -m runtime.native") from error
    _compare(part, path, digest)
    return module


def _there(part: Part, path: Path | None) -> Path:
    """The file, where it is whole: one that was cut short would end the process that loads it."""
    path = path or part.path
    try:
        content = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise NotNative(
                f"{path.name} is not built: {_why_not(part) or 'python -m runtime.native'}"
            ) from None
        raise NotNative(f"{path} cannot be read: {error.strerror}") from error
    if content[-_SEAL_SIZE:] != _seal(content[:-_SEAL_SIZE]):
        raise NotNative(f"{path.name} is not as it was built; build it again: python -m runtime.native")
    return path


def _seal(content: bytes) -> bytes:
    """What stands behind a built part: loaders look at what an ELF file's own tables name, and no further."""
    return blake2b(content, digest_size=_SEAL_SIZE, person=b"tandem").digest()


def _compare(part: Part, path: Path, digest: str) -> None:
    try:
        wanted = part.digest()
    except OSError as error:
        raise NotNative(f"{path.name} cannot be compared with its sources: {error}") from error
    if digest != wanted:
        raise NotNative(f"{path.name} was built from other sources; build it again: python -m runtime.native")


def _layout(loaded: ctypes.CDLL) -> dict[str, int]:
    items, found = loaded.library_layout(), {}
    place = 0
    while (name := items[place].name) is not None:
        found[name.decode()] = items[place].value
        place += 1
    return found


def build(part: Part, with_compiler: str) -> None:
    """Compile it and hold it against this code. Raises CalledProcessError with the compiler's words, or
    NotNative."""
    # Beside the target and then renamed: a process that loads it meanwhile sees the old one or the new.
    unfinished = part.path.with_name(f".{os.getpid()}.{part.path.name}")
    command = [
        *(with_compiler, *_FLAGS),
        f'-DSOURCE_DIGEST="{part.digest()}"',
        *((f"-I{sysconfig.get_path('include')}",) if part.is_extension else ()),
        *("-o", str(unfinished), *map(str, part.sources), "-lm"),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        with unfinished.open("ab") as built:
            built.write(_seal(unfinished.read_bytes()))
        (load_extension if part.is_extension else load)(part, unfinished)
        unfinished.rename(part.path)
    finally:
        unfinished.unlink(missing_ok=True)


def _why_not(part: Part) -> str:
    """What this machine lacks for building a part; empty if nothing."""
    return missing() if part.is_extension else no_compiler()


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


def unusable() -> Sequence[str]:
    """Compiled parts that cannot be used, each with its reason."""
    found = []
    for part in PARTS:
        try:
            (load_extension if part.is_extension else load)(part)
        except NotNative as error:
            found.append(f"{part.name}: {error}")
    return found


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
    for part in PARTS:
        if part.is_extension and why_not:
            continue
        try:
            build(part, found)
        except subprocess.CalledProcessError as error:
            failed = _refused(part, error.stderr)
        except NotNative as error:
            failed = _refused(part, str(error))
    return int(failed)


def _refused(part: Part, why: str) -> bool:
    print(f"tandem: the {part.name} does not compile; the Python twin serves:\n{why}", file=sys.stderr)
    return True


if __name__ == "__main__":
    sys.exit(main())
