"""A real server on the loopback that answers byte for byte what a case says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO


@dataclass
class Sent:
    """A request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes


@dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def bytes(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in self.headers.items())]
        if self.status not in (204, 304):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "\r\n"]).encode() + self.body


class Server:
    """Keeps what was sent, and answers by `answer`."""

    def __init__(self) -> None:
        self.requests: list[Sent] = []
        self.answer: Callable[[Sent], Answer] = self.answers_nothing
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, name="server", daemon=True).start()

    @staticmethod
    def answers_nothing(_: Sent) -> Answer:
        return Answer(200, b"{}")

    def begin(self, answer: Callable[[Sent], Answer]) -> None:
        """Anew, for a case."""
        self.requests = []
        self.answer = answer

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], name="connection", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while sent := _read(stream):
                    self.requests.append(sent)
                    connection.sendall(self.answer(sent).bytes())
            except OSError:
                # The client has closed it.
                return


def _read(stream: BinaryIO) -> Sent | None:
    line = stream.readline().decode()
    if not line:
        return None
    method, target, _ = line.split(" ")
    headers: dict[str, str] = {}
    while line := stream.readline().decode().strip("\r\n"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Sent(method, target, headers, _body(stream, headers))


def _body(stream: BinaryIO, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return stream.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body
