"""The listener that ``Connection`` derives from: picows calls it with every frame.

The compiled one (``_listener.c``) takes usual frames with the ``Feed`` that was lent to it and gives the
others to ``on_frame``. The one in Python gives it all of them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from picows import WSFrame, WSListener, WSTransport

from runtime.native import LISTENER, NotNative, load_extension


class PythonListener(WSListener):
    """Every frame is Python's."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows with every frame; the time it was received is taken first."""
        self.on_frame(frame, time.monotonic_ns())

    def on_frame(self, frame: WSFrame, recv_mono_ns: int) -> None:
        """Take one frame."""
        raise NotImplementedError

    def lend(self, address: int) -> None:
        """Take the usual frames with the ``Feed`` that lies there; 0: with none."""
        assert not address, "only the compiled listener takes frames itself"


def _listener() -> tuple[type[PythonListener], str]:
    """The listener, and why it is not the compiled one."""
    try:
        compiled: type[PythonListener] = load_extension(LISTENER).Listener
    except NotNative as error:
        return PythonListener, str(error)
    return compiled, ""


if TYPE_CHECKING:
    Listener = PythonListener
    not_compiled_because = ""
else:
    Listener, not_compiled_because = _listener()
