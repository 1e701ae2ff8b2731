"""Measures signing one order for each venue, beside other libraries' ways of doing it.

    python -m benchmarks.signing [--rounds 2000] [--starknet-python .venv-differential/bin/python]

Measured in one run: the whole order from request to bytes; its encoding or hash with the parts made
once, and with all of it made again; the libraries' own ways as baselines. starknet-py is no
dependency of Tandem: its baseline runs in the environment that ``make differential`` makes, when
that is there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from coincurve import PrivateKey
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_keys.backends.native.main import NativeECCBackend
from eth_keys.datatypes import PrivateKey as EthPrivateKey
from eth_utils.crypto import keccak
from fast_stark_crypto import pedersen_hash

from benchmarks.measure import Timing, percentiles, print_table, time_calls, write_results
from venues.contract import E8, HttpResponse, Instrument, OrderRequest, Side, TimeInForce, VenueHosts
from venues.paradex import ParadexCredentials, ParadexTrading
from venues.paradex.signing import Signer as ParadexSigner
from venues.paradex.signing import short_string, starknet_keccak
from venues.vest import VestCredentials, VestTrading
from venues.vest import signing as vest_signing

ROOT: Final = Path(__file__).parents[1]
STARKNET_PYTHON: Final = ROOT / ".venv-differential" / "bin" / "python"
HOSTS: Final = VenueHosts("http://127.0.0.1:1/v1", "ws://127.0.0.1:1/v1", "ws://127.0.0.1:1/v1")
NOW_UNIX_MS: Final = 1_790_000_000_000
CHAIN: Final = "PRIVATE_SN_POTC_SEPOLIA"
PRIVATE_KEY: Final = 0x1234567890ABCDEF1234567890ABCDEF
ACCOUNT: Final = 0x3CA3878D9C0358C9ABE2B8EEDE50BC08B33A189B7C8F1B3C344B52FCB48406E
SLOW_ROUNDS: Final = 40  # for what takes milliseconds

Operation = tuple[str, Callable[[], object], Callable[[], object] | None]


def an_order(venue: str, symbol: str, count: int, time_in_force: TimeInForce) -> OrderRequest:
    """An order whose price and id are its own: nothing of the last one's can be used again."""
    instrument = Instrument(7, venue, symbol, "BTC", 10**7, 10**4, 10**4, 0, 0, 1, 4, 1.0, True)
    price_e8 = (60_000 + count % 1_000) * E8
    return OrderRequest(count, instrument, Side.BUY, E8 // 10, price_e8, False, time_in_force)


def logged_in(trading: Any, *answers: dict[str, Any]) -> Any:
    """A session whose login was answered by hand."""
    call = trading.login(NOW_UNIX_MS)
    next(call)
    for answer in answers:
        try:
            call.send(HttpResponse(200, {}, json.dumps(answer).encode(), NOW_UNIX_MS))
        except StopIteration:
            return trading
    raise AssertionError("the login asked for more answers")


def vest_operations() -> Iterator[Operation]:
    """Ours, then eth-abi with eth-account over either backend. All sign the same fields."""
    key = f"{PRIVATE_KEY:#066x}"
    trading = logged_in(
        VestTrading(HOSTS, VestCredentials(key, key)),
        {"apiKey": "k", "accGroup": 0},
        {"listenKey": "l"},
    )
    signer = vest_signing.Signer(key, name="key")
    count = itertools.count(1)

    def whole_order() -> object:
        number = next(count)
        order = an_order("vest", "BTC-PERP", number, TimeInForce.FOK)
        return trading.sign_create(order, NOW_UNIX_MS + number)

    def encoded() -> bytes:
        number = next(count)
        return vest_signing.encode_order(
            time_ms=NOW_UNIX_MS + number,
            nonce=number,
            order_type="LIMIT",
            symbol="BTC-PERP",
            is_buy=True,
            size="0.1000",
            limit_price="60000.0",
            reduce_only=False,
        )

    def hashed_by_eth_abi() -> bytes:
        number = next(count)
        types = ("uint256", "uint256", "string", "string", "bool", "string", "string", "bool")
        values = (NOW_UNIX_MS + number, number, "LIMIT", "BTC-PERP", True, "0.1000", "60000.0", False)
        return keccak(encode(types, values))

    digest = vest_signing.keccak256(b"order")
    secret = PrivateKey.from_hex(key[2:])
    yield "request to bytes (all of sign_create)", whole_order, None
    yield "encode and sign", lambda: vest_signing.sign_fields(signer, encoded()), None
    yield "encode, constant words cached", encoded, None
    yield "encode, constant words made again", encoded, vest_signing._fixed_part.cache_clear
    yield "sign a digest (coincurve)", lambda: signer.sign_digest(digest), None
    yield "floor: coincurve alone", lambda: secret.sign_recoverable(digest, hasher=None), None
    yield "baseline: eth-abi encode and hash", hashed_by_eth_abi, None
    # Account.set_key_backend does not reach signing: the backend is the key object's own.
    for name, backend in (("coincurve", CoinCurveECCBackend()), ("pure Python", NativeECCBackend())):
        private_key = EthPrivateKey(bytes.fromhex(key[2:]), backend=backend)

        def theirs(private_key: EthPrivateKey = private_key) -> object:
            message = encode_defunct(primitive=hashed_by_eth_abi())
            return Account.sign_message(message, private_key=private_key)

        yield f"baseline: eth-abi and eth-account, {name}", theirs, None


def paradex_operations() -> Iterator[Operation]:
    """Ours with the constant prefixes hashed once, and the same hash with nothing kept."""
    trading = logged_in(
        ParadexTrading(HOSTS, ParadexCredentials(f"{PRIVATE_KEY:#x}", f"{ACCOUNT:#x}")),
        {
            "starknet_chain_id": CHAIN,
            "paraclear_account_proxy_hash": "0x1",
            "paraclear_account_hash": "0x1",
        },
        {"jwt_token": "t"},
    )
    signer = ParadexSigner(private_key=PRIVATE_KEY, account=ACCOUNT, chain_id=CHAIN)
    count = itertools.count(1)

    def whole_order() -> object:
        number = next(count)
        order = an_order("paradex", "BTC-USD-PERP", number, TimeInForce.IOC)
        return trading.sign_create(order, NOW_UNIX_MS + number)

    def hashed() -> int:
        number = next(count)
        return signer.order_hash(
            timestamp_ms=NOW_UNIX_MS + number,
            market="BTC-USD-PERP",
            side=Side.BUY,
            size_e8=E8 // 10,
            price_e8=60_000 * E8,
        )

    def hashed_from_nothing() -> int:
        return naive_order_hash(NOW_UNIX_MS + next(count), "BTC-USD-PERP", 1, E8 // 10, 60_000 * E8)

    number = next(count)
    assert naive_order_hash(NOW_UNIX_MS + number, "BTC-USD-PERP", 1, E8 // 10, 60_000 * E8) == (
        signer.order_hash(
            timestamp_ms=NOW_UNIX_MS + number,
            market="BTC-USD-PERP",
            side=Side.BUY,
            size_e8=E8 // 10,
            price_e8=60_000 * E8,
        )
    )
    message_hash = hashed()
    yield "request to bytes (all of sign_create)", whole_order, None
    yield "hash and sign", lambda: signer.sign(hashed()), None
    yield "hash, constant prefixes cached (9 Pedersen)", hashed, None
    yield "hash, nothing cached (18 Pedersen)", hashed_from_nothing, None
    yield "sign a hash (fast-stark-crypto)", lambda: signer.sign(message_hash), None
    yield "floor: one Pedersen hash", lambda: pedersen_hash(message_hash, 7), None


def naive_order_hash(timestamp_ms: int, market: str, side: int, size_e8: int, price_e8: int) -> int:
    """The typed-data hash as it is defined, every chain from its beginning."""

    def chain(*values: int) -> int:
        state = 0
        for value in values:
            state = pedersen_hash(state, value)
        return int(pedersen_hash(state, len(values)))

    domain_type = starknet_keccak("StarkNetDomain(name:felt,chainId:felt,version:felt)")
    order_type = starknet_keccak(
        "Order(timestamp:felt,market:felt,side:felt,orderType:felt,size:felt,price:felt)"
    )
    return chain(
        short_string("StarkNet Message"),
        chain(domain_type, short_string("Paradex"), short_string(CHAIN), 1),
        ACCOUNT,
        chain(order_type, timestamp_ms, short_string(market), side, short_string("LIMIT"), size_e8, price_e8),
    )


def measure(operations: Iterator[Operation], rounds: int) -> list[Timing]:
    empty_ns = percentiles("", time_calls(lambda: None, rounds)).p50_ns
    timings = []
    for name, timed, after in operations:
        count = SLOW_ROUNDS if "pure Python" in name else rounds
        samples = time_calls(timed, count, after)
        timings.append(percentiles(name, [max(0, sample - empty_ns) for sample in samples]))
    return timings


def measure_starknet_py(python: Path) -> list[Timing]:
    """starknet-py's own typed data and signature, by the interpreter that has it; [] if there is none."""
    if not python.exists():
        print(
            f"\nstarknet-py is not installed ({python} is not there): no baseline for Paradex.\n"
            "Run `make differential` once; it makes the environment, then run this again."
        )
        return []
    command = [str(python), "-m", "benchmarks.starknet_py_baseline", str(SLOW_ROUNDS)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [Timing(**row) for row in json.loads(output)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2_000, help="timed calls per operation")
    parser.add_argument("--starknet-python", type=Path, default=STARKNET_PYTHON)
    arguments = parser.parse_args()

    vest = measure(vest_operations(), arguments.rounds)
    print_table("Vest: sign one order", vest, unit_ns=1000, unit="µs")
    paradex = measure(paradex_operations(), arguments.rounds)
    paradex += measure_starknet_py(arguments.starknet_python)
    print_table("Paradex: sign one order", paradex, unit_ns=1000, unit="µs")

    figures = {"vest": vest, "paradex": paradex}
    path = write_results(
        "signing", {name: [timing._asdict() for timing in rows] for name, rows in figures.items()}
    )
    print(f"\nwritten to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
