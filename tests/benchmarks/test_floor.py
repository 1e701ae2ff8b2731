"""The floor and the referee judge everything else, so what they report must be what happened."""

from __future__ import annotations

import argparse
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import wire_to_wire
from benchmarks.wire import floor, load
from benchmarks.wire.analysis import stages
from benchmarks.wire.contenders import NotReady, Variant
from benchmarks.wire.ratios import ratios
from benchmarks.wire.referee import Packet, judge
from runtime import native

PORTS = {"vest": 1_001, "paradex": 1_002}


def options(tmp_path: Path, **changed: Any) -> argparse.Namespace:
    plain = {"trades": 8, "warm_up": 2, "gap_ms": 40.0, "keep": tmp_path, "runs": 1, "referee": False}
    return argparse.Namespace(**{**plain, **changed})


def needs_a_compiler() -> None:
    if native.compiler() is None:
        pytest.skip("no C compiler")


# --- the floor ---


@pytest.mark.parametrize("contender", floor.FLOORS)
@pytest.mark.parametrize("tls", [False, True])
def test_a_floor_trades_over_real_sockets_and_stamps_every_stage(
    contender: str, tls: bool, tmp_path: Path
) -> None:
    needs_a_compiler()
    variant = Variant(contender, tls=tls, idle="", awake=False, warm_ms=1.0)
    reason = wire_to_wire.why_not(variant)
    if reason:
        pytest.skip(reason)

    found = wire_to_wire.measure(variant, options(tmp_path))

    assert found["wire"]["both legs"]["trades"] == 8
    assert ("frame in the kernel" in found["stages"]) is not tls
    assert len(found["stages"]) == 8 + (not tls)
    assert all(row["trades"] == 8 for row in found["stages"].values())


def test_a_floor_that_cannot_reach_its_venue_says_why(tmp_path: Path) -> None:
    needs_a_compiler()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = {"vest": taken.getsockname()[1], "paradex": taken.getsockname()[1]}
    variant = Variant("floor", tls=False, idle="", awake=False)

    with (
        pytest.raises(NotReady, match="connecting to a venue: Connection refused"),
        floor.run_floor(variant, closed, tmp_path / "log.jsonl", None),
    ):
        pass


def test_it_is_compiled_again_when_a_source_is_newer(tmp_path: Path) -> None:
    needs_a_compiler()
    program = floor.build(tmp_path / "floor")
    built_ns = program.stat().st_mtime_ns

    assert floor.build(program).stat().st_mtime_ns == built_ns
    os.utime(program, (0, 0))
    assert floor.build(program).stat().st_mtime_ns > 0


def test_without_a_compiler_a_floor_is_left_out_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)

    reason = wire_to_wire.why_not(Variant("floor-one", tls=False, idle="", awake=False))

    assert reason == "no C compiler (install gcc, or name one in CC)"


def test_without_openssl_only_the_encrypted_variants_are_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs_a_compiler()
    monkeypatch.setattr(floor, "has_openssl", lambda: False)
    plain = Variant("floor", tls=False, idle="", awake=False)

    assert "libssl-dev" in floor.why_not(plain._replace(tls=True))
    assert floor.why_not(plain) == ""
    assert floor.build(tmp_path / "floor").exists()


# --- ratios ---


def medians(**both_legs: tuple[float, float, float]) -> dict[str, Any]:
    return {
        name.replace("_", " ").replace("asyncio free", "asyncio-free"): {
            "wire": {"both legs": dict(zip(("p50", "p90", "p99"), figures, strict=True))}
        }
        for name, figures in both_legs.items()
    }


def test_ratios_compare_what_is_set_up_alike_and_nothing_else() -> None:
    found = ratios(
        wire_to_wire.VARIANTS,
        medians(
            tandem_park_awake_plain=(300.0, 600.0, 900.0),
            tandem_park_awake_warm_plain=(200.0, 300.0, 400.0),
            tandem_spin_idle_plain=(1.0, 1.0, 1.0),
            floor_awake_plain=(200.0, 300.0, 300.0),
            floor_awake_warm_plain=(100.0, 100.0, 100.0),
            floor_awake_fifo_warm_plain=(50.0, 50.0, 50.0),
            floor_idle_plain=(300.0, 300.0, 300.0),
            asyncio_free_awake_plain=(1_200.0, 1_200.0, 1_800.0),
        ),
    )

    assert {ratio.name: (ratio.p50, ratio.p90, ratio.p99) for ratio in found} == {
        "tandem park awake plain / floor awake plain": (1.5, 2.0, 3.0),
        "tandem park awake warm plain / floor awake warm plain": (2.0, 3.0, 4.0),
        "asyncio-free awake plain / tandem park awake plain": (4.0, 2.0, 2.0),
        "asyncio-free awake plain / tandem park awake warm plain": (6.0, 4.0, 4.5),
    }


def test_every_setting_of_tandem_has_a_floor_and_a_bot_set_up_alike() -> None:
    """What has none would be missing from the ratios without a word."""
    everything = {
        variant.name: {"wire": {"both legs": {"p50": 1.0, "p90": 1.0, "p99": 1.0}}}
        for variant in wire_to_wire.VARIANTS
    }
    names = [ratio.name for ratio in ratios(wire_to_wire.VARIANTS, everything)]

    for variant in wire_to_wire.VARIANTS:
        if variant.contender == "tandem" and variant.idle == "park" and not variant.beside:
            assert sum(name.startswith(f"{variant.name} / floor") for name in names) == 2, variant.name
            assert any(name.endswith(f"/ {variant.name}") for name in names), variant.name


# --- runs that do not count ---


def test_a_run_beside_other_work_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its figures reach neither the medians nor the history."""
    loads = iter([0.2, 1.6, 0.3, 0.4])  # before and after each of two runs
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 9.0, 9.0))
    measured = iter([111.0, 222.0])
    kept: list[Any] = []
    monkeypatch.setattr(wire_to_wire, "record", lambda results, _: kept.append(results))
    monkeypatch.setattr(wire_to_wire, "measure", lambda *_: {"both legs": next(measured)})
    only = "asyncio-free idle plain"
    monkeypatch.setattr(wire_to_wire, "why_not", lambda _: "")
    monkeypatch.setattr("sys.argv", ["wire_to_wire", "--runs", "2", "--only", only])

    assert wire_to_wire.main() == 1

    assert kept == [{only: [{"both legs": 222.0, "load": 0.4}]}]
    assert "load 1.6\n  does not count: the load is above 1.5" in capsys.readouterr().out


def test_a_run_waits_until_the_load_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = iter([4.0, 1.0, 0.7])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(loads), 9.0, 9.0))
    monkeypatch.setattr(time, "sleep", lambda _: None)

    assert load.settled(1.5) == 0.7


def test_history_keeps_three_percentiles_the_loads_and_the_ratios() -> None:
    found = medians(tandem_park_awake_plain=(300.0, 600.0, 900.0), floor_awake_plain=(200.0, 300.0, 300.0))
    runs = {name: [{"load": 0.512}, {"load": 1.0}] for name in found}

    line = wire_to_wire.history(runs, found, list(ratios(wire_to_wire.VARIANTS, found)))

    assert line == {
        "loads": {"tandem park awake plain": [0.51, 1.0], "floor awake plain": [0.51, 1.0]},
        "p50_p90_p99_us": {
            "tandem park awake plain": {"both legs": [300.0, 600.0, 900.0]},
            "floor awake plain": {"both legs": [200.0, 300.0, 300.0]},
        },
        "p50_p90_p99_ratios": {"tandem park awake plain / floor awake plain": [1.5, 2.0, 3.0]},
    }


# --- the referee ---


def a_trade(left: int, arrived: int) -> dict[str, Any]:
    return {
        "venue": "vest",
        "frame": b"the frame".hex(),
        "sent_mono_ns": left - 30_000,
        "left_mono_ns": left,
        "arrived_mono_ns": {"vest": arrived - 5_000, "paradex": arrived},
        "client_order_ids": {"vest": "77", "paradex": "abc-78"},
    }


def packets(left: int, arrived: int) -> list[Packet]:
    mask, order = b"\x01\x02\x03\x04", b'{"client_id": "abc-78"}'
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(order))
    return [
        Packet(left, True, PORTS["vest"], 9, b"\x82\x09the frame"),
        Packet(left + 2_000, False, PORTS["vest"], 9, b"\x82\x09the frame"),
        Packet(arrived - 9_000, True, 9, PORTS["vest"], b'{"nonce": 77}'),
        Packet(arrived - 5_000, False, 9, PORTS["vest"], b'{"nonce": 77}'),
        Packet(arrived, False, 8, PORTS["paradex"], b"\x81" + bytes([0x80 | len(order)]) + mask + masked),
        Packet(arrived + 900_000, False, 8, PORTS["vest"], b"GET /orders?nonce=77"),
    ]


def test_the_referee_agrees_with_stamps_that_are_right() -> None:
    verdict = judge([a_trade(0, 100_000)], packets(1_000, 100_000), PORTS)

    assert verdict.agrees
    assert (verdict.ours.p50, verdict.captured.p50, verdict.venue.p50) == (100.0, 99.0, 30.0)


def test_the_referee_disagrees_with_stamps_a_tenth_too_short() -> None:
    verdict = judge([a_trade(0, 90_000)], packets(0, 100_000), PORTS)

    assert not verdict.agrees
    assert verdict.apart["p50"] == pytest.approx(0.1)


@pytest.mark.parametrize("lost", [0, 4])
def test_a_trade_whose_packets_are_not_all_there_is_missed(lost: int) -> None:
    """The verdict would otherwise be about the trades that were easy to see."""
    other = {**a_trade(0, 100_000), "client_order_ids": {"vest": "79", "paradex": "abc-80"}}
    seen = packets(0, 100_000)

    verdict = judge([a_trade(0, 100_000), other], seen, PORTS)
    del seen[lost]

    assert (verdict.missed, verdict.agrees) == (1, False)
    with pytest.raises(LookupError, match="not one of 1 trades"):
        judge([a_trade(0, 100_000)], seen, PORTS)


@pytest.mark.skipif(os.geteuid() != 0, reason="a packet socket needs root")
def test_every_packet_of_a_trade_is_captured(tmp_path: Path) -> None:
    needs_a_compiler()
    variant = Variant("floor", tls=False, idle="", awake=False)

    found = wire_to_wire.measure(variant, options(tmp_path, referee=True))

    assert found["referee"]["missed"] == 0


def test_a_trade_without_the_kernels_stamp_has_one_stage_less() -> None:
    line = {
        "event": "signal_stages",
        "client_order_ids": [7, 7],
        "kernel_mono_ns": 10_500,
        "recv_mono_ns": 11_000,
        "publish_mono_ns": 13_000,
        "detector_mono_ns": 16_000,
        "decided_mono_ns": 20_000,
        "executor_mono_ns": 25_000,
        "checked_mono_ns": 31_000,
        "sent_mono_ns": [45_000, 38_000],
    }
    trade = {"sent_mono_ns": 10_000, "client_order_ids": {"vest": "7"}}

    whole, without = stages([trade], [line]), stages([trade], [{**line, "kernel_mono_ns": 0}])

    assert (whole["frame in the kernel"].p50, whole["socket"].p50) == (0.5, 0.5)
    assert "frame in the kernel" not in without
    assert without["socket"].p50 == 1.0
