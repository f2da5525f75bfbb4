"""What a test opens: proxies, servers and clients, closed when it ends."""

from __future__ import annotations

import asyncio
import gc
import itertools
import secrets
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from picobase import AsyncClient, Client, PicoBaseError

from .awaited import awaited
from .kit import Proxy, Server, Testkit

_count = itertools.count()


def unique(word: str) -> str:
    """A word that no other test has."""
    return f"{word}{int(time.time() * 1000):x}{next(_count):x}{secrets.token_hex(3)}"


async def until(what: Callable[[], Any], holds: Callable[[Any], bool] = bool, seconds: float = 40) -> Any:
    """Waits until it holds; fails with what stood there last. The limit is for what never comes, not for what is slow."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if isinstance(value, Awaitable):
            value = await value
        if holds(value):
            return value
        assert time.monotonic() < end, f"not within {seconds} s; last: {value!r}"
        await asyncio.sleep(0.02)


def collected(gone: weakref.ref[Any]) -> bool:
    """Is the object no more? Another thread that was given it may hold it for a moment longer: ask with `until`."""
    gc.collect()
    return gone() is None


async def failure(call: Awaitable[Any], kind: str | None = None) -> PicoBaseError:
    """The error of a call that must fail, which must be the package's own."""
    with pytest.raises(PicoBaseError) as caught:
        await call
    assert kind is None or caught.value.kind == kind, f"{caught.value.kind}: {caught.value}"
    return caught.value


class World:
    """Makes clients of one kind, `async` or `sync`, with the face of the one for asyncio."""

    def __init__(self, kit: Testkit, kind: str) -> None:
        self.kit, self.kind = kit, kind
        self._ends: list[Callable[[], Any]] = []

    @property
    def is_sync(self) -> bool:
        return self.kind == "sync"

    def later(self, end: Callable[[], Any]) -> None:
        """Done when the test ends, the last one first."""
        self._ends.append(end)

    def proxy(self, **options: Any) -> Proxy:
        """A proxy of the test's own before the server that all share."""
        proxy = self.kit.proxy(**options)
        self.later(proxy.close)
        return proxy

    def server(self, **options: Any) -> Server:
        server = self.kit.server(**options)
        self.later(server.close)
        return server

    def client(self, url: str | None = None, api_key: str | None = None, **options: Any) -> Any:
        made: Any = Client if self.is_sync else AsyncClient
        client = awaited(made(url or self.kit.url, api_key, **options))
        self.later(client.close)
        return client

    async def user(self, url: str | None = None, **options: Any) -> Any:
        """A client that is signed in as a new user of `users`."""
        client = self.client(url, **options)
        await client.auth.sign_up(unique("user") + "@example.com", self.kit.password)
        return client

    def superuser(self, url: str | None = None, **options: Any) -> Any:
        return self.client(url, **options).with_session(self.kit.superuser_token())

    async def end(self) -> None:
        for end in reversed(self._ends):
            done = end()
            if isinstance(done, Awaitable):
                await done
