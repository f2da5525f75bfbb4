"""Lists, their options, and whole collections while others write."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

import pytest

import picobase
from picobase import ValidationError
from support.world import World, failure, unique


class Status(Enum):
    DRAFT = "draft"


async def test_pages_and_their_options(world: World) -> None:
    client = world.client()
    posts = client.collection("posts")
    title = unique("page")
    for n in range(5):
        await posts.create({"title": title, "n": n})
    wanted = client.filter("title = {:title} && n >= {:n}", {"title": title, "n": 1})
    page = await posts.get_list(2, 3, filter=wanted, sort="-n", fields="n")
    assert (page.page, page.per_page, page.total_items, page.total_pages) == (2, 3, 4, 2)
    assert page.items == [{"n": 1}]
    assert page[0:1] == [{"n": 1}]
    assert (page[-1], list(page), {"n": 1} in page) == ({"n": 1}, [{"n": 1}], True)
    counted = await posts.get_list(1, 2, filter=wanted, skip_total=True)
    assert (counted.total_items, counted.total_pages, len(counted)) == (-1, -1, 2)
    assert (await posts.get_first_list_item(wanted, sort="n"))["n"] == 1
    await failure(posts.get_first_list_item("title = 'nothing at all'"), "NotFound")
    assert (await posts.get_list(query={"page": 1, "perPage": 1}, filter=None)).per_page == 1
    await failure(posts.get_list(filter="no = such = thing"), "Validation")


async def test_pages_are_counted_from_1(world: World) -> None:
    posts = world.client().collection("posts")
    for call in (posts.get_list(0), posts.get_list(-1, 5), posts.get_list(1, 0), posts.get_full_list(batch_size=0)):
        assert "from 1" in str(await failure(call, "Validation"))
    with pytest.raises(TypeError, match="expected a number, not str"):
        await posts.get_list("1")
    with pytest.raises(TypeError, match="unexpected keyword argument 'per'"):
        await posts.get_list(1, per=3)


async def test_values_in_a_filter_stay_values(world: World) -> None:
    client = world.client()
    posts = client.collection("posts")
    for text in ("a \"b\" 'c' \\ d", "x || true", "{:other}", "100% _ äöü 🎉", "line\nbreak", "\\", 'ends in "'):
        title = f"{unique('v')} {text}"
        made = await posts.create({"title": title})
        found = await posts.get_full_list(filter=client.filter("title = {:title}", {"title": title, "other": "no"}))
        assert [post["id"] for post in found] == [made["id"]], text
    when = datetime(2027, 1, 2, 3, 4, 5, 6000, tzinfo=timezone.utc)
    made = await posts.create({"title": unique("when"), "when": when, "n": 1e21, "status": Status.DRAFT})
    assert made["when"] == "2027-01-02 03:04:05.006Z"
    wanted = picobase.filter(
        "id = {:id} && when = {:when} && n = {:n} && flag = {:flag} && status = {:status}",
        {"id": made["id"], "when": when, "n": 1e21, "flag": False, "status": Status.DRAFT},
    )
    assert (await posts.get_first_list_item(wanted))["id"] == made["id"]


def test_filters_are_written_without_a_client() -> None:
    assert picobase.filter("a = 1") == "a = 1"
    assert picobase.filter("a = {:a}", {"a": 'say "hi" \\'}) == 'a = "say \\"hi\\" \\\\"'
    east = datetime(2027, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert picobase.filter("a = {:a}", {"a": east}) == 'a = "2027-01-02 01:00:00.000Z"'
    assert picobase.filter("a = {:a}", {"a": uuid.UUID(int=1)}) == 'a = "00000000-0000-0000-0000-000000000001"'
    assert picobase.filter("a = {:a} && b = {:b}", {"a": None, "b": True}) == "a = null && b = true"
    for params in ({}, {"a": float("nan")}, {"a": "\0"}, {"a": "\ud800"}):
        with pytest.raises(ValidationError):
            picobase.filter("a = {:a}", params)
    with pytest.raises(ValidationError, match="inside"):
        picobase.filter("a = '{:a}'", {"a": 1})


async def test_the_server_version_decides_how_filters_are_written(world: World) -> None:
    client = world.client(server_version="0.36.9")
    assert client.filter("a = {:a}", {"a": "x\\y"}) == 'a = "x\\y"'
    with pytest.raises(ValidationError):
        client.filter("a = {:a}", {"a": "ends in \\"})


async def test_a_whole_collection_while_others_write(world: World) -> None:
    server = world.server()
    server.seed("bulk", 2500)
    bulk = world.client(server.url).collection("bulk")
    is_over = False

    async def write() -> None:
        while not is_over:
            made = await bulk.create({"n": -1, "text": "new"})
            await bulk.delete(made["id"])

    writer = asyncio.create_task(write())
    everything = await bulk.get_full_list(batch_size=200)
    walked = []
    async for row in bulk.iterate(batch_size=300, fields="n"):
        assert list(row) == ["n"]
        walked.append(row["n"])
    is_over = True
    await writer
    seeded = sorted(row["n"] for row in everything if row["n"] >= 0)
    assert (len(seeded), len(set(seeded))) == (2500, 2500)
    assert sorted(n for n in walked if n >= 0) == seeded
    ordered = [row["n"] for row in await bulk.get_full_list(sort="-n", fields="n", batch_size=400)]
    assert ordered == sorted(seeded, reverse=True)


async def test_a_walk_that_is_left_asks_for_no_more(world: World) -> None:
    server = world.server()
    server.seed("bulk", 1000)
    n = 0
    async for _ in world.client(server.url).collection("bulk").iterate(batch_size=100):
        n += 1
        if n == 150:
            break
    assert n == 150
    assert len(server.proxy.requests("/bulk/")) <= 4


async def test_a_walk_comes_in_pages_and_fails_where_a_page_does(world: World) -> None:
    server = world.server()
    server.seed("bulk", 500)
    bulk = world.client(server.url, max_retries=0).collection("bulk")
    server.proxy.faults({"skip": 2, "path_contains": "/bulk/", "action": {"type": "respond", "status": 400}})
    seen = []

    async def walk() -> None:
        async for row in bulk.iterate(batch_size=100):
            seen.append(row["id"])  # noqa: PERF401  (what came before the error counts)

    await failure(walk(), "Validation")
    assert len(seen) in (100, 200)
    assert len(set(seen)) == len(seen)


async def test_an_empty_walk_and_an_empty_list(world: World) -> None:
    posts = world.client().collection("posts")
    assert [post async for post in posts.iterate(filter="title = 'nothing at all'")] == []
    assert await posts.get_full_list(filter="title = 'nothing at all'") == []


async def test_records_by_their_ids(world: World) -> None:
    posts = world.client().collection("posts")
    made = [await posts.create({"title": unique("many"), "n": n}) for n in range(3)]
    ids = [made[2]["id"], "aaaaaaaaaaaaaaa", made[0]["id"]]
    many = await posts.get_many(ids, fields="n")
    assert many.records == [{"n": 2}, {"n": 0}]
    assert many.missing == ["aaaaaaaaaaaaaaa"]
    assert (await posts.get_many(id for id in ids[:1])).records[0]["n"] == 2
    assert (await posts.get_many([])).missing == []
    wrong: Any
    for wrong, message in ((ids[0], "several ids"), ([1], "expected a str, not int"), (None, "NoneType")):
        with pytest.raises(TypeError, match=message):
            await posts.get_many(wrong)


async def test_expand_and_fields(world: World) -> None:
    client = await world.user()
    posts = client.collection("posts")
    me = (await client.collection("users").get_list()).items[0]["id"]
    made = await posts.create({"title": unique("expand"), "author": me}, expand="author")
    assert made["expand"]["author"]["id"] == me
    one = await posts.get_one(made["id"], fields="id,expand.author.id", expand="author")
    assert one == {"id": made["id"], "expand": {"author": {"id": me}}}


async def test_odd_ids_reach_nothing_else(world: World) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    for id in ("", ".", ".."):
        assert (await failure(posts.get_one(id), "NotFound")).attempts == 0
    assert proxy.requests() == []
    for id in ("a/b", "../users/x", "a?b=c", "a#b", "ä ö", "%2e%2e"):
        await failure(posts.get_one(id), "NotFound")
    for request in proxy.requests():
        assert request["path"].startswith("/api/collections/posts/records/")
        assert request["path"].count("/") == 5
    for wrong in (1, None, b"abc", uuid.uuid4()):
        for call in (posts.get_one, posts.update, posts.delete, posts.get_first_list_item):
            with pytest.raises(TypeError, match="expected a str, not"):
                await call(wrong)
    await failure(posts.get_one("a\ud800"), "Validation")
