"""``make sanitize``: the compiled parts under AddressSanitizer and UBSan, by their tests against Python.

    python -m verification.native.sanitize [TEST ...]

A write past an array's end is put into the C first and must be found: otherwise a clean run shows nothing.
Exit code 1 if anything else is found, or a test fails; 2 where the compiler has no sanitizer.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime import native
from verification.native.project_copy import TESTS, build, project_copy, replace_once, run_tests

_FLAGS: Final = "-g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
_REPORTS: Final = "report"
_REPORT_LINES: Final = 40
OVERRUN: Final = (
    "detector/_decide.c",
    "for (int which = 0; which < 2; which++) {\n        Uncertain reason",
    "for (int which = 0; which <= 2; which++) {\n        Uncertain reason",
)


def sanitizing(directory: Path, compiler: str) -> Mapping[str, str]:
    """What makes a process build with sanitizers, and bear what was built so. Raises LookupError."""
    runtime = _library_of(compiler, "libasan.so")
    if not runtime.is_absolute():
        raise LookupError(f"{compiler} has no AddressSanitizer (install gcc, and name it in CC)")
    wrapper = directory / "cc-sanitizing"
    # Preloaded is what it builds, not itself.
    wrapper.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {compiler} {_FLAGS} "$@"\n')
    wrapper.chmod(0o755)
    reports = directory / _REPORTS
    return {
        "CC": str(wrapper),
        # It looks up at start how C++ throws, which a package's extension does that is loaded later.
        "LD_PRELOAD": f"{runtime} {_library_of(compiler, 'libstdc++.so.6')}",
        # Into files: a test has standard error for itself. Python itself ends with leaks.
        "ASAN_OPTIONS": f"log_path={reports}:detect_leaks=0:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": f"log_path={reports}:print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # each array of ours lies by itself, with forbidden bytes around it
    }


def _library_of(compiler: str, name: str) -> Path:
    """Where the compiler has a library; the bare name where it has none."""
    command = [compiler, f"-print-file-name={name}"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def main() -> int:
    compiler = native.compiler()
    if compiler is None:
        print(native.no_compiler(), file=sys.stderr)
        return 2
    with project_copy() as project:
        try:
            environment = sanitizing(project.parent, compiler)
        except LookupError as error:
            print(error, file=sys.stderr)
            return 2
        build(project, environment)
        clean = run_tests(project, sys.argv[1:] or TESTS, environment)
        found = taken_reports(project.parent)
        replace_once(project, *OVERRUN)
        run_tests(project, TESTS[:1], environment)
        is_seen = bool(taken_reports(project.parent))
    if clean.returncode or found:
        print(clean.stdout, clean.stderr, *found, sep="\n")
    print(f"sanitized: {(clean.stdout.strip() or 'nothing ran').splitlines()[-1]}; reports: {len(found)}")
    print(f"an overrun put in is {'found' if is_seen else 'NOT FOUND: this run shows nothing'}")
    return int(bool(clean.returncode or found or not is_seen))


def taken_reports(directory: Path) -> list[str]:
    """What the sanitizers have written since the last call."""
    paths = sorted(directory.glob(f"{_REPORTS}.*"))
    found = ["\n".join(path.read_text(errors="replace").splitlines()[:_REPORT_LINES]) for path in paths]
    for path in paths:
        path.unlink()
    return found


if __name__ == "__main__":
    sys.exit(main())
