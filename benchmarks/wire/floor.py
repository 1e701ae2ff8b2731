"""The floor (``benchmarks/floor/``): built where there is a C compiler, and run as a contender.

``floor`` has Tandem's processes and rings, ``floor-one`` is one process. Both write bytes that were rendered
beforehand and decide by one comparison, so no program of that shape is much faster on this machine.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.measure import RESULTS
from benchmarks.wire.contenders import READY_WITHIN_S, NotReady, Ports, Variant, keep_cores_awake
from benchmarks.wire.market import ENTRY_BPS, EXIT_BPS
from runtime.native import compiler
from settings import PROJECT

FLOORS: Final = ("floor", "floor-one")
SOURCES: Final = PROJECT / "benchmarks/floor"
PROGRAM: Final = RESULTS / "floor"
_TLS, _NO_TLS = SOURCES / "tls.c", SOURCES / "tls_none.c"
_FIFO_PRIORITY: Final = 10


def why_not(variant: Variant) -> str:
    """Why a floor cannot run here; empty if it can."""
    if compiler() is None:
        return "no C compiler (install gcc, or name one in CC)"
    if variant.tls and not has_openssl():
        return "no headers of OpenSSL (install libssl-dev)"
    if variant.fifo and not may_be_realtime():
        return "SCHED_FIFO is refused: run as root, or give CAP_SYS_NICE"
    return ""


def has_openssl() -> bool:
    """Whether the compiler finds OpenSSL's headers."""
    return _compile("-fsyntax-only", "-include", "openssl/ssl.h", "-x", "c", os.devnull).returncode == 0


def may_be_realtime() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_FIFO_PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def build(program: Path = PROGRAM) -> Path:
    """The program, compiled if it is older than its sources. Raises NotReady with the compiler's words."""
    newest_s = max(source.stat().st_mtime for source in SOURCES.iterdir())
    if program.exists() and program.stat().st_mtime > newest_s:
        return program
    program.parent.mkdir(exist_ok=True)
    has_tls = has_openssl()
    sources = sorted({*SOURCES.glob("*.c")} - {_NO_TLS if has_tls else _TLS})
    libraries = ("-lssl", "-lcrypto") if has_tls else ()
    unfinished = program.with_suffix(f".{os.getpid()}")
    done = _compile("-o", str(unfinished), *map(str, sources), *libraries)
    if done.returncode != 0:
        raise NotReady(f"the floor does not compile:\n{done.stderr}")
    unfinished.rename(program)
    return program


def _compile(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = compiler()
    assert found is not None
    command = [found, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def run_floor(variant: Variant, ports: Ports, stamps: Path, ca_file: Path | None) -> Iterator[None]:
    """Run it until the context ends; it writes a line of ``stamps`` for each trade."""
    command = [
        str(build()),
        *("--vest-port", str(ports["vest"]), "--paradex-port", str(ports["paradex"])),
        *("--entry-bps", str(ENTRY_BPS), "--exit-bps", str(EXIT_BPS), "--stamps", str(stamps)),
        *(("--ca", str(ca_file)) if ca_file else ()),
        *(("--one",) if variant.contender == "floor-one" else ()),
        *(("--warm-us", str(round(variant.warm_ms * 1_000))) if variant.warm_ms else ()),
        *(("--fifo", str(_FIFO_PRIORITY)) if variant.fifo else ()),
    ]
    with keep_cores_awake(variant.awake):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN_S)
            if not readable or process.stdout.readline().strip() != "ready":
                process.kill()
                raise NotReady(f"{variant.name} did not come up: {process.stderr.read().strip()}")
            yield
        finally:
            process.kill()
            process.wait()
