"""What holds for every test."""

from __future__ import annotations

import resource
import signal

import pytest
from hypothesis import HealthCheck, settings

from observability import redaction

# A shell that runs us in the background or under nohup has these ignored, and children inherit that:
# the instances under test would never hear the Ctrl-C they are stopped by.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes is the machine's affair.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Memory attached by a test stays attached until its process ends: a thousand descriptors are too few.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_hard, _hard))


@pytest.fixture(autouse=True)
def secrets_of_one_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test registers as a secret is masked in no other's texts."""
    monkeypatch.setattr(redaction, "_values", [])
    monkeypatch.setattr(redaction, "_named", {})
    monkeypatch.setattr(redaction, "_heads", None)
    monkeypatch.setattr(redaction, "_long_heads", None)
    redaction.clean_id.cache_clear()
