"""Services that take messages, on loopback, keeping what they were sent; they can be told to fail."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Taken(NamedTuple):
    """One request. ``body`` is what its JSON says."""

    path: str
    body: dict[str, Any]


class Service:
    """What a server was sent, and how it is to answer."""

    def __init__(self) -> None:
        self.status = 200
        self.description = "as told"
        self.header = ""  # a line among the headers, well-formed or not
        self.attempts = 0
        self.taken: list[Taken] = []
        self.port = 0
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def note(self, taken: Taken, *, is_taken: bool) -> None:
        with self.changed:
            self.attempts += 1
            if is_taken:
                self.taken.append(taken)
            self.changed.notify_all()

    def wait_until(self, is_so: Callable[[Service], bool], timeout_s: float = 60.0) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: is_so(self), timeout_s):
                raise AssertionError(f"not within {timeout_s:g} s; taken: {self.taken}")

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert a webhook was sent, in order."""
        return [alert for taken in list(self.taken) for alert in taken.body["alerts"]]

    def wait_for_alert(self, timeout_s: float = 60.0, **wanted: Any) -> dict[str, Any]:
        """The first alert with these fields."""

        def found(_: Service) -> bool:
            return any(wanted.items() <= alert.items() for alert in self.alerts())

        self.wait_until(found, timeout_s)
        return next(alert for alert in self.alerts() if wanted.items() <= alert.items())


@contextmanager
def http_service() -> Iterator[Service]:
    """Takes POSTs of JSON and answers as Telegram does, which nobody else minds."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            is_taken = service.status == 200
            answer = json.dumps({"ok": is_taken, "result": {}, "description": service.description}).encode()
            self.send_response(service.status)
            self.send_header("Content-Type", "application/json")
            if service.header:
                self.flush_headers()
                self.wfile.write(f"{service.header}\r\n".encode())
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            service.note(Taken(self.path, body), is_taken=is_taken)

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with _served(ThreadingHTTPServer(("127.0.0.1", 0), Handler), service):
        yield service


class Mail(NamedTuple):
    sender: str
    recipients: tuple[str, ...]
    text: str


class MailServer(Service):
    """A mail server that wants a user to log in."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__()
        self.mails: list[Mail] = []
        self.credentials = base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@contextmanager
def mail_server(user: str, password: str) -> Iterator[MailServer]:
    """As much of RFC 5321 and of AUTH PLAIN (RFC 4954) as a client sending mail needs."""
    server = MailServer(user, password)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            sender, recipients, may_send = "", [], False
            self._say("220 ready")
            while line := self.rfile.readline().decode().strip():
                word = line.upper()
                if word.startswith("EHLO"):
                    self._say("250-here\r\n250 AUTH PLAIN")
                elif word.startswith("AUTH PLAIN"):
                    may_send = line.split()[-1] == server.credentials
                    self._say("235 yes" if may_send else "535 no")
                elif word.startswith("MAIL FROM:") and may_send:
                    sender = line.partition("<")[2].partition(">")[0]
                    self._say("250 yes")
                elif word.startswith("RCPT TO:"):
                    recipients.append(line.partition("<")[2].partition(">")[0])
                    self._say("250 yes")
                elif word == "DATA":
                    self._say("354 go on")
                    text = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
                    server.mails.append(Mail(sender, tuple(recipients), text))
                    self._say("250 taken")
                elif word == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("503 not now")

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with _served(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler), server):
        yield server


@contextmanager
def _served(server: socketserver.TCPServer, service: Service) -> Iterator[None]:
    service.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
