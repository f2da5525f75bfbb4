"""What the tests share: members with a token, and someone who listens to a feed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import httpx
from picobase import AsyncClient

T = TypeVar("T")

Overrides = Mapping[Callable[..., Any], Callable[..., Any]]
Serve = Callable[..., Awaitable[httpx.AsyncClient]]
"""Starts a service in this process; see the fixture."""

COLLECTIONS = json.loads((Path(__file__).parent.parent / "collections.json").read_text())
"""What the README tells to import."""


def asleep(ms: int | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """An instance that sleeps, for that long after it was first asked, or for ever."""
    answer = {"type": "respond", "status": 503, "headers": headers or {}, "body": "waking up"}
    return {"path_prefix": "/api/", "action": answer, **({"for_ms": ms, "from": "first_hit"} if ms else {})}


@dataclass(frozen=True)
class Someone:
    """A member, and the header with which the service knows them."""

    id: str
    email: str
    password: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


async def sign_up(instance: AsyncClient) -> Someone:
    """A new member, as an app of ours would make one: at the instance itself."""
    email, password = f"{uuid4().hex}@example.com", uuid4().hex
    session = await instance.with_session(None).auth.sign_up(email, password)
    assert session is not None
    return Someone(session.user_id, email, password, session.token)


def detail(answer: httpx.Response, status: int) -> Any:
    """What an answer says that is none."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()["detail"]


def made(answer: httpx.Response, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, (answer.status_code, answer.text)
    return cast("dict[str, Any]", answer.json())


async def until(value: Callable[[], Awaitable[T]], is_good: Callable[[T], bool], patience: float = 30) -> T:
    """Waits until it is good."""
    end = time.monotonic() + patience
    while not is_good(now := await value()):
        assert time.monotonic() < end, f"it is still {now!r}"
        await asyncio.sleep(0.05)
    return now


class Ear:
    """Someone who listens to a feed, as a browser does."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def hear(self, patience: float = 30) -> tuple[str, dict[str, Any]]:
        """The next event."""
        name, data = "", ""
        async with asyncio.timeout(patience):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif not line and name:
                    return name, json.loads(data)
        raise AssertionError("the feed has ended")

    async def hear_of(self, id: str) -> tuple[str, dict[str, Any]]:
        """The next event of a post, whatever is told before it."""
        while True:
            name, data = await self.hear()
            if data.get("id") == id:
                return name, data

    async def comment(self, patience: float) -> str:
        """The next comment, which must come before any event."""
        async with asyncio.timeout(patience):
            async for line in self._lines:
                assert not line.startswith(("event", "data")), line
                if line.startswith(":"):
                    return line
        raise AssertionError("the feed has ended")

    async def end(self, patience: float = 30) -> None:
        """Waits for the end; whatever comes before it does not matter."""
        async with asyncio.timeout(patience):
            async for _ in self._lines:
                pass


@asynccontextmanager
async def listening(service: httpx.AsyncClient) -> AsyncIterator[Ear]:
    async with service.stream("GET", "/posts/feed") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Ear(answer)
