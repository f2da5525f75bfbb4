"""Records: one is created, read, changed and deleted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from picobase import AsyncClient, Client, ConfigurationError, File
from support.kit import Testkit
from support.world import World, failure, unique


async def test_a_record_is_created_read_changed_and_deleted(world: World) -> None:
    posts = world.client().collection("posts")
    created = await posts.create({"title": unique("post"), "n": 7, "tags": ["a", "b"], "meta": {"deep": [1, {"x": None}]}})
    assert (created["collectionName"], created["meta"]) == ("posts", {"deep": [1, {"x": None}]})
    found = await posts.get_one(created["id"], fields="title,n,tags")
    assert found == {"title": created["title"], "n": 7, "tags": ["a", "b"]}
    assert (await posts.update(created["id"], {"n": 8}))["n"] == 8
    assert (await posts.update(created["id"]))["n"] == 8
    assert await posts.delete(created["id"]) is None
    error = await failure(posts.get_one(created["id"]), "NotFound")
    assert (error.status, error.attempts) == (404, 1)
    own = unique("")[-15:]
    assert (await posts.create({"id": own, "title": "own id"}))["id"] == own


async def test_what_the_server_refuses_is_said_by_field(world: World) -> None:
    posts = world.client().collection("posts")
    slug = unique("slug")
    await posts.create({"title": "first", "slug": slug})
    error = await failure(posts.create({"title": "second", "slug": slug}), "Conflict")
    assert error.fields["slug"].code == "validation_not_unique"
    error = await failure(posts.create(), "Validation")
    assert error.fields["title"].code == "validation_required"


async def test_options_of_a_call(world: World) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    made = await posts.create({"title": unique("options")}, query={"fields": "id"}, fields="title", headers={"X-A": "1"})
    assert list(made) == ["id"]
    assert proxy.requests()[0]["headers"]["x-a"] == "1"
    proxy.faults({"action": {"type": "delay", "ms": 5000}})
    for timeout in (0.2, timedelta(milliseconds=200)):
        await failure(posts.get_one(made["id"], timeout=timeout), "Timeout")
    with pytest.raises(TypeError, match="unexpected keyword argument 'time'"):
        await posts.get_one(made["id"], time=1)


async def test_a_create_with_safe_retry_happens_once(world: World) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    lost = {"method": "POST", "times": 1, "action": {"type": "lose_answer"}}
    title = unique("once")
    proxy.faults(lost)
    made = await posts.create({"title": title}, safe_retry=True, fields="id,title")
    assert sorted(made) == ["id", "title"]
    assert (await posts.get_list(filter=f"title = '{title}'")).total_items == 1
    proxy.faults(lost)
    error = await failure(posts.create({"title": unique("lost")}), "Network")
    assert error.attempts == 1


async def test_many_calls_at_once(world: World) -> None:
    posts = world.client().collection("posts")
    title = unique("many")
    await asyncio.gather(*(posts.create({"title": title, "n": n}) for n in range(20)))
    page = await posts.get_list(1, 50, filter=f"title = '{title}'")
    assert sorted(post["n"] for post in page) == list(range(20))


async def test_progress_is_told_in_steps(world: World) -> None:
    posts = world.client().collection("posts")
    data = os.urandom(3_000_000)
    steps: list[int] = []
    threads: set[int] = set()

    def watch(step: int) -> None:
        steps.append(step)
        threads.add(threading.get_ident())

    made = await posts.create({"title": "progress", "attachments": File(data, "a.bin")}, on_progress=watch)
    assert len(made["attachments"]) == 1
    # The parts of the form beside the file are counted too.
    assert len(data) < sum(steps) < len(data) + 2000
    assert all(step > 0 for step in steps)
    assert len(threads) == 1
    if not world.is_sync:
        assert threads == {threading.get_ident()}
    again: list[int] = []
    await posts.update(made["id"], {"attachments+": File(data, "b.bin")}, on_progress=again.append)
    assert len(data) < sum(again) < len(data) + 2000
    none: list[int] = []
    await posts.update(made["id"], {"n": 1}, on_progress=none.append)
    assert none == []


async def test_an_upload_that_begins_anew_takes_back_what_it_had_told(world: World) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    proxy.faults({"times": 1, "method": "POST", "action": {"type": "reset", "when": "after_request_bytes", "bytes": 1_000_000}})
    steps: list[int] = []
    data = os.urandom(3_000_000)
    body = {"title": "again", "attachments": File(data, "a.bin")}
    await posts.create(body, on_progress=steps.append, safe_retry=True)
    assert len(data) < sum(steps) < len(data) + 2000
    assert len(proxy.requests("/records")) == 2


class Enough(Exception):  # noqa: N818
    pass


async def test_what_progress_raises_ends_the_upload(world: World) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    # Slow enough that the upload cannot be over before it is told of.
    proxy.faults({"action": {"type": "slow", "bytes_per_sec": 1_000_000, "direction": "request"}})
    calls = 0

    def refuse(_: int) -> None:
        nonlocal calls
        calls += 1
        raise Enough

    title = unique("enough")
    body = {"title": title, "attachments": File(os.urandom(20_000_000), "a.bin")}
    with pytest.raises(Enough):
        await posts.create(body, on_progress=refuse)
    proxy.faults()
    assert (await posts.get_list(filter=f"title = '{title}'")).total_items == 0
    assert calls == 1
    wrong: Any = 7
    with pytest.raises(TypeError, match="not callable"):
        await posts.create({"title": title, "attachments": File(b"x")}, on_progress=wrong)


async def test_what_progress_raises_at_the_end_is_raised_too(kit: Testkit) -> None:
    def refuse(_: int) -> None:
        raise Enough

    async with AsyncClient(kit.url) as client:
        body = {"title": "late", "attachments": File(b"x", "a.bin")}
        task = asyncio.ensure_future(client.collection("posts").create(body, on_progress=refuse))
        await asyncio.sleep(0)
        # The upload is over before the event loop can tell of it.
        time.sleep(1)  # noqa: ASYNC251  (the loop is to stand still)
        with pytest.raises(Enough):
            await task


def test_a_blocking_call_inside_progress_is_refused(kit: Testkit) -> None:
    with Client(kit.url) as client:
        body = {"title": "inside", "attachments": File(os.urandom(3_000_000), "a.bin")}
        with pytest.raises(ConfigurationError, match="wait for itself"):
            client.collection("posts").create(body, on_progress=lambda _: client.collection("posts").get_list())


def test_nothing_heavy_is_imported_to_read_records(kit: Testkit) -> None:
    """The modules that the first record needs, in a process of its own."""
    program = (
        "import sys, picobase\n"
        "with picobase.Client(sys.argv[1]) as client:\n"
        "    client.collection('posts').get_list(1, 1)\n"
        "heavy = 'asyncio dataclasses inspect logging pathlib decimal threading typing_extensions datetime json'\n"
        "print([name for name in heavy.split() if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, kit.url], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
