"""Today's result and the best it has been: what the loss limits go by."""

from __future__ import annotations

from executor.risk.daily_pnl import PairResult, Results


class _Days:
    """A clock that shows nothing but the day."""

    def __init__(self, today: int) -> None:
        self.today = today

    def mono_ns(self) -> int:
        return 0

    def unix_ns(self) -> int:
        return self.today * 86_400_000_000_000


def test_the_best_of_the_day_is_kept_over_all_pairs_and_over_a_restart() -> None:
    """A drawdown is measured from the top, whoever made it and whichever life saw it."""
    first, second = PairResult(), PairResult()
    results = Results([first, second], _Days(20_000))
    results.add(first, 70)
    results.add(second, 50)
    results.add(first, -90)
    assert (results.today_e8, results.best_e8) == (30, 120)

    again = Results(
        [PairResult(first.day, first.result_e8, first.best_e8), PairResult(*_fields(second))],
        _Days(20_000),
    )

    assert (again.today_e8, again.best_e8) == (30, 120)


def test_time_with_one_leg_adds_up_over_pairs_and_ends_with_the_day() -> None:
    days = _Days(20_000)
    first, second = PairResult(), PairResult()
    results = Results([first, second], days)
    results.add_naked(first, 3)
    results.add_naked(second, 4)
    assert results.naked_ns == 7

    again = Results([first, second], days)
    assert again.naked_ns == 7
    days.today += 1
    results.refresh()
    results.add_naked(second, 1)
    assert (results.naked_ns, second.naked_ns) == (1, 1)


def test_a_day_begins_at_nothing() -> None:
    """Yesterday's loss does not stop today, and yesterday's best is no top to fall from."""
    days = _Days(20_000)
    pair = PairResult()
    results = Results([pair], days)
    results.add(pair, 70)
    results.add(pair, -200)
    assert (results.today_e8, results.best_e8) == (-130, 70)

    days.today += 1
    results.refresh()

    assert (results.today_e8, results.best_e8) == (0, 0)
    results.add(pair, -5)
    assert (results.today_e8, results.best_e8, pair.result_e8, pair.best_e8) == (-5, 0, -5, 0)


def _fields(pair: PairResult) -> tuple[int, int, int]:
    return pair.day, pair.result_e8, pair.best_e8


def test_a_correction_corrects_the_day_and_the_best_of_it() -> None:
    """A fee told late: without it the top was never reached, so nothing has been lost from there."""
    first, second = PairResult(), PairResult()
    results = Results([first, second], _Days(20_000))
    results.add(first, 100, trade_id=1, is_estimated=True)
    results.add(second, -10, trade_id=2)
    assert (results.today_e8, results.best_e8, results.estimated) == (90, 100, 1)

    results.correct(first, 1, closed_day=20_000, change_e8=-45, estimates=-1)

    assert (results.today_e8, results.best_e8, results.estimated) == (45, 55, 0)
    again = Results([PairResult(*_fields(first)), PairResult(*_fields(second))], _Days(20_000))
    assert (again.today_e8, again.best_e8) == (45, 55)


def test_a_correction_of_an_earlier_life_s_trade_leaves_the_top_where_it_was() -> None:
    pair = PairResult(day=20_000, result_e8=100, best_e8=100, estimated=1)
    results = Results([pair], _Days(20_000))

    results.correct(pair, 1, closed_day=20_000, change_e8=-45, estimates=-1)

    assert (results.today_e8, results.best_e8, results.estimated) == (55, 100, 0)


def test_a_correction_of_another_day_s_trade_is_not_today_s() -> None:
    pair = PairResult(day=20_000, result_e8=100, best_e8=100)
    results = Results([pair], _Days(20_000))

    results.correct(pair, 1, closed_day=19_999, change_e8=-45, estimates=-1)

    assert (results.today_e8, results.best_e8) == (100, 100)
