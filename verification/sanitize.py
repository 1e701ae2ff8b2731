"""``python -m verification.sanitize``: the compiled detector's tests under the sanitizers of gcc.

Address and undefined behaviour are watched, on a copy of the project: what is installed stays as it was built.
Exit code: that of the tests; 2 where this machine has no such compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from runtime import native
from settings import PROJECT

_SANITIZERS: Final = "-fsanitize=address,undefined -fno-sanitize-recover=all -g"
_TESTS: Final = ("tests/detector", "tests/venues/vest/test_depth_twin.py")
_LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv*", "*.so", "__pycache__", "var", ".hypothesis")


def main() -> int:
    """Build, test, and say which sanitizers watched."""
    compiler = native.compiler()
    runtime = "" if compiler is None else _runtime(compiler)
    if not runtime:
        print("tandem: no gcc with libasan here; nothing was watched", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "tandem"
        shutil.copytree(PROJECT, copy, ignore=_LEFT_OUT)
        watching = Path(directory) / "cc"
        watching.write_text(f'#!/bin/sh\nexec {compiler} {_SANITIZERS} "$@"\n')
        watching.chmod(0o755)
        environment = {
            **os.environ,
            "CC": str(watching),
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # the interpreter keeps what it has
        }
        for arguments in (("runtime.native",), ("pytest", "-q", "-p", "no:cacheprovider", *_TESTS)):
            done = subprocess.run([sys.executable, "-m", *arguments], cwd=copy, env=environment, check=False)
            if done.returncode:
                return done.returncode
        if not _is_watched(copy):
            print("tandem: the compiled detector was built without the sanitizers", file=sys.stderr)
            return 1
    return 0


def _runtime(compiler: str) -> str:
    """Where the sanitizer's own library lies; empty if there is none."""
    asked = [compiler, "-print-file-name=libasan.so"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return str(Path(found).resolve()) if os.path.isabs(found) else ""


def _is_watched(copy: Path) -> bool:
    library = copy / native.DETECTOR.path.relative_to(PROJECT)
    return b"__asan_init" in library.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
