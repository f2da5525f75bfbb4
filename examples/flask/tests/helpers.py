"""Visitors, and what they send."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

PASSWORD = "correct horse battery"
HERE = {"Origin": "http://localhost"}


@dataclass
class Visitor:
    """A browser: its cookies, and the address it knows the board by."""

    browser: FlaskClient
    email: str = ""

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.browser.get(path, buffered=True, **more)

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> TestResponse:
        return self.browser.post(path, data=data, headers=HERE, **more)

    def sign_up(self, name: str) -> None:
        self.email = f"{name.lower()}-{uuid.uuid4().hex[:8]}@example.com"
        answer = self.post("/sign-up", {"name": name, "email": self.email, "password": PASSWORD})
        assert answer.status_code == 303, answer.text

    def sign_in(self, **more: Any) -> TestResponse:
        return self.post("/sign-in", {"email": self.email, "password": PASSWORD, **more})

    def pin(self, title: str, **more: Any) -> str:
        """Pins a post; answers its path."""
        answer = self.post("/posts/new", {"title": title, "body": "", **more})
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def cookie(self) -> str | None:
        cookie = self.browser.get_cookie("pb_auth")
        return cookie.value if cookie else None


Arrive = Callable[..., Visitor]


def png(size: int = 200) -> tuple[BytesIO, str]:
    """A picture as a form sends it, and its file's name."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xa3\x29\x6f" * size) * size
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return BytesIO(b"\x89PNG\r\n\x1a\n" + data), "flower.png"
