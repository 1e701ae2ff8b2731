"""Messages to one target: a bounded queue, retries with growing pauses, a rate limit, its own thread.

Whoever puts a message in never waits. Everything that waits is sent as one message, so an outage of
the service ends with a digest and not with a flood.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from monitoring.alerts.targets import Alert, SendError, Target

_PAUSE_S: Final = 1.0
_PAUSE_MAX_S: Final = 60.0
_DIGEST_MAX: Final = 20  # alerts in one message

Report = Callable[[str, str, int, str], None]


class Outbox:
    """Sends to one target. ``report(outcome, target name, alerts, detail)`` is called from its thread too.

    ``outcome`` is ``sent``, ``failed`` (it will be tried again) or ``dropped``.
    """

    def __init__(self, target: Target, *, max_waiting: int, max_per_minute: int, report: Report) -> None:
        self.target = target
        self._max_waiting = max_waiting
        self._rate = _Rate(max_per_minute)
        self._report = report
        self._waiting: deque[Alert] = deque()
        self._dropped = 0  # not reported yet
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=f"alerts-{target.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def put(self, alert: Alert) -> None:
        """Take one alert to be sent. Where there is no room the least grave that waits longest goes."""
        with self._changed:
            self._waiting.append(alert)
            if is_full := len(self._waiting) > self._max_waiting:
                # min keeps to the first of equals: the oldest.
                self._waiting.remove(min(self._waiting, key=lambda item: item.message.condition.severity))
                self._dropped += 1
            self._changed.notify()
        if is_full:
            self._report("dropped", self.target.name, 1, "the queue is full")

    def close(self) -> None:
        """No more alerts will come: the thread ends when those that wait are sent. ``join`` waits for it."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        """True when everything was sent in time."""
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause_s = 0.0
        while (batch := self._next_batch(pause_s)) is not None:
            alerts, dropped = batch
            try:
                self.target.send(alerts, dropped)
            except SendError as error:
                pause_s = min(_PAUSE_MAX_S, 2 * pause_s or _PAUSE_S)
                self._report("failed", self.target.name, len(alerts), str(error))
            else:
                pause_s = 0.0
                self._take_off(alerts, dropped)
                self._report("sent", self.target.name, len(alerts), "")

    def _next_batch(self, pause_s: float) -> tuple[list[Alert], int] | None:
        """Wait out the pause and the rate limit; what waits then, or None when nothing will come."""
        with self._changed:
            while not self._waiting:
                if self._is_closing:
                    return None
                self._changed.wait()
            due_s = time.monotonic() + max(pause_s, self._rate.wait_s(time.monotonic()))
            while (left_s := due_s - time.monotonic()) > 0:
                self._changed.wait(left_s)
            self._rate.take(time.monotonic())
            return list(self._waiting)[:_DIGEST_MAX], self._dropped

    def _take_off(self, sent: list[Alert], dropped: int) -> None:
        with self._changed:
            self._dropped -= dropped
            gone = {id(alert) for alert in sent}  # some may have made room for others meanwhile
            self._waiting = deque(alert for alert in self._waiting if id(alert) not in gone)


class _Rate:
    """A bucket that holds a minute's messages and refills evenly."""

    def __init__(self, max_per_minute: int) -> None:
        self._capacity = float(max_per_minute)
        self._tokens = self._capacity
        self._at_s = time.monotonic()

    def wait_s(self, now_s: float) -> float:
        self._refill(now_s)
        return max(0.0, 1.0 - self._tokens) * 60.0 / self._capacity

    def take(self, now_s: float) -> None:
        self._refill(now_s)
        self._tokens -= 1.0

    def _refill(self, now_s: float) -> None:
        gained = (now_s - self._at_s) * self._capacity / 60.0
        self._tokens, self._at_s = min(self._capacity, self._tokens + gained), now_s
