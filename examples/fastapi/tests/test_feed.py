"""The feed, on a real server: `python -m app`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from picobase import Lagged, Resync

from app.feed import Listener, message
from helpers import Someone, asleep, listening, made, until
from support.kit import Proxy, Server

ROOT = Path(__file__).parent.parent


class Program:
    """The service as a process of its own, and what it has logged."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.log = ""

    async def read(self, pattern: str) -> re.Match[str] | None:
        """Reads its log until a line has that, or to the end."""
        assert self.process.stderr
        while line := (await self.process.stderr.readline()).decode():
            self.log += line
            if found := re.search(pattern, line):
                return found
        return None


@asynccontextmanager
async def started(**environment: str) -> AsyncIterator[Program]:
    environ = {**os.environ, "PORT": "0", **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", cwd=ROOT, env=environ, stderr=PIPE, stdout=2
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


Running = tuple[Program, httpx.AsyncClient]


@asynccontextmanager
async def running(**environment: str) -> AsyncIterator[Running]:
    async with started(**environment) as program:
        found = await program.read(r"running on (http://\S+)")
        assert found, program.log
        async with httpx.AsyncClient(base_url=found[1], timeout=30) as service:
            yield program, service


@pytest_asyncio.fixture
async def program(proxy: Proxy) -> AsyncIterator[Running]:
    async with running(PICOBASE_URL=proxy.url) as program:
        yield program


async def is_down(proxy: Proxy) -> bool:
    """Does nobody listen at the instance's address?"""
    try:
        async with httpx.AsyncClient() as anyone:
            await anyone.get(f"{proxy.url}/api/health")
    except httpx.ConnectError:
        return True
    except httpx.HTTPError:
        pass
    return False


async def streams(proxy: Proxy) -> list[dict[str, Any]]:
    """The streams at the instance, so far."""
    log = await asyncio.to_thread(proxy.requests, "/api/realtime")
    return [entry for entry in log if entry["method"] == "GET"]


async def test_two_listeners_and_one_subscription(program: Running, alice: Someone, proxy: Proxy) -> None:
    _, service = program
    async with listening(service) as one, listening(service) as two:
        assert one.answer.headers["cache-control"] == "no-cache"
        assert await one.hear() == ("resync", {"reason": "began"})
        assert (await two.hear())[0] == "resync"
        # The instance promises no order: each write waits until the one before it was told.
        post = made(await service.post("/posts", json={"title": "Heard"}, headers=alice.headers))
        assert [await one.hear(), await two.hear()] == [("create", post)] * 2
        at = f"/posts/{post['id']}"
        changed = made(await service.patch(at, json={"title": "Heard again"}, headers=alice.headers), 200)
        assert [await one.hear(), await two.hear()] == [("update", changed)] * 2
        assert (await service.delete(at, headers=alice.headers)).status_code == 204
        assert [await one.hear(), await two.hear()] == [("delete", {"id": post["id"]})] * 2
        async with listening(service) as late:
            assert await late.hear() == ("resync", {"reason": "joined"})
        assert len(await streams(proxy)) == 1
    # Nobody looks: the instance can sleep.
    await until(lambda: streams(proxy), lambda found: all(entry["ended_ms"] for entry in found))
    # And somebody comes again.
    async with listening(service) as again:
        assert await again.hear() == ("resync", {"reason": "began"})


async def test_the_instance_restarts(program: Running, alice: Someone, server: Server, proxy: Proxy) -> None:
    _, service = program
    async with listening(service) as one, listening(service) as two:
        await one.hear()
        await two.hear()
        for title in ("In the middle", "In the middle of another"):
            await asyncio.to_thread(server.kill)
            # A request that was already under way would be lost with it.
            await until(lambda: is_down(proxy), bool)
            writing = asyncio.create_task(service.post("/posts", json={"title": title}, headers=alice.headers))
            await asyncio.sleep(0.7)
            # It waits until the instance is there again, and so do those who listen.
            assert not writing.done()
            await asyncio.to_thread(server.start)
            post = made(await writing)
            assert (await one.hear_of(post["id"]))[1]["title"] == title
            assert (await two.hear_of(post["id"]))[1]["title"] == title
        last = made(await service.post("/posts", json={"title": "After it"}, headers=alice.headers))
        assert await one.hear_of(last["id"]) == ("create", last)
        assert await two.hear_of(last["id"]) == ("create", last)


async def test_an_instance_that_sleeps_on_is_asked_again(proxy: Proxy, alice: Someone) -> None:
    async with running(PICOBASE_URL=proxy.url, REQUEST_TIMEOUT="4") as (_, service):
        proxy.faults(asleep())
        async with listening(service) as ear:
            await until(lambda: asyncio.to_thread(proxy.requests, "/api/realtime"), lambda log: len(log) > 1)
            assert (await service.get("/posts")).status_code == 503
            proxy.faults()
            assert await ear.hear() == ("resync", {"reason": "began"})
            post = made(await service.post("/posts", json={"title": "Awake"}, headers=alice.headers))
            assert await ear.hear() == ("create", post)


async def test_a_feed_that_is_silent_says_that_it_lives(program: Running) -> None:
    _, service = program
    async with listening(service) as ear:
        await ear.hear()
        assert await ear.comment(patience=40) == ": ping"


async def test_the_service_ends_in_order(program: Running, proxy: Proxy) -> None:
    ending, service = program
    async with listening(service) as one, listening(service) as two:
        await one.hear()
        await two.hear()
        ending.process.send_signal(signal.SIGTERM)
        # As answers that are complete: a broken one would be an error.
        await one.end()
        await two.end()
    async with asyncio.timeout(30):
        await ending.read("never")
        assert await ending.process.wait() in (0, -signal.SIGTERM)
    assert "Application shutdown complete." in ending.log
    assert "Traceback" not in ending.log
    await until(lambda: streams(proxy), lambda found: all(entry["ended_ms"] for entry in found))


async def test_a_start_that_fails_says_why_at_the_end_of_its_log() -> None:
    async with started(PICOBASE_URL="http://127.0.0.1:9", START_TIMEOUT="1") as program:
        await program.read("never")
        assert await program.process.wait() == 3
    words = (
        "app.startup.StartError: The instance at http://127.0.0.1:9 did not wake up within 1 s. Is the address right?"
    )
    assert words in program.log.splitlines()


async def test_who_is_too_slow_lists_again() -> None:
    listener, events = Listener(waiting_max=3), [message(Resync(f"{n}")) for n in range(5)]
    for event in events[:3]:
        listener.tell(event)
    assert [await anext(listener) for _ in range(3)] == events[:3]
    for event in events:
        listener.tell(event)
    # What waited is gone, with the one that did not fit; what came after it is there.
    assert [await anext(listener) for _ in range(2)] == [message(Lagged(9)), events[4]]
    listener.tell(events[0])
    listener.end()
    assert [event async for event in listener] == []
