"""The text frames of both sockets: JSON-RPC 2.0 replies and subscription notifications.

Replies may come in any order, an error's ``data`` is a text or missing, and a frame may end in a
newline. Source: Paradex documentation, "WebSocket: general information", and its OpenRPC file.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import orjson

from observability.redaction import redact
from venues.paradex.messages import PayloadError, read_json

# Ids of our session requests: even numbers from 2**53 up. Client order ids, which are the ids of
# creates, end below; and even ones stay exact where a server reads every number as a double.
FIRST_SESSION_ID: Final = 2**53
SESSION_ID_STEP: Final = 2


class RpcError(msgspec.Struct, frozen=True):
    code: int
    message: str = ""
    data: Any = None  # a text where documented; shown as it is where not

    @property
    def text(self) -> str:
        """The venue's message and data on one line, secrets removed."""
        return redact(f"{self.message}: {self.data}" if self.data else self.message)


class Params(msgspec.Struct, frozen=True):
    channel: str
    data: msgspec.Raw


_ABSENT: Final = msgspec.Raw()


class RpcMessage(msgspec.Struct, frozen=True):
    """A reply has an id and a result or an error; a notification has method and params."""

    jsonrpc: str = ""
    id: int | None = None
    result: msgspec.Raw = _ABSENT
    error: RpcError | None = None
    method: str = ""
    params: Params | None = None


class _IdJson(msgspec.Struct, frozen=True):
    id: int | None = None
    method: str = ""


_DECODER: Final = msgspec.json.Decoder(RpcMessage)
_ID_DECODER: Final = msgspec.json.Decoder(_IdJson)


def parse_rpc(frame: bytes) -> RpcMessage:
    """Return the message of a text frame. Raises PayloadError if it is neither reply nor notification."""
    message = read_json(_DECODER, frame)
    if message.error is not None and message.result is not _ABSENT:
        raise PayloadError("a reply with a result and an error")
    is_notification = message.method == "subscription" and message.params is not None
    is_reply = message.error is not None or (message.id is not None and message.result is not _ABSENT)
    if is_notification == is_reply:
        raise PayloadError("neither a reply nor a notification")
    return message


def id_of(frame: bytes) -> int | None:
    """The id of the reply that a text frame is which cannot be read otherwise; None where it has none."""
    try:
        reply = read_json(_ID_DECODER, frame)
    except PayloadError:
        return None
    return None if reply.method else reply.id


def render_request(request_id: int, method: str, params: dict[str, Any]) -> bytes:
    """One JSON-RPC 2.0 request as a text frame."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
