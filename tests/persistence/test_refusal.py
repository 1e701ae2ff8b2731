"""Whether a server's no is the operator's to correct, told by its code: its words may be in any language."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable

import pytest

from persistence.refusal import is_refused

Answer = Callable[[socket.socket], None]


def an_error(code: str, text: str) -> bytes:
    """ErrorResponse, as in "Message Formats" of PostgreSQL's documentation."""
    fields = (b"SFATAL", b"VFATAL", b"C" + code.encode(), b"M" + text.encode())
    body = b"".join(field + b"\0" for field in fields) + b"\0"
    return b"E" + struct.pack(">i", 4 + len(body)) + body


def asked(answer: bytes) -> bool:
    """What is made of a server that answers a connection with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4_096)  # StartupMessage
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        try:
            return is_refused(
                f"postgresql://me:s3cret@127.0.0.1:{listener.getsockname()[1]}/db?sslmode=disable"
            )
        finally:
            server.join()


@pytest.mark.parametrize(
    ("code", "text", "is_the_address"),
    [
        ("28P01", "Passwort-Authentifizierung für Benutzer »me« fehlgeschlagen", True),
        ("28000", "kein pg_hba.conf-Eintrag für Host »127.0.0.1«", True),
        ("28000", "Rolle »me« existiert nicht", True),
        ("3D000", "la base de données « db » n'existe pas", True),
        ("XX000", "Tenant or user not found", True),
        ("XX000", 'something else of the pooler, C "28P01" M "in its text"', False),
        ("57P03", "das Datenbanksystem startet", False),
        ("53300", "Verbindungen sind für Superuser reserviert", False),
    ],
)
def test_a_refusal_is_known_by_its_code(code: str, text: str, is_the_address: bool) -> None:
    """In English alone, a wrong password of a German server was taken for an outage, for ever."""
    assert asked(an_error(code, text)) is is_the_address


def test_a_server_that_wants_a_password_and_was_given_none_is_one() -> None:
    cleartext = b"R" + struct.pack(">ii", 8, 3)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(cleartext)
                connection.recv(4_096)  # nothing comes: it hangs up

        server = threading.Thread(target=serve)
        server.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert is_refused(f"postgresql://me@{address}/db?sslmode=disable&passfile=/nonexistent")
        server.join()


@pytest.mark.parametrize("url", ["postgresql://me@127.0.0.1:1/db", "postgresql://me@/db?host=/nonexistent"])
def test_a_server_that_is_not_there_has_refused_nothing(url: str) -> None:
    assert not is_refused(url)


def test_a_process_with_a_thousand_open_files_can_still_ask() -> None:
    """select() refuses descriptors from 1024 on."""
    many = [os.open("/dev/null", os.O_RDONLY) for _ in range(1_100)]
    try:
        assert asked(an_error("28P01", "no"))
    finally:
        for fd in many:
            os.close(fd)
