"""Prepares descriptors 0, 1 and 2 for processes and tools, in whatever state the parent left them."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import BinaryIO, Final, NoReturn, TextIO

from observability.plain_text import plain_lines

_NULL: Final = "/dev/null"


def open_standard_streams() -> None:
    """Open on /dev/null what is closed of descriptors 0, 1 and 2, before anything of ours is given them.

    A daemoniser may start us with standard output closed. The next file opened would then be number 1,
    and every line of the log written into it. Children inherit what is opened here.
    """
    for wanted, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(wanted)
        except OSError:
            opened = os.open(_NULL, os.O_RDWR)
            assert opened == wanted, "the lowest free number: those below are open"
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:  # how Python starts where the descriptor was closed
            raw = io.FileIO(wanted, "rb" if wanted == 0 else "wb", closefd=False)
            buffer = io.BufferedReader(raw) if wanted == 0 else io.BufferedWriter(raw)
            setattr(sys, name, io.TextIOWrapper(buffer, encoding="utf-8"))


def run_command(main: Callable[[], int]) -> NoReturn:
    """Run a command and end. A reader that has gone (``| head``) is no error of ours."""
    sys.stdout = ToolOutput(sys.stdout)
    try:
        try:
            code = main()
        finally:
            sys.stdout.flush()
    except OutputFailed as error:
        # What is still buffered has nowhere to go; the interpreter would try once more.
        os.dup2(os.open(_NULL, os.O_WRONLY), 1)
        if error.errno != errno.EPIPE:
            sys.stderr.write(f"standard output: {error.strerror}\n")
        code = 1
    sys.exit(code)


class OutputFailed(OSError):
    """Standard output takes nothing more."""


class PatientFile(io.FileIO):
    """A file that waits for room where its descriptor does not: one set to O_NONBLOCK by who shares it."""

    def write(self, data: object) -> int:
        """Raises OutputFailed."""
        try:
            while (count := super().write(data)) is None:  # type: ignore[arg-type]
                select.select([], [self], [])
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from error
        return count


class ToolOutput(io.TextIOBase):
    """Standard output of a tool: whatever was read from outside cannot drive the terminal.

    A terminal that is not UTF-8 shows question marks for what it cannot show.
    """

    def __init__(self, stream: TextIO) -> None:
        raw = PatientFile(stream.fileno(), "wb", closefd=False)
        self.unguarded = io.TextIOWrapper(
            io.BufferedWriter(raw), stream.encoding, errors="replace", line_buffering=stream.isatty()
        )

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.unguarded.encoding

    @property
    def buffer(self) -> BinaryIO:
        """For what is bytes already."""
        return self.unguarded.buffer

    def write(self, text: str) -> int:
        self.unguarded.write(plain_lines(text))
        return len(text)

    def flush(self) -> None:
        self.unguarded.flush()

    def fileno(self) -> int:
        return self.unguarded.fileno()

    def isatty(self) -> bool:
        return self.unguarded.isatty()

    def writable(self) -> bool:
        return True


def for_drawing(stream: TextIO | io.TextIOBase) -> TextIO:
    """Where a screen is drawn: its sequences are ours, and the texts in it are made plain by who draws it."""
    unguarded: TextIO = getattr(stream, "unguarded", None) or stream  # type: ignore[assignment]
    return unguarded
