"""What is read in C must be what is read in Python: both see the same frames, whole and broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from runtime import native
from tests.waiting import DEADLINE_S
from venues.contract import FrameError, VenueHosts
from venues.vest.market_data import VestMarketData, compiled_reader

HOSTS = VenueHosts("http://localhost", "ws://localhost", "ws://localhost")
SOURCE = native.PROJECT / "venues/vest/_depth.c"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Built for this run, so that what is tested is what stands in the source."""
    if native.missing():
        pytest.skip(native.missing())
    assert native.main() == 0
    sys.modules.pop("venues.vest._depth", None)
    assert compiled_reader() is not None


def seen(frame: bytes, *, compiled: bool) -> tuple[Any, ...]:
    """Everything a protocol makes of one frame."""
    protocol = VestMarketData(HOSTS, {"BTC-PERP": 0, "ETH-PERP": 1}, compiled=compiled)
    try:
        protocol.receive(frame, True, 1)
    except FrameError as error:
        return ("refused", error.detail)
    return (
        protocol.take_tops(),
        [depth._replace(bids=list(depth.bids), asks=list(depth.asks)) for depth in protocol.take_depths()],
        protocol.take_faults(),
    )


def a_side(rng: Random, best: int, step: int) -> list[list[str]]:
    rows = []
    for level in range(rng.choice((0, 1, 2, 20, 25))):
        price = best + step * level
        decimals = rng.choice((0, 1, 2, 4, 8))
        rows.append(
            [f"{price / 100:.{decimals}f}", f"{rng.choice((0, 1, 3.25, 1e9)):.{rng.choice((0, 4, 8))}f}"]
        )
    return rows


def a_frame(rng: Random) -> bytes:
    """A book of any shape, mostly as the venue sends it."""
    best = rng.randrange(1, 10**8)
    data = {
        "bids": a_side(rng, best, -rng.randrange(3)),
        "asks": a_side(rng, best + rng.randrange(-1, 9), rng.randrange(3)),
    }
    message: dict[str, Any] = {
        "channel": rng.choice(("BTC-PERP@depth", "ETH-PERP@depth", "X@depth")),
        "data": data,
    }
    if rng.random() < 0.5:
        message["tsMs"] = rng.choice((0, 1_791_415_136_718, 9 * 10**12 - 1, 9 * 10**12, -1, "1"))
    return orjson.dumps(message)


def broken(frame: bytes, rng: Random) -> bytes:
    """The frame with a byte or a stretch of it changed."""
    data, place = bytearray(frame), rng.randrange(len(frame) or 1)
    match rng.randrange(5):
        case 0:
            data[place : place + 1] = (rng.choice(b'0123456789.-+eE"[]{},: \\\xff'),)
        case 1:
            del data[place : place + rng.randrange(1, 12)]
        case 2:
            data[place:place] = rng.choice((b" ", b"0", b"00", b".", b"9" * 20, b"[]", b'"', b"\\u0031"))
        case 3:
            return frame[:place]
        case _:
            return frame + rng.choice((b"}", b" ", b"\n", b"{}"))
    return bytes(data)


@pytest.mark.parametrize("seed", range(20))
def test_both_twins_make_the_same_of_every_frame(seed: int) -> None:
    """Books of every shape, and the same with a few bytes wrong."""
    rng = Random(seed)
    read = compiled_reader()
    assert read is not None
    taken = 0
    for _ in range(400):
        frame = a_frame(rng)
        for candidate in (frame, broken(frame, rng), broken(broken(frame, rng), rng)):
            assert seen(candidate, compiled=True) == seen(candidate, compiled=False), candidate
            taken += read(candidate, 20) is not None
    assert taken > 50  # otherwise this compared Python with itself


@pytest.mark.parametrize(
    "row",
    [
        '["1.123456789","1"]',
        '["46116860184.27387904","1"]',
        '["46116860184.27387903","1"]',
        '["01","1"]',
        '["1.","1"]',
        '[".5","1"]',
        '["-1","1"]',
        '["1e3","1"]',
        '["","1"]',
        '["0","1"]',
        '["0.00000001","0"]',
        '["1","1","1"]',
        '[1,"1"]',
    ],
)
def test_every_odd_number_is_read_alike(row: str) -> None:
    frame = f'{{"channel":"BTC-PERP@depth","data":{{"bids":[{row}],"asks":[["99999999999","1"]]}}}}'.encode()

    assert seen(frame, compiled=True) == seen(frame, compiled=False)


def test_without_a_compiler_the_python_way_serves(tmp_path: Path) -> None:
    """A machine with neither gcc nor headers runs all the same, and is told why it is slower."""
    for name in ("runtime", "events", "observability", "venues", "shm"):
        shutil.copytree(native.PROJECT / name, tmp_path / name)
    for extension in (tmp_path / "venues").glob("*/_*.so"):
        extension.unlink()
    program = (
        "from runtime import native; print(native.main()); "
        "from venues.vest.market_data import VestMarketData, compiled_reader; print(compiled_reader())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )

    assert done.stdout.split() == ["0", "None"]
    assert "no C compiler" in done.stderr


def test_our_code_that_does_not_compile_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "_wrong.c"
    source.write_text("this is not C\n")
    monkeypatch.setattr(native, "SOURCES", (source,))

    assert native.main() == 1
    assert "_wrong.c does not compile" in capsys.readouterr().err
