"""What ``make campaign`` draws; the campaign itself takes half an hour."""

from __future__ import annotations

import random

from verification.campaign import PAIRS, draw, known_at


def test_a_fault_is_drawn_only_at_a_venue_that_knows_it() -> None:
    """A script at another venue would end the campaign, a thousand trades in."""
    chance = random.Random(1)
    for symbols in PAIRS.values():
        drawn = {draw(chance, tuple(symbols)) for _ in range(1_000)}
        for venue in symbols:
            assert {text for text, at, _ in drawn if at == venue} == set(known_at(venue))
        assert {venue for _, venue, _ in drawn} == set(symbols)


def test_what_is_particular_to_hyperliquid_happens_there_alone() -> None:
    assert set(known_at("hyperliquid")) - set(known_at("vest")) == {
        *("budget_used_up", "nonce_too_old", "answer_without_id", "refused_in_other_words", "upgrade"),
    }
