"""Serves the control socket: one JSON line is the request, one is the answer, then the connection ends.

The socket lies in the instance's memory directory (0700), mode 0600. It answers its owner and root alone,
by the kernel's credentials, whatever those modes are. It belongs to the supervisor, whose loop is not
asyncio's: the supervisor waits for ``Channel.fd`` among its own descriptors and calls ``do_work``.
A client that hangs, sends rubbish or never reads costs a few kilobytes until its time is over.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import selectors
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from shm.ownership import check_readable_folder
from shm.segment import SegmentError

_NAME: Final = "control.sock"
_LINE_MAX: Final = 65_536
_CONNECTIONS_MAX: Final = 8
_CONVERSATION_S: Final = 5.0  # for a whole request to come, and for its answer to be taken
_PASSES: Final = 8  # of asyncio's loop in one ``do_work``: a request is a chain of callbacks
_BUSY_WAIT_S: Final = 0.02
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid

Request = Mapping[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Request, str], Awaitable[Answer]]  # what is asked, and by whom


class Channel:
    """The supervisor's end. ``on_refused`` is called with the reason of every request that is not served."""

    def __init__(self, directory: Path, handle: Handler, on_refused: Callable[[str], None]) -> None:
        self._handle = handle
        self._on_refused = on_refused
        self._path = directory / _NAME
        self._connections = 0
        selector = selectors.EpollSelector()
        self.fd = selector.fileno()
        self._loop = asyncio.SelectorEventLoop(selector)
        self._loop.set_exception_handler(self._failed)
        self._server = self._loop.run_until_complete(
            asyncio.start_unix_server(self._serve, sock=_listening(directory), limit=_LINE_MAX)
        )

    def do_work(self) -> None:
        """Do what is due; never waits."""
        for _ in range(_PASSES):
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def patience_s(self, timeout_s: float) -> float:
        """How long the supervisor may wait before it calls ``do_work`` again."""
        return min(timeout_s, _BUSY_WAIT_S) if self._connections else timeout_s

    def close(self) -> None:
        """End every connection and remove the socket."""
        self._server.close()
        self._path.unlink(missing_ok=True)
        self._loop.run_until_complete(self._end_all())
        self._loop.close()

    async def _end_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one conversation ---

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            answer = await self._converse(reader, writer)
            writer.write(json.dumps(answer).encode() + b"\n")
            async with asyncio.timeout(_CONVERSATION_S):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # the client is gone; its command is carried out all the same
        finally:
            self._connections -= 1
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
        uid, who = _peer(writer.get_extra_info("socket"))
        # Read first, also what is refused: an answer beside unread bytes would be lost in a reset.
        try:
            async with asyncio.timeout(_CONVERSATION_S):
                line = await _read_line(reader)
        except TimeoutError:
            return self._refuse(who, f"no whole line within {_CONVERSATION_S:g} s")
        if uid not in (os.getuid(), 0):
            return self._refuse(who, "this instance belongs to another user")
        if self._connections > _CONNECTIONS_MAX:
            return self._refuse(who, "too many are asking at once; try again")
        if line is None:
            return self._refuse(who, f"a line longer than {_LINE_MAX} bytes")
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return self._refuse(who, "not one line of JSON")
        if not isinstance(request, dict) or not isinstance(request.get("command"), str):
            return self._refuse(who, 'not an object with a "command"')
        return await self._handle(request, who)

    def _refuse(self, who: str, why: str) -> Answer:
        self._on_refused(f"{who}: {why}")
        return failure(why)

    def _failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error of our own ends its conversation and is reported."""
        error = context.get("exception")
        self._on_refused(f"{context['message']}: {type(error).__name__}: {error}")


async def _read_line(reader: asyncio.StreamReader) -> bytes | None:
    """The first line, or what comes before the end; None, and thrown away, if it is too long."""
    is_too_long = False
    while True:
        try:
            line = await reader.readuntil()
        except asyncio.LimitOverrunError as error:
            is_too_long = True
            await reader.readexactly(error.consumed)
        except asyncio.IncompleteReadError as error:
            return None if is_too_long else error.partial
        else:
            return None if is_too_long else line


def failure(why: str, **fields: Any) -> Answer:
    """The answer to a command that cannot be carried out."""
    return {"ok": False, "summary": why, **fields}


def _listening(directory: Path) -> socket.socket:
    """The listening socket, with mode 0600 from its creation on."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    with _short(directory) as short:
        before = os.umask(0o177)
        try:
            listening.bind(f"{short}/{_NAME}")
        finally:
            os.umask(before)
    listening.listen(_CONNECTIONS_MAX)
    return listening


@contextmanager
def _short(directory: Path) -> Iterator[str]:
    """The directory by a path short enough for a socket's address, which holds 107 bytes."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _peer(connection: socket.socket) -> tuple[int, str]:
    """The client by the kernel's credentials: its uid, and a name for the log."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(found)
    name = str(uid)
    with suppress(KeyError):
        name = pwd.getpwuid(uid).pw_name
    return uid, f"{name}, pid {pid}"


# --- the other end ---


class NobodyAnswers(SegmentError):
    """No supervisor listens. The text says what to do."""


def ask(directory: Path, request: Request, timeout_s: float) -> Answer:
    """Ask a running instance. Raises NobodyAnswers."""
    deadline_s = time.monotonic() + timeout_s
    try:
        check_readable_folder(directory)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, _short(directory) as short:
            connection.settimeout(timeout_s)
            connection.connect(f"{short}/{_NAME}")
            connection.sendall(json.dumps(request).encode() + b"\n")
            received = b""
            while not received.endswith(b"\n"):
                connection.settimeout(max(0.01, deadline_s - time.monotonic()))
                part = connection.recv(_LINE_MAX)
                if not part:
                    raise NobodyAnswers(
                        f"the supervisor has ended the conversation (instance {directory}); see its log"
                    )
                received += part
    except SegmentError as error:
        raise NobodyAnswers(str(error)) from error
    except TimeoutError as error:
        raise NobodyAnswers(
            f"no answer within {timeout_s:g} s (instance {directory}); see the supervisor's log"
        ) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NobodyAnswers(
            f"no supervisor listens in {directory}: the instance has ended or was killed; start it again"
        ) from error
    except PermissionError as error:
        raise NobodyAnswers(f"{directory} belongs to another user: ask as that user") from error
    except OSError as error:
        raise NobodyAnswers(f"{directory}: {error.strerror}; see the supervisor's log") from error
    answer: Answer = json.loads(received)
    return answer
