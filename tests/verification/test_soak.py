"""What ``make soak`` takes for a process that grows."""

from __future__ import annotations

from verification.crash.soak import early_and_late, has_grown

USUAL = (60.0, 60, 7)


def test_one_life_that_was_looked_at_too_early_or_with_lost_connections_is_no_growth() -> None:
    """A feed seen before it had called its venue had "grown" by twenty descriptors in its later lives."""
    lives = [USUAL, (51.0, 6, 1), USUAL, USUAL, USUAL, USUAL, USUAL, (61.0, 65, 7), USUAL]

    assert not has_grown(*early_and_late(lives))
    assert not has_grown(*early_and_late([USUAL]))


def test_every_later_life_being_larger_is() -> None:
    early = [USUAL] * 4
    for larger in ((90.0, 60, 7), (60.0, 70, 7), (60.0, 60, 8)):
        assert has_grown(*early_and_late(early + [larger] * 4))
