"""``make mutants``: small faults put into the C one by one; a test must find each.

    python -m verification.native.mutants [--only WORD]

Exit code 1 if one survives. Left out is what no test on x86-64 can find: there a load or store that has lost
its acquire or release is the same instruction.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from runtime import native
from verification.native.project_copy import (
    TESTS,
    TESTS_OF_DETECTOR,
    TESTS_OF_FEEDS,
    build,
    project_copy,
    replace_once,
    run_tests,
)

# What a mutant keeps from happening is not waited for as long as a busy machine is.
_SHORT_WAIT: Final = ("tests/waiting.py", "DEADLINE_S: Final = 300.0", "DEADLINE_S: Final = 30.0")
_DECIDE, _CORE, _PUBLISH = "detector/_decide.c", "detector/_core.c", "feeds/_publish.h"


class Mutant(NamedTuple):
    """One fault: what stands in a file, once, and what stands there instead."""

    name: str
    file: str
    before: str
    after: str

    @property
    def tests(self) -> Sequence[str]:
        """Those of the room it is in; of shared memory, all."""
        match self.file.partition("/")[0]:
            case "detector":
                return TESTS_OF_DETECTOR
            case "feeds" | "venues":
                return TESTS_OF_FEEDS
            case _:
                return TESTS


MUTANTS: Final = (
    Mutant(
        "gate feed alive",
        _DECIDE,
        "if (feed_alive(&market->feeds[1]",
        "if (0 && feed_alive(&market->feeds[1]",
    ),
    Mutant("gate quote age", _DECIDE, "age_ns > rules->quote_age_ns_max)", "0 && age_ns)"),
    Mutant("gate leg skew", _DECIDE, "return skew_ns > rules->leg_skew_ns_max", "return 0"),
    Mutant("gate absurd", _DECIDE, "if (spread_bps > rules->gain_bps_max)", "if (0)"),
    Mutant("gate edge", _DECIDE, "else if (edge_bps < rules->edge_bps_min)", "else if (0)"),
    Mutant(
        "confirmation a tick early",
        _DECIDE,
        "ticks < rules->confirm_ticks ||",
        "ticks + 1 < rules->confirm_ticks ||",
    ),
    Mutant("least size", _DECIDE, "(size_e8 < least_e8 &&", "(0 &&"),
    Mutant("liquidity", _DECIDE, "(within.available_e8 < needed_e8 &&", "(0 &&"),
    Mutant("gate slippage", _DECIDE, "(!(within.slippage_bps <= rules->slippage_bps_max) &&", "(0 &&"),
    Mutant("risk state", _DECIDE, "(!market->view->entries_allowed &&", "(0 &&"),
    Mutant("maintenance", _DECIDE, "(market->maintenance_left_s > 0 &&", "(0 &&"),
    Mutant("cool-down", _DECIDE, "return rested_ns < rules->cooldown_ns", "return 0"),
    Mutant("pending signal", _DECIDE, "return consumed < market->pending_id", "return 0"),
    Mutant(
        "expiry of a pending signal", _DECIDE, "|| market->now_mono_ns > market->pending_expires_mono_ns", ""
    ),
    Mutant(
        "both directions", _DECIDE, "    keep_only_one(outcomes);\n    return CERTAIN;", "    return CERTAIN;"
    ),
    Mutant("layers", _DECIDE, "view->layers_open >= layers", "view->layers_open > layers"),
    Mutant("rounding of a quotient", "detector/_numbers.h", "quotient |= 1", "quotient |= 0"),
    Mutant("expiry of a signal", _CORE, "decided_mono_ns + pair->rules.signal_ttl_ns", "decided_mono_ns"),
    Mutant("pending after a signal", _CORE, "pair->pending_id = made.signal_id;", ""),
    Mutant(
        "streaks after a signal",
        _CORE,
        "pair->streaks[0].ticks = pair->streaks[1].ticks = 0;\n    int64_t number",
        "int64_t number",
    ),
    Mutant("bell of the executor", _CORE, "if (is_pushed) bell_ring(&core->executor_bell);", ""),
    Mutant("newest after an overtaking", _CORE, "catch_up(core, place);\n        if", ";\n        if"),
    Mutant(
        "place after a cut",
        _CORE,
        "            core->is_cut = true;\n",
        "            core->is_cut = true;\n            core->place = 0;\n",
    ),
    Mutant("room of a slot", "shm/_slot.h", " || size > room", " || room < 0"),
    Mutant("checksum of a queue", "shm/_queue.h", "(size_t)length, tail) <<", "(size_t)length, 0) <<"),
    Mutant("skip mark of a queue", "shm/_queue.h", "= ~tail;", "= tail;"),
    Mutant(
        "checksum of a ring",
        "shm/_broadcast.h",
        "sum == (int64_t)checksum(body, (size_t)ring->record_size, number)",
        "sum || 1",
    ),
    Mutant(
        "checksum of a slot",
        "shm/_slot.h",
        "if (sum == (int64_t)checksum(body, (size_t)size, sequence))",
        "if (sum || 1)",
    ),
    Mutant(
        "checksum of a published quote",
        "shm/_broadcast.h",
        "(size_t)ring->record_size, number));\n    memcpy(cell",
        "(size_t)ring->record_size, 0));\n    memcpy(cell",
    ),
    Mutant(
        "number of a published quote",
        "shm/_broadcast.h",
        "store_release(ring->words + RING_NEWEST, number);",
        "",
    ),
    Mutant("bell of the detector", _PUBLISH, "    bell_ring(&feed->bell);\n", ""),
    Mutant("flag of a quote", _PUBLISH, "quote->flags = QUOTE_VALID;", "quote->flags = 0;"),
    Mutant("time of a quote", _PUBLISH, "quote->recv_mono_ns = recv_mono_ns;", "quote->recv_mono_ns = 0;"),
    Mutant("levels of a depth", _PUBLISH, "levels = depth->bids + depth->asks;", "levels = depth->bids;"),
    Mutant("a closed way", _PUBLISH, "if (feed->is_open &&", "if ("),
    Mutant(
        "a process that stood still",
        _PUBLISH,
        " && recv_mono_ns - feed->tick_mono_ns <= feed->still_ns_max",
        "",
    ),
    Mutant("time of the last data", _PUBLISH, "    feed->last_data_mono_ns = recv_mono_ns;\n", ""),
    Mutant("a message in pieces", "feeds/_listener.c", " && known->fin == 1 &&", " &&"),
    Mutant("pieces asked by name", "feeds/_listener.c", " || number_of(frame, name_fin) != 1", ""),
    Mutant(
        "crossed book of Vest", "venues/vest/_frame.c", " || depth->levels[0].price_e8 > asks[0].price_e8", ""
    ),
    Mutant("order of levels", "venues/vest/_frame.c", "(level.price_e8 - last_price_e8) * sign <= 0", "0"),
    Mutant("end of a frame", "venues/vest/_frame.c", " ||\n        text.at != text.end)", ")"),
    Mutant(
        "sequence of Paradex", "venues/paradex/_frame.c", "bbo.sequence <= channel->state->newest || ", ""
    ),
    Mutant(
        "state of Paradex",
        "venues/paradex/_frame.c",
        " || !channel->state->is_plain) return ORDER",
        ") return ORDER",
    ),
    Mutant(
        "newest of Paradex", "venues/paradex/_frame.c", "    channel->state->newest = bbo.sequence;\n", ""
    ),
    Mutant("time that goes back", "venues/hyperliquid/_frame.c", "unix_ns < state->newest || ", ""),
    Mutant(
        "state of Hyperliquid",
        "venues/hyperliquid/_frame.c",
        " || !state->is_plain) return ORDER",
        ") return ORDER",
    ),
    Mutant("leading zero", "venues/_text.h", " || (digits > 1 && *first == '0')", ""),
    Mutant(
        "bound of a decimal",
        "venues/_text.h",
        "if (*value_e8 > ((INT64_C(1) << 62) - 9) / 10) return false;",
        "",
    ),
    Mutant("overtaken in the ring", "shm/_broadcast.h", "ring->overtaken += newest - number;", ""),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.native.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    only = parser.parse_args().only
    if native.no_compiler():
        print(native.no_compiler(), file=sys.stderr)
        return 2
    with project_copy() as project:
        build(project)
        if run_tests(project, TESTS).returncode:
            print("the tests fail without any mutant; mend that first", file=sys.stderr)
            return 1
    survivors = []
    for mutant in (one for one in MUTANTS if only in one.name):
        with project_copy() as project:
            replace_once(project, mutant.file, mutant.before, mutant.after)
            replace_once(project, *_SHORT_WAIT)
            build(project)
            ended = run_tests(project, mutant.tests)
        found = [line for line in ended.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if ended.returncode < 0:  # the fault wrote where nothing may
            found.append(f"ended by signal {-ended.returncode}")
        if not found:
            survivors.append(mutant.name)
        print(f"{mutant.name:32} {found[0] if found else 'SURVIVES'}", flush=True)
    print(f"{len(survivors)} survive{': ' if survivors else ''}{', '.join(survivors)}")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
