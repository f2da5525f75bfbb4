"""B6: every call, transfer and wait can be given a deadline and can be cancelled, and its request ends with it."""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from picobase import AsyncClient
from support.kit import Proxy, Testkit
from support.world import World, failure, unique, until

STALL = {"path_prefix": "/api/", "action": {"type": "stall"}}
# Else the proxy would not see that the connection has ended: what was sent before lies there unread.
READ = {"path_prefix": "/api/", "action": {"type": "stall", "when": "after_request_bytes", "bytes": 1_000_000}}
ASLEEP = {"path_prefix": "/api/", "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}}
NEVER = Path(tempfile.gettempdir()) / unique("never")
OWNER = ("posts", "aaaaaaaaaaaaaaa")
# Far more than a slow machine needs, far less than what would end without the deadline.
LATE = 20


async def walk(client: Any, options: Any) -> None:
    async for _ in client.collection("posts").iterate(**options):
        raise AssertionError("nothing comes")


async def read(client: Any, options: Any) -> None:
    async for _ in client.files.stream(OWNER, "a.txt", **options):
        raise AssertionError("nothing comes")


async def batch(client: Any, options: Any) -> None:
    writes = client.batch()
    writes.collection("posts").create({"title": "x"})
    await writes.send(**options)


async def subscribe(client: Any, options: Any) -> None:
    await client.collection("posts").subscribe("*", **options)


async def live(client: Any, options: Any) -> None:
    await client.collection("posts").live(**options)


#: What waits for an answer, by its name.
WAITS: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {
    "get_one": lambda client, options: client.collection("posts").get_one("x", **options),
    "get_full_list": lambda client, options: client.collection("posts").get_full_list(**options),
    "get_many": lambda client, options: client.collection("posts").get_many(["x"], **options),
    "iterate": walk,
    "create": lambda client, options: client.collection("posts").create({"title": "x"}, **options),
    "upload": lambda client, options: client.files.upload("posts", io.BytesIO(b"x"), **options),
    "download": lambda client, options: client.files.download(OWNER, "a.txt", **options),
    "download_to": lambda client, options: client.files.download_to(OWNER, "a.txt", NEVER, **options),
    "stream": read,
    "batch": batch,
    "sign_in": lambda client, options: client.auth.sign_in("ada@example.com", "password", **options),
    "subscribe": subscribe,
    "live": live,
    "health": lambda client, options: client.health(**options),
    "send": lambda client, options: client.send("/api/own", **options),
}


async def rests(proxy: Proxy) -> None:
    """Waits until no request is under way."""
    await until(lambda: proxy.stats()["in_flight"] == 0)


@pytest.mark.parametrize("name", WAITS)
async def test_a_deadline_ends_whatever_waits(world: World, name: str) -> None:
    proxy = world.proxy()
    proxy.faults(READ if name == "upload" else STALL)
    begun = time.monotonic()
    await failure(WAITS[name](world.client(proxy.url), {"timeout": 0.3}), "Timeout")
    assert 0.29 < time.monotonic() - begun < LATE
    await rests(proxy)
    assert not await asyncio.to_thread(NEVER.exists)


@pytest.mark.parametrize("name", WAITS)
async def test_cancelling_ends_whatever_waits(kit: Testkit, name: str) -> None:
    proxy = kit.proxy()
    proxy.faults(READ if name == "upload" else STALL)
    async with AsyncClient(proxy.url) as client:
        task = asyncio.ensure_future(WAITS[name](client, {}))
        await until(lambda: proxy.stats()["in_flight"] > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await rests(proxy)
    proxy.close()


async def test_cancelling_ends_transfers_that_are_under_way(kit: Testkit, tmp_path: Path) -> None:
    proxy, data, moved = kit.proxy(), bytes(1_500_000), list[int]()
    async with AsyncClient(proxy.url) as client:
        post = await client.files.upload("posts", data, field="attachments", data={"title": unique("transfer")})
        for direction in ("request", "response"):
            # All of it may lie in the system's buffers already, where the proxy comes to its end after 15 s.
            proxy.faults({"path_prefix": "/api/", "action": {"type": "slow", "bytes_per_sec": 100_000, "direction": direction}})
            moved.clear()
            call: Awaitable[Any]
            if direction == "request":
                call = client.files.upload("posts", data, field="attachments", data={"title": "x"}, on_progress=moved.append)
            else:
                (name,) = post["attachments"]
                call = client.files.download_to(post, name, tmp_path / "down.bin", on_progress=moved.append)
            task = asyncio.ensure_future(call)
            await until(lambda: moved)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await rests(proxy)
        await until(lambda: list(tmp_path.iterdir()) == [])
    proxy.close()


async def test_the_listener_of_a_subscription_that_was_late_is_gone(world: World) -> None:
    proxy = world.proxy()
    proxy.faults({"path": "/api/realtime", "action": {"type": "stall"}})
    posts = world.client(proxy.url).collection("posts")
    got: list[Any] = []

    async def late() -> None:
        await posts.subscribe("*", got.append, timeout=0.4)

    await failure(late(), "Timeout")
    proxy.faults()
    title = unique("late")
    events = await posts.subscribe("*")
    await posts.create({"title": title})
    while (await events.next(timeout=30)).record["title"] != title:
        pass
    assert got == []


async def test_the_others_go_on_when_the_probe_gives_up(world: World) -> None:
    proxy = world.proxy()
    proxy.faults(ASLEEP)
    states: list[str] = []
    posts = world.client(proxy.url, on_state=states.append).collection("posts")
    probe = asyncio.ensure_future(posts.get_list(1, 1, timeout=5))
    await until(lambda: states == ["starting"])
    other = asyncio.ensure_future(posts.get_list(1, 1))
    error = await failure(probe)
    assert error.kind in {"Timeout", "InstanceUnavailable"}
    proxy.faults()
    assert (await other).page == 1
    await until(lambda: states == ["starting", "ready"])


async def test_the_others_go_on_when_the_probe_is_cancelled(kit: Testkit) -> None:
    proxy, states = kit.proxy(), list[str]()
    proxy.faults(ASLEEP)
    async with AsyncClient(proxy.url, on_state=states.append) as client:
        posts = client.collection("posts")
        probe = asyncio.ensure_future(posts.get_list(1, 1))
        await until(lambda: states == ["starting"])
        other = asyncio.ensure_future(posts.get_list(1, 1))
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert not other.done()
        proxy.faults()
        assert (await other).page == 1
        await until(lambda: states == ["starting", "ready"])
    proxy.close()
