"""StarkNet typed data of revision 0 and the STARK curve, written from their definitions alone.

Nothing of ``venues`` is imported and nothing native: a plain second opinion, hundreds of times
slower. The generic ``message_hash`` walks any typed data by its ``types``; ours is a hand-laid chain
for five known structs.

Sources: StarkWare's definition of the STARK curve and the Pedersen hash (its five constant points),
SNIP-12 revision 0 for typed data.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from Crypto.Hash import keccak

P: Final = 2**251 + 17 * 2**192 + 1
N: Final = 0x800000000000010FFFFFFFFFFFFFFFFB781126DCAE7B2321E66A241ADC64D2F
ALPHA: Final = 1
BETA: Final = 0x6F21413EFBE40DE150E596D72F7A8C5609AD26C15C915C1F4CDFCB99CEE9E89
GENERATOR: Final = (
    0x1EF15C18599971B7BECED415A40F0C7DEACFD9B0D1819E03D723D8BC943CFCA,
    0x5668060AA49730B7BE4801DF46EC62DE53ECD11ABE43A32873000C36E8DC1F,
)
SHIFT: Final = (
    0x49EE3EBA8C1600700EE1B87EB599F16716B0B1022947733551FDE4050CA6804,
    0x3CA0CFE4B3BC6DDF346D49D06EA0ED34E621062C0E056C1D0405D266E10268A,
)
LOW_1: Final = (
    0x234287DCBAFFE7F969C748655FCA9E58FA8120B6D56EB0C1080D17957EBE47B,
    0x3B056F100F96FB21E889527D41F4E39940135DD7A6C94CC6ED0268EE89E5615,
)
HIGH_1: Final = (
    0x4FA56F376C83DB33F9DAB2656558F3399099EC1DE5E3018B7A6932DBA8AA378,
    0x3FA0984C931C9E38113E0C0E47E4401562761F92A7A23B45168F4E80FF5B54D,
)
LOW_2: Final = (
    0x4BA4CC166BE8DEC764910F75B45F74B40C690C74709E90F3AA372F0BD2D6997,
    0x40301CF5C1751F4B971E46C4EDE85FCAC5C59A5CE5AE7C48151F27B24B219C,
)
HIGH_2: Final = (
    0x54302DCB0E6CC1C6E44CCA8F61A63BB2CA65048D53FB325D36FF12C49A58202,
    0x1B77B3E37D13504B348046268D8AE25CE98AD783C25561A879DCC77E99C2426,
)

Point = tuple[int, int]
Jacobian = tuple[int, int, int]  # x / z², y / z³; z = 0 is the point at infinity

_INFINITY: Final = (1, 1, 0)
_WINDOW: Final = 8


def is_on_curve(point: Point) -> bool:
    x, y = point
    return (y * y - x**3 - ALPHA * x - BETA) % P == 0


@lru_cache(maxsize=4_096)  # domains and prefixes repeat; the definition does not change
def pedersen(first: int, second: int) -> int:
    """x of SHIFT + low(a)·LOW_1 + high(a)·HIGH_1 + low(b)·LOW_2 + high(b)·HIGH_2, low being 248 bits."""
    total: Jacobian = (*SHIFT, 1)
    for value, (low, high) in ((first, _TABLES[0]), (second, _TABLES[1])):
        if not 0 <= value < P:
            raise ValueError("not a field element")
        total = _add_windows(total, value & (2**248 - 1), low)
        total = _add_windows(total, value >> 248, high)
    return _affine(total)[0]


def chain(values: list[int]) -> int:
    state = 0
    for value in values:
        state = pedersen(state, value)
    return pedersen(state, len(values))


def message_hash(typed_data: dict[str, Any], account: int) -> int:
    """Hash of ``{"types", "primaryType", "domain", "message"}`` for one account."""
    types = typed_data["types"]
    return chain(
        [
            _felt("StarkNet Message"),
            _struct_hash(types, "StarkNetDomain", typed_data["domain"]),
            account,
            _struct_hash(types, typed_data["primaryType"], typed_data["message"]),
        ]
    )


def verify(public_key: int, hashed: int, r: int, s: int) -> bool:
    """ECDSA on the STARK curve; the key is an x coordinate, so either y will do."""
    if not (0 < r < 2**251 and 0 < s < N):
        return False
    inverse = pow(s, -1, N)
    y = _square_root((public_key**3 + ALPHA * public_key + BETA) % P)
    base = _multiply(GENERATOR, hashed * inverse % N)
    other = _affine(_multiply((public_key, y), r * inverse % N))
    return any(_affine(_add(base, point))[0] == r for point in (other, (other[0], P - other[1])))


def _struct_hash(types: dict[str, Any], name: str, values: dict[str, Any]) -> int:
    members = ",".join(f"{field['name']}:{field['type']}" for field in types[name])
    digest = keccak.new(digest_bits=256, data=f"{name}({members})".encode()).digest()
    type_hash = int.from_bytes(digest, "big") % 2**250
    return chain([type_hash, *(_felt(values[field["name"]]) for field in types[name])])


def _felt(value: str | int) -> int:
    """A number, a number as text, or a short text as its bytes."""
    if isinstance(value, int):
        return value
    if value.startswith("0x"):
        return int(value, 16)
    return int(value) if value.isdigit() else int.from_bytes(value.encode(), "big")


def _square_root(square: int) -> int:
    """Tonelli-Shanks; P - 1 is divisible by 2**192, so there is no shortcut."""
    odd, twos = P - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    factor, root, rest = pow(3, odd, P), pow(square, (odd + 1) // 2, P), pow(square, odd, P)
    while rest != 1:
        order, power = 0, rest
        while power != 1:
            power, order = power * power % P, order + 1
            if order == twos:
                raise ValueError("not on the curve")
        step = pow(factor, 2 ** (twos - order - 1), P)
        twos, factor = order, step * step % P
        root, rest = root * step % P, rest * factor % P
    return root


def _multiply(point: Point, factor: int) -> Jacobian:
    total: Jacobian = _INFINITY
    for bit in bin(factor)[2:]:
        total = _double(total)
        if bit == "1":
            total = _add(total, point)
    return total


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    if not z or not y:
        return _INFINITY
    yy = y * y % P
    s = 4 * x * yy % P
    zz = z * z % P
    m = (3 * x * x + ALPHA * zz * zz) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add(first: Jacobian, second: Point) -> Jacobian:
    x, y, z = first
    if not z:
        return (*second, 1)
    zz = z * z % P
    h = (second[0] * zz - x) % P
    r = (second[1] * zz * z - y) % P
    if h == 0:
        return _INFINITY if r else _double(first)
    hh = h * h % P
    hhh = h * hh % P
    v = x * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - y * hhh) % P, z * h % P


def _affine(point: Jacobian) -> Point:
    x, y, z = point
    inverse = pow(z, -1, P)
    return x * inverse * inverse % P, y * inverse * inverse * inverse % P


def _add_windows(total: Jacobian, value: int, table: list[list[Point]]) -> Jacobian:
    for row in table:
        digit = value % 2**_WINDOW
        if digit:
            total = _add(total, row[digit - 1])
        value >>= _WINDOW
    return total


def _window_table(point: Point, bits: int) -> list[list[Point]]:
    """Rows of 1·2^(8i), 2·2^(8i), … times the point, as many as ``bits`` need."""
    rows = []
    base = point
    for start in range(0, bits, _WINDOW):
        row = [base]
        while len(row) < 2 ** min(_WINDOW, bits - start) - 1:
            row.append(_affine(_add((*row[-1], 1), base)))
        rows.append(row)
        base = _affine(_add((*row[-1], 1), base))
    return rows


_TABLES: Final = (
    (_window_table(LOW_1, 248), _window_table(HIGH_1, 4)),
    (_window_table(LOW_2, 248), _window_table(HIGH_2, 4)),
)
