"""Log lines for things that can happen a thousand times a second."""

from __future__ import annotations

from typing import Any

from feeds.quiet import Speaker


class Line:
    """A logger's method that remembers what it was given and answers as it is told."""

    def __init__(self, answer: bool | None = True) -> None:
        self.said: list[dict[str, Any]] = []
        self.answer = answer

    def __call__(self, event: str, **fields: Any) -> bool | None:
        self.said.append({"event": event, **fields})
        return self.answer


def test_a_kind_is_said_once_an_interval_and_then_with_what_was_kept_back() -> None:
    """A venue that sends rubbish at full speed must not fill the disk, nor hide another fault."""
    now = [0]
    line = Line()
    speaker = Speaker(lambda: now[0], on_refused=lambda: None, interval_ns=100)
    for time, kind in ((0, "gap"), (50, "gap"), (99, "gap"), (99, "crossed"), (100, "gap"), (150, "gap")):
        now[0] = time
        speaker.say_rarely(line, "book_invalid", kind)

    assert [(item["kind"], item["kept_back"]) for item in line.said] == [
        ("gap", 0),
        ("crossed", 0),
        ("gap", 2),
    ]


def test_only_a_full_queue_counts_as_refused() -> None:
    """A line below the log level is not lost, it was not wanted."""
    refused: list[None] = []
    speaker = Speaker(lambda: 0, on_refused=lambda: refused.append(None))

    speaker.say(Line(True), "feed_live")
    speaker.say(Line(None), "feed_live")
    assert refused == []
    speaker.say(Line(False), "feed_live")
    assert refused == [None]
