"""The machine against the configuration: cores, isolation, governor, permissions, clock.

Nothing here needs root. What a machine does not show (a virtual one has no governor) is reported and is no
more. Sources: Linux kernel documentation, "kernel-parameters" (isolcpus, nohz_full), "cpufreq",
"PM Quality of Service"; adjtimex(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections import Counter
from pathlib import Path
from typing import Final

from runtime.tuning import DMA_LATENCY
from settings import PROCESSES, Settings
from tools.doctor.finding import Finding, ok, problem, warning

_ROOT: Final = Path("/")
_FILES_MIN: Final = 1_024
_ERROR_S_MAX: Final = 0.25  # of the clock, by the kernel's own account
_TIME_ERROR: Final = 5
_STA_UNSYNC: Final = 0x40


def look_at_host(settings: Settings, root: Path = _ROOT) -> list[Finding]:
    """``root``: where /sys is found, another one in tests."""
    return [
        *_cores(settings),
        _isolation(settings, root),
        _governor(root),
        *_permissions(settings),
        clock(*_kernel_clock()),
    ]


def _processes(settings: Settings) -> list[str]:
    """Processes of an instance of these settings."""
    feeds = [f"feed-{venue}" for venue in settings.venue_names]
    others = [name for name in PROCESSES if name not in ("feed", "simulator", "alerts")]
    return [*feeds, *others, *(["simulator"] if settings.mode == "sim" else [])]


def _pins(settings: Settings) -> dict[str, int]:
    pins = {name: settings.pinned_core(name) for name in _processes(settings)}
    return {name: core for name, core in pins.items() if core is not None}


def _cores(settings: Settings) -> list[Finding]:
    allowed, pins = os.sched_getaffinity(0), _pins(settings)
    remedy = "correct runtime.pin"
    findings = [
        warning("cores", f"{name} is pinned to core {core}, which is not there: it will run unpinned", remedy)
        for name, core in pins.items()
        if core not in allowed
    ]
    shared = [core for core, count in Counter(pins.values()).items() if count > 1]
    for core in shared:
        names = ", ".join(name for name, own in pins.items() if own == core)
        findings.append(warning("cores", f"core {core} is shared by {names}", "a core each, or none at all"))
    for name in _processes(settings):
        if settings.idle_strategy(name) == "spin" and (name not in pins or pins[name] in shared):
            text = f"{name} spins without a core to itself"
            findings.append(warning("cores", text, "pin it to a core of its own, or let it park"))
    spinning = sum(settings.idle_strategy(name) == "spin" for name in _processes(settings))
    if spinning >= len(allowed):
        text = f"{spinning} processes spin on {len(allowed)} cores: other programs get none"
        findings.append(problem("cores", text, "let them park (runtime.idle)"))
    if findings:
        return findings
    shown = ", ".join(f"{name} on {core}" for name, core in pins.items()) or "nothing pinned"
    return [ok("cores", f"{len(allowed)} allowed here; {shown}")]


def _isolation(settings: Settings, root: Path) -> Finding:
    directory = root / "sys/devices/system/cpu"
    isolated, tickless = (_core_list(directory / name) for name in ("isolated", "nohz_full"))
    found = f"isolated: {_shown(isolated)}; without timer tick: {_shown(tickless)}"
    disturbed = sorted(set(_pins(settings).values()) - (isolated & tickless))
    if disturbed:
        cores = ",".join(map(str, disturbed))
        remedy = f"boot with isolcpus={cores} nohz_full={cores} rcu_nocbs={cores} for steadier latencies"
        return warning("isolation", f"pinned cores {cores} are shared with all programs ({found})", remedy)
    return ok("isolation", found)


def _governor(root: Path) -> Finding:
    paths = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    governors = {path.read_text().strip() for path in paths}
    if not governors:
        return ok("governor", "none is shown: a virtual machine, or a fixed frequency")
    if governors != {"performance"}:
        text = f"{', '.join(sorted(governors))}: cores begin slow after a pause"
        return warning("governor", text, "cpupower frequency-set -g performance")
    return ok("governor", "performance")


def _permissions(settings: Settings) -> list[Finding]:
    runtime, findings = settings.runtime, []
    if runtime.keep_cores_awake and not os.access(DMA_LATENCY, os.W_OK):
        text = f"runtime.keep_cores_awake: {DMA_LATENCY} cannot be written"
        findings.append(warning("permissions", text, "allow it to this user, or switch it off"))
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if runtime.lock_memory and locked != resource.RLIM_INFINITY and os.geteuid() != 0:
        text = f"runtime.lock_memory: at most {locked >> 10} KiB may be locked"
        findings.append(warning("permissions", text, "ulimit -l unlimited, or LimitMEMLOCK=infinity"))
    raised = {name: value for name in _processes(settings) if (value := settings.nice_value(name) or 0) < 0}
    # RLIMIT_NICE counts the other way round: 20 minus the lowest nice value allowed.
    lowest = 20 - min(resource.getrlimit(resource.RLIMIT_NICE)[0], 40)
    if raised and os.geteuid() != 0 and min(raised.values()) < lowest:
        text = f"runtime.nice below {lowest} is refused here: {', '.join(raised)}"
        findings.append(warning("permissions", text, "ulimit -e 40, LimitNICE=-20, or give CAP_SYS_NICE"))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < _FILES_MIN:
        text = f"only {files} files may be open at a time"
        findings.append(warning("permissions", text, f"ulimit -n {_FILES_MIN}, or LimitNOFILE={_FILES_MIN}"))
    return findings or [ok("permissions", f"nothing asked for that is refused; {files} files may be open")]


def clock(is_synchronised: bool, error_s: float) -> Finding:
    """What the kernel says of its own clock; venues refuse orders that are signed in another time."""
    if not is_synchronised:
        text = "the kernel does not know its clock to be synchronised"
        return warning("clock", text, "start chrony or systemd-timesyncd; in a container look at the host's")
    if error_s > _ERROR_S_MAX:
        text = f"synchronised, but it may be off by {error_s:.2f} s"
        return warning("clock", text, "give the time service nearer servers, or more time")
    return ok("clock", f"synchronised, off by {error_s * 1e3:.1f} ms at most")


class _Timex(ctypes.Structure):
    """``struct timex`` of <sys/timex.h>, as far as it is read; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def _kernel_clock() -> tuple[bool, float]:
    """Whether the clock is kept synchronous, and by how much it may be off in seconds. Only reads."""
    clock = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(clock))
    is_synchronised = state not in (-1, _TIME_ERROR) and not clock.status & _STA_UNSYNC
    return is_synchronised, clock.maxerror / 1e6


def _core_list(path: Path) -> frozenset[int]:
    """``1-3,5`` of a file of /sys; empty where there is none."""
    try:
        text = path.read_text().strip()
    except OSError:
        return frozenset()
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit():  # "(null)" of a kernel without the feature is none
            cores |= set(range(int(first), int(last or first) + 1))
    return frozenset(cores)


def _shown(cores: frozenset[int]) -> str:
    return ",".join(map(str, sorted(cores))) or "none"
