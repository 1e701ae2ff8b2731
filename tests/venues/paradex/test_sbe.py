"""The binary codec against frames of an independent encoder and of the live service."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.venues.paradex.samples import VECTORS, captured_session, sbe_frame
from venues.contract import parse_e8
from venues.paradex import sbe

FRAMES: list[dict[str, Any]] = VECTORS["sbe_frames"]

# The vector's name of a field, where ours is another.
NAMES = {
    "unix_us": "timestamp",
    "sequence": "seq_no",
    "package": "pkg_type",
    "trade_id_text": "trade_id_str",
    "created_unix_us": "created_at",
    "updated_unix_us": "updated_at",
    "received_unix_us": "received_at",
    "published_unix_us": "published_at",
    "best_bid_e8": "best_bid_price",
    "best_ask_e8": "best_ask_price",
    "best_bid_api_e8": "best_bid_api_price",
    "best_ask_api_e8": "best_ask_api_price",
    "volume_usd_24h_e8": "volume_usd24h",
    "price_change_rate_24h_e8": "price_change_rate24h",
    "funding_rate_e12": "funding_rate_precise",
    "funding_rate_8h_e8": "funding_rate8h",
    "remaining_e8": "size_open",
    "average_price_e8": "avg_fill_price",
    "self_trade_prevention": "stp",
    "venue_order_id": "order_id",
    "client_id": "client_order_id",
    "realized_pnl_e8": "realized_pnl",
    "book_sequence": "orderbook_seq_no",
    "entry_price_e8": "avg_entry_price",
    "entry_price_usd_e8": "avg_entry_price_usd",
    "initial_margin_e8": "initial_margin_req",
    "maintenance_margin_e8": "maintenance_margin_req",
}
PRICES_WITHOUT_THE_WORD = {
    sbe.BboMessage: {"bid_e8": "bid_price", "ask_e8": "ask_price"},
    sbe.PositionMessage: {"state": "status"},
    sbe.AccountMessage: {"state": "status"},
    sbe.OrderMessage: {"state": "status"},
}
# Enumerations as the schema numbers them, written here again on purpose.
ENUMERATIONS = {
    "side": {1: "BUY", 2: "SELL"},
    "order_type": {1: "LIMIT", 2: "MARKET"},
    "time_in_force": {1: "GTC", 2: "IOC", 3: "POST_ONLY", 4: "RPI"},
    "trade_type": {1: "FILL"},
    "fill_type": {1: "FILL"},
    "liquidity": {1: "MAKER", 2: "TAKER"},
    "self_trade_prevention": {2: "EXPIRE_TAKER"},
    "package": {0: "SNAPSHOT", 1: "DELTA"},
}
STATES = {
    sbe.OrderMessage: {1: "NEW", 2: "UNTRIGGERED", 3: "OPEN", 4: "CLOSED"},
    sbe.PositionMessage: {1: "OPEN", 2: "CLOSED"},
    sbe.AccountMessage: {1: "ACTIVE", 2: "LIQUIDATION"},
}


def expected_value(message: sbe.Message, name: str, decoded: dict[str, Any]) -> Any:
    """What the vector says our field should be, in our units."""
    special = PRICES_WITHOUT_THE_WORD.get(type(message), {})
    theirs = special.get(name) or NAMES.get(name) or name.removesuffix("_e8")
    value = decoded[theirs]
    if value is None:
        return None
    if name == "account":
        return int(value, 16).to_bytes(32, "big")
    if name == "state":
        return {text: code for code, text in STATES[type(message)].items()}[value]
    if name == "side" and isinstance(message, sbe.PositionMessage):
        return {"LONG": 1, "SHORT": 2}[value]
    if name in ENUMERATIONS:
        return {text: code for code, text in ENUMERATIONS[name].items()}[value]
    if name == "flags":
        return sum({"REDUCE_ONLY": 1}[flag] for flag in value)
    if name in ("bids", "asks"):
        return tuple((parse_e8(price), parse_e8(size)) for price, size in value)
    if name == "size_e8" and isinstance(message, sbe.PositionMessage):
        return abs(parse_e8(value))
    if name.endswith("_e8"):
        return parse_e8(value)
    if name.endswith("_e12"):
        return int(value.replace(".", ""))
    return value


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{frame['name']}-v{frame['schema_version']}")
def test_every_vector_frame_decodes_to_its_content(frame: dict[str, Any]) -> None:
    """Every field of every template, at every version the vectors hold."""
    message = sbe.decode(bytes.fromhex(frame["hex"]))

    assert message is not None
    if frame.get("decoded") is None:
        # The heartbeat, and a version 3 summary the reference decoder does not know.
        assert isinstance(message, sbe.Heartbeat | sbe.MarketSummary)
        assert message.unix_us == 1_790_000_000_123_456
        return
    decoded = dict(frame["decoded"])
    request = decoded.pop("request_info", None) or {}
    for name, value in message._asdict().items():
        if name.startswith("request_"):
            _check_request_info(name, value, request)
        elif name.endswith("unix_us"):
            assert value // 1_000 == expected_value(message, name, decoded), name
        elif name != "settlement_twap_estimate_e8":
            assert value == expected_value(message, name, decoded), name


def _check_request_info(name: str, value: Any, request: dict[str, Any]) -> None:
    theirs = {
        "request_id": request.get("id", ""),
        "request_message": request.get("message", ""),
        "request_status": {"REJECTED": 3, None: 0}[request.get("status")],
        "request_type": {"MODIFY_ORDER": 1, None: 0}[request.get("request_type")],
    }
    # Version 1 has none of the four, which is not the same as having them empty.
    assert value == theirs[name] or (value is None and not request)


def test_there_are_33_frames() -> None:
    """The vectors are all there; an emptied file must not pass."""
    assert len(FRAMES) == 33


def test_the_live_capture_decodes_to_its_csv() -> None:
    """103 frames of the production service, decoded by somebody else."""
    _, captured = captured_session()

    for expected in captured:
        assert sbe.decode(expected.frame) == sbe.BboMessage(*expected[1:], "BTC-USD-PERP")


def test_versions_are_told_by_length_not_by_number() -> None:
    """Version 1 has no trade id text, version 2 has; the header's version is never consulted."""
    old, new = sbe.decode(sbe_frame("trade", version=1)), sbe.decode(sbe_frame("trade", version=2))

    assert isinstance(old, sbe.TradeMessage)
    assert isinstance(new, sbe.TradeMessage)
    assert old.trade_id_text is None
    assert new.trade_id_text == "1790000000120201709277900001"


def test_a_block_longer_than_known_is_read_and_its_rest_skipped() -> None:
    """A later version appends to the block; the market still follows at the header's length."""
    frame = sbe_frame("bbo")
    longer = sbe.HEADER.pack(56, 2, 1, 9) + frame[8:56] + bytes(8) + frame[56:]

    assert sbe.decode(longer) == sbe.decode(frame)


def test_longer_book_entries_are_read_and_their_rest_skipped() -> None:
    """A later version appends to the entries of a group."""
    frame = sbe_frame("book_snapshot")
    groups = 8 + 89
    bids = b"".join(frame[groups + 4 + 16 * i : groups + 20 + 16 * i] + bytes(8) for i in range(2))
    longer = (
        frame[:groups] + (24).to_bytes(2, "little") + (2).to_bytes(2, "little") + bids + frame[groups + 36 :]
    )

    assert sbe.decode(longer) == sbe.decode(frame)


def test_unknown_templates_are_skipped() -> None:
    """The venue adds templates without asking."""
    assert sbe.decode(sbe.HEADER.pack(4, 99, 1, 2) + bytes(4)) is None


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{frame['name']}-v{frame['schema_version']}")
def test_a_frame_cut_anywhere_is_an_error_or_an_older_version(frame: dict[str, Any]) -> None:
    """Never half a message: what is cut is named, unless the rest is one optional text."""
    whole = bytes.fromhex(frame["hex"])
    complete = sbe.decode(whole)
    assert complete is not None
    for length in range(len(whole)):
        try:
            message = sbe.decode(whole[:length])
        except sbe.SbeError:
            continue
        # Texts that later versions appended may be missing; everything before them may not.
        assert message is not None
        assert all(ours in (theirs, None) for ours, theirs in zip(message, complete, strict=True))
        assert frame["schema_version"] >= 2
        assert type(message).__name__ in ("TradeMessage", "OrderMessage", "FillMessage")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "no header"),
        (sbe.HEADER.pack(48, 2, 7, 1) + bytes(60), "schema id 7"),
        (sbe.HEADER.pack(40, 2, 1, 1) + bytes(60), "a block of 40 bytes"),
        (sbe.HEADER.pack(48, 2, 1, 1) + bytes(20), "ends inside its block"),
        (sbe.HEADER.pack(48, 2, 1, 1) + bytes(48) + b"\x02\xff\xfe", "not UTF-8"),
        (sbe.HEADER.pack(48, 2, 1, 1) + bytes(48) + b"\x09abc", "6 bytes early"),
        (sbe.HEADER.pack(89, 3, 1, 1) + bytes(89) + b"\x08\x00\x01\x00" + bytes(30), "entries of 8 bytes"),
        (sbe.HEADER.pack(48, 2, 1, 1) + bytes(8) + (1 << 63).to_bytes(8, "little") + bytes(33), "null"),
    ],
)
def test_what_is_wrong_is_named(frame: bytes, reason: str) -> None:
    """The message is for whoever reads the log the day the schema changes."""
    with pytest.raises(sbe.SbeError, match=reason):
        sbe.decode(frame)


@given(st.sampled_from([1, 2, 3, 4, 5, 20, 21, 22, 23, 40, 77]), st.integers(0, 300), st.binary(max_size=500))
def test_any_bytes_give_a_message_or_an_sbe_error(template: int, block_length: int, rest: bytes) -> None:
    """A hostile or broken venue cannot end the process."""
    try:
        sbe.decode(sbe.HEADER.pack(block_length, template, 1, 2) + rest)
    except sbe.SbeError:
        return
