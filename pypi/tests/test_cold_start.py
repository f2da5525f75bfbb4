"""B6 and B7: an instance that sleeps makes an answer slower, never wrong; and deadlines hold."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from picobase import InstanceUnavailableError
from support.world import World, failure, unique, until

STALL = {"path_prefix": "/api/", "action": {"type": "stall"}}
# Far more than a slow machine needs, far less than what would end without the deadline.
LATE = 20


def asleep(ms: int | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Sleeps for that long after it was first asked, or until the faults are others."""
    action = {"type": "respond", "status": 503, "headers": headers or {}, "body": "waking up"}
    return {"path_prefix": "/api/", "action": action, **({"for_ms": ms, "from": "first_hit"} if ms else {})}


@pytest.mark.parametrize(("headers", "pause"), [({"Retry-After": "1"}, 990), ({}, 0)], ids=["Retry-After", "without"])
async def test_thirty_calls_wait_for_one_probe_and_creates_happen_once(world: World, headers: dict[str, str], pause: int) -> None:
    proxy = world.proxy()
    states: list[str] = []
    client = world.client(proxy.url)
    client.on_state(states.append)
    posts, title = client.collection("posts"), unique("thirty")
    await posts.get_list(1, 1)
    proxy.forget()
    proxy.faults(asleep(headers=headers))
    # Each with a query of its own, by which it is known again.
    calls = asyncio.gather(
        *(
            posts.create({"title": title, "n": n}, query={"n": n}) if n % 2 else posts.get_list(1, 1, query={"n": n})
            for n in range(30)
        )
    )
    # It sleeps for as long as it takes to be asked a few times.
    await until(lambda: len(proxy.probes()) >= 3)
    proxy.faults()
    await calls
    await until(lambda: states == ["starting", "ready"])
    asked = proxy.probes()
    assert len(asked) <= 12
    for before, after in itertools.pairwise(asked):
        # The next one begins when this one was answered, which is before the proxy has noted its end.
        assert after["started_ms"] - before["started_ms"] >= pause
    made = await posts.get_list(1, 100, filter=f"title = '{title}'")
    assert sorted(post["n"] for post in made) == list(range(1, 30, 2))


async def test_it_does_not_wake_up(world: World) -> None:
    proxy = world.proxy()
    states: list[str] = []
    proxy.faults({"path_prefix": "/api/", "action": {"type": "respond", "status": 503}})
    client = world.client(proxy.url, cold_start_timeout=6, on_state=states.append)
    error = await failure(client.collection("posts").get_list(), "InstanceUnavailable")
    assert error.status == 503
    assert error.attempts > 1
    await until(lambda: states == ["starting", "unreachable"])
    # And then it does. When it is asked again may be later than a call waits.
    proxy.faults()

    async def answers() -> bool:
        try:
            return bool((await client.collection("posts").get_list(1, 1)).page)
        except InstanceUnavailableError:
            return False

    await until(answers)
    await until(lambda: states == ["starting", "unreachable", "ready"])


async def test_nobody_listens_there(world: World) -> None:
    client = world.client("http://127.0.0.1:9", cold_start_timeout=0.7, max_retries=0)
    error = await failure(client.collection("posts").get_list(1, 1), "InstanceUnavailable")
    assert error.fix


async def test_the_default_deadline_is_outlasted_and_an_explicit_one_holds(world: World) -> None:
    proxy = world.proxy()
    proxy.faults(asleep())
    posts = world.client(proxy.url).collection("posts")
    other = asyncio.ensure_future(posts.get_list(1, 1))
    error = await failure(posts.get_list(1, 1, timeout=0.7))
    assert error.kind in {"Timeout", "InstanceUnavailable"}
    proxy.faults()
    assert (await other).page == 1


async def test_health_passes_the_gate_and_opens_it(world: World) -> None:
    proxy = world.proxy()
    states: list[str] = []
    action = {"type": "respond", "status": 503, "headers": {"Retry-After": "50"}}
    proxy.faults({"path_prefix": "/api/collections", "times": 1, "action": action})
    client = world.client(proxy.url, on_state=states.append)
    begun = time.monotonic()
    waiting = asyncio.ensure_future(client.collection("posts").get_list(1, 1))
    await until(lambda: states == ["starting"])
    await client.health()
    await waiting
    assert time.monotonic() - begun < LATE


async def test_a_family_shares_the_gate(world: World) -> None:
    proxy = world.proxy()
    states: list[str] = []
    proxy.faults(asleep(1500, {"Retry-After": "1"}))
    client = world.client(proxy.url)
    client.on_state(states.append)
    sibling = client.with_session("")
    first = asyncio.ensure_future(client.collection("posts").get_list(1, 1))
    await until(lambda: states == ["starting"])
    await asyncio.gather(first, *(sibling.collection("posts").get_list(1, 1) for _ in range(10)))
    assert sum(entry["status"] == 503 for entry in proxy.requests()) <= 3


async def test_429_holds_back_its_own_call_only(world: World) -> None:
    proxy = world.proxy()
    action = {"type": "respond", "status": 429, "headers": {"Retry-After": "6"}}
    proxy.faults({"path_prefix": "/api/collections/posts", "times": 1, "action": action})
    client, begun = world.client(proxy.url), time.monotonic()
    throttled = asyncio.ensure_future(client.collection("posts").get_list(1, 1))
    await until(lambda: any(entry["ended_ms"] for entry in proxy.requests("/posts/")))
    await client.collection("bulk").get_list(1, 1)
    assert not throttled.done()
    await throttled
    assert time.monotonic() - begun > 5.99


async def test_429_for_good(world: World) -> None:
    proxy = world.proxy()
    body = {"status": 429, "message": "Slow down.", "data": {}}
    action = {"type": "respond", "status": 429, "headers": {"Retry-After": "1"}, "body": body}
    proxy.faults({"path_prefix": "/api/", "action": action})
    error = await failure(world.client(proxy.url, max_retries=1).collection("posts").get_list(), "RateLimited")
    assert (error.status, error.attempts, error.retry_after, error.message) == (429, 2, 1, "Slow down.")


async def test_502_and_504_are_asked_again_for_reads_and_not_for_writes(world: World) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    for status in (502, 504):
        proxy.respond(status, path_prefix="/api/")
        assert (await posts.get_list(1, 1)).page == 1
        proxy.respond(status, path_prefix="/api/")
        error = await failure(posts.create({"title": "x"}), "Server")
        assert (error.status, error.attempts) == (status, 1)


async def test_deadlines_end_the_request(world: World) -> None:
    proxy = world.proxy()
    proxy.faults(STALL)
    client, begun = world.client(proxy.url, timeout=0.3), time.monotonic()
    await failure(client.collection("posts").get_list(1, 1), "Timeout")
    await failure(client.health(timeout=0.3))
    assert 0.59 < time.monotonic() - begun < LATE
    await until(lambda: proxy.stats()["in_flight"] == 0)


async def test_a_server_that_restarts_is_waited_for(world: World) -> None:
    server = world.server()
    client = world.client(server.url)
    assert (await client.collection("posts").get_list(1, 1)).page == 1
    server.restart(800)
    assert (await client.collection("posts").get_list(1, 1)).page == 1
