"""Notifies systemd of the instance's state: ready, a status line, the watchdog's beat, stopping.

systemd names a datagram socket in ``NOTIFY_SOCKET`` and takes lines of ``NAME=value`` there (sd_notify(3)).
That is the whole protocol, so no library: the pure one (``sdnotify``) is unmaintained since 2017 and swallows
every error, ``systemd-python`` needs a compiler and libsystemd's headers.

Every notification leaves from the supervisor's loop, without waiting. A loop that hangs sends nothing, at
start, in operation or while stopping, and so systemd notices.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final, Self

from events.instance import NotifyRefused
from observability.logs import Reporter

# A start may wait for a venue's maintenance and a stop for a leg to be hedged, so both ask systemd for more
# time while the loop runs: how much at once, and how often.
_EXTENSION_S: Final = 60.0
_EXTEND_EVERY_S: Final = 10.0
_BEATS_PER_LIMIT: Final = 4.0  # systemd advises two; a busy machine may be late for one


class ServiceManager:
    """The other end of ``NOTIFY_SOCKET``; without one every method does nothing."""

    def __init__(
        self,
        address: str = "",
        watchdog_s: float = 0.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address  # abstract, see unix(7)
        self._beat_every_s = watchdog_s / _BEATS_PER_LIMIT
        self._clock_s = clock_s
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self._due: dict[str, str] = {}  # what the socket has not taken yet, by name
        self._status = ""
        self._is_ready = self._is_stopping = self._is_refused = False
        self._beat_due_s = self._extend_due_s = 0.0

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Self:
        """Take the service manager's variables out of ``environment``: no child may notify in our name."""
        address = environment.pop("NOTIFY_SOCKET", "")
        watchdog_us = environment.pop("WATCHDOG_USEC", "0")
        is_meant = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(watchdog_us) / 1e6 if is_meant else 0.0)

    def notify(self, reporter: Reporter, status: str, *, is_ready: bool) -> None:
        """Called once per loop. ``status`` is a line for ``systemctl status``; READY is sent once."""
        if self._socket is None:
            return
        now_s = self._clock_s()
        if is_ready and not self._is_ready:
            self._is_ready = True
            self._due["READY"] = "1"
        if status != self._status:
            self._status = self._due["STATUS"] = status
        if self._beat_every_s and now_s >= self._beat_due_s:
            self._beat_due_s = now_s + self._beat_every_s
            self._due["WATCHDOG"] = "1"
        if (self._is_stopping or not self._is_ready) and now_s >= self._extend_due_s:
            self._extend_due_s = now_s + _EXTEND_EVERY_S
            self._due["EXTEND_TIMEOUT_USEC"] = f"{_EXTENSION_S * 1e6:.0f}"
        self._send(reporter)

    def stopping(self, reporter: Reporter, patience_s: float) -> None:
        """The end has begun. ``patience_s``: how long it may take until the next notification."""
        if self._socket is None:
            return
        if not self._is_stopping:
            self._is_stopping = True
            self._due["STOPPING"] = "1"
        self._due["EXTEND_TIMEOUT_USEC"] = f"{(patience_s + _EXTENSION_S) * 1e6:.0f}"
        self._extend_due_s = self._clock_s() + patience_s + _EXTEND_EVERY_S
        self._send(reporter)

    def close(self) -> None:
        """Close the notification socket, where there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, reporter: Reporter) -> None:
        """Send what is due in one datagram; what the socket does not take stays due."""
        if not self._due:
            return
        assert self._socket is not None
        message = "\n".join(f"{name}={value}" for name, value in self._due.items())
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._is_refused:
                self._is_refused = True
                detail = (
                    f"{error.strerror}; tried again in every loop; systemd may take the instance for hung"
                )
                reporter.report(NotifyRefused(detail=detail))
            return
        self._due.clear()
        self._is_refused = False
