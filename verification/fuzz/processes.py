"""Readers of the processes: answers on the order connections, the journal's files."""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from executor.gateways.http_pool import AnswerLost, _Connection
from persistence.journal import (
    _FILE_HEAD,
    _HEAD,
    Journal,
    JournalError,
    files,
    pack_entry,
    pack_file_head,
    read_entries,
    read_file,
)
from runtime.clock import SystemClock
from venues.contract import HttpResponse
from verification.fuzz.oracles import check_error
from verification.fuzz.target import Target, join, split

ASKS, ENDS = 1, 2  # flags of a chunk: a request goes out before it, the server hangs up after it


class StubTransport:
    """A transport that writes nowhere. It closes as asyncio's do: by telling the protocol once."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.is_ended = False

    def end(self) -> None:
        if not self.is_ended:
            self.is_ended = True
            self._connection.connection_lost(None)

    abort = close = end

    def is_closing(self) -> bool:
        return self.is_ended

    def write(self, wire: bytes) -> None:
        assert not self.is_ended

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return self

    def setsockopt(self, *option: int) -> None: ...


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def http_answers(data: bytes) -> None:
    """Whatever bytes come: each request is answered exactly once, and nothing is raised into the loop."""
    connection = _Connection(_loop().create_future(), SystemClock())
    transport: Any = StubTransport(connection)
    connection.connection_made(transport)
    heard: list[list[HttpResponse | AnswerLost]] = []
    for flags, chunk in split(data):
        if flags & ASKS and connection.is_free:
            answers: list[HttpResponse | AnswerLost] = []
            heard.append(answers)
            connection.send(b"GET / HTTP/1.1\r\n\r\n", answers.append)
        if not transport.is_ended:
            connection.data_received(chunk)
        if flags & ENDS:
            transport.end()
    transport.end()
    assert connection.closed.done()
    assert all(len(answers) == 1 for answers in heard), heard
    for [answer] in heard:
        if isinstance(answer, HttpResponse):
            assert 200 <= answer.status <= 65_535, answer.status
            assert all(name == name.lower() for name in answer.headers)


def http_seeds() -> Sequence[bytes]:
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nRetry-After: 1\r\n\r\n{"id":"0x1"}'
    chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
    return [
        join([(ASKS, whole)]),
        join([(ASKS, whole), (ASKS, chunked)]),
        join([(ASKS, whole[:20]), (0, whole[20:])]),
        join([(ASKS, chunked[:50]), (0, chunked[50:])]),
        join([(0, whole)]),
        join([(ASKS, whole + whole)]),
        join([(ASKS, b"HTTP/1.1 100 Continue\r\n\r\n" + whole)]),
        join([(ASKS, b"HTTP/1.1 503 Unavailable\r\nConnection: close\r\n\r\n<html>"), (ENDS, b"</html>")]),
        join([(ASKS, b"HTTP/1.0 429 Slow\r\nContent-Length: 0\r\n\r\n")]),
        join([(ASKS | ENDS, whole[:40])]),
        join([(ASKS, b"HTTP/1.1 204 No Content\r\n\r\n")]),
        join([(ASKS, b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nx")]),
    ]


def journal(data: bytes) -> None:
    """Any file is read up to its first damage, and a journal opened on it goes on behind that.

    A part whose flag says so gets the checksum that belongs to it, or mutation would never pass it.
    """
    content, checksum = b"", 0
    for flags, part in split(data):
        if flags & 1 and content:
            part, checksum = _sealed(part, checksum)
        content += part
    ends = [0]
    for entry in read_entries(io.BytesIO(content[_FILE_HEAD.size :]), 1, 0):
        assert ends[-1] < entry.end <= len(content)
        ends.append(entry.end)
    directory = Path(tempfile.mkdtemp(prefix="tandem-fuzz-", dir="/dev/shm"))
    try:
        (directory / "0000000000000000001.journal").write_bytes(content)
        opened = Journal(directory, "run", epoch=1)
        number = opened.append("executor", 8, b"next")
        opened.close()
        (last,) = read_file(files(directory)[-1])
        assert (last.number, last.payload) == (number, b"next")
    except JournalError as error:
        check_error(error)
    finally:
        shutil.rmtree(directory)


def _sealed(record: bytes, previous_checksum: int) -> tuple[bytes, int]:
    """The record with the length and checksum it ought to have, and that checksum."""
    record = record.ljust(_HEAD.size, b"\0")
    length = (len(record) - _HEAD.size).to_bytes(4, "little")
    checksum = crc32(record[8:], previous_checksum)
    return length + checksum.to_bytes(4, "little") + record[8:], checksum


def journal_seeds() -> Sequence[bytes]:
    head = pack_file_head("run", 0, 0)
    records: list[bytes] = []
    checksum = 0
    for number in (1, 2, 3):
        record, checksum = pack_entry(number, "executor", 8 * number, b'{"event":"x"}', checksum)
        records.append(record)
    return [
        join([(0, head)]),
        join([(0, head), *((1, record) for record in records)]),
        join([(0, head), (0, records[0]), (0, records[1][:-3])]),
        join([(0, records[0]), (0, records[1])]),
    ]


TARGETS: Final = (
    Target("http_answers", http_answers, http_seeds),
    Target("journal", journal, journal_seeds),
)
