"""What is told of what stands: once, again after a while, and its end."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.alerts.book import Book, Condition, Message, Severity, State

NAKED = Condition("naked", "naked.btc", Severity.CRITICAL, "naked", after_s=3.0)
AWAY = Condition("database", "database", Severity.WARNING, "away")


def states(messages: Sequence[Message]) -> list[State]:
    return [message.state for message in messages]


def test_a_condition_is_told_once_and_so_is_its_end() -> None:
    """However often one looks while it stands."""
    book = Book(repeat_s=900, remind_s=0)
    assert states(book.update(0, [AWAY])) == [State.RAISED]
    assert [book.update(second, [AWAY]) for second in range(1, 10_000, 100)] == [[]] * 100
    (over,) = book.update(10_000, [])
    assert (over.state, over.held_s) == (State.RESOLVED, 10_000)
    assert book.update(10_001, []) == []


def test_what_does_not_last_is_not_told() -> None:
    """Legs of one trade never fill in the same instant; nobody is woken for that."""
    book = Book(repeat_s=900, remind_s=0)
    assert book.update(0, [NAKED]) == []
    assert book.update(2.9, [NAKED]) == []
    assert book.update(2.95, []) == []
    assert book.update(3.0, [NAKED]) == []  # it begins anew
    assert book.update(5.9, [NAKED]) == []
    assert states(book.update(6.0, [NAKED])) == [State.RAISED]


def test_what_stands_is_told_again_after_a_while() -> None:
    """A pair that has waited for its operator since yesterday is easily forgotten."""
    book = Book(repeat_s=900, remind_s=3_600)
    book.update(0, [AWAY])
    assert book.update(3_599, [AWAY]) == []
    (reminder,) = book.update(3_600, [AWAY])
    assert reminder.state is State.STANDING
    assert "60 min" in reminder.text or "1 h 0 min" in reminder.text
    assert book.update(7_199, [AWAY]) == []
    assert states(book.update(7_200, [AWAY])) == [State.STANDING]


def test_what_comes_and_goes_is_told_once_a_window_and_counted() -> None:
    """A connection that flaps all night is one message a window, and nothing is kept from anybody."""
    book = Book(repeat_s=900, remind_s=0)
    reported = [message for second in range(900) for message in book.update(second, [AWAY] * (second % 2))]
    assert states(reported) == [State.RAISED, State.RESOLVED]
    (summary,) = book.update(901, [])
    assert summary.state is State.NOTICE
    assert summary.unseen == 448  # 449 more comings, of which it tells one itself
    assert book.update(5_000, []) == []


def test_what_still_stands_when_its_window_is_over_is_told_then() -> None:
    """Deduplication may delay the news that something has come back, never swallow it."""
    book = Book(repeat_s=900, remind_s=0)
    book.update(0, [AWAY])
    book.update(10, [])
    assert book.update(20, [AWAY]) == []
    assert states(book.update(900, [AWAY])) == [State.RAISED]
    assert states(book.update(1_000, [])) == [State.RESOLVED]


def test_a_notice_is_told_once_a_window_with_the_number_of_the_rest() -> None:
    diff = Condition("unexplained", "unexplained.vest.diff", Severity.CRITICAL, "diff")
    book = Book(repeat_s=60, remind_s=0)
    assert states(book.update(0, [], [diff])) == [State.NOTICE]
    assert [book.update(second, [], [diff]) for second in (1, 2, 3)] == [[], [], []]
    (later,) = book.update(60, [])
    assert (later.state, later.unseen) == (State.NOTICE, 2)


def test_two_keys_do_not_hide_each_other() -> None:
    book = Book(repeat_s=900, remind_s=0)
    other = Condition("naked", "naked.eth", Severity.CRITICAL, "naked")
    assert states(book.update(0, [AWAY, other])) == [State.RAISED, State.RAISED]
    (over,) = book.update(1, [AWAY])
    assert over.condition is other
