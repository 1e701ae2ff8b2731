"""What holds for every test."""

from __future__ import annotations

import signal

# A shell that runs us in the background has SIGINT ignored, and children inherit that: the instances
# under test would never hear the Ctrl-C they are stopped by.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
