"""Records: one, lists, writes."""

from __future__ import annotations

import asyncio

from support.world import World, failure, unique


async def test_a_record_is_created_read_and_deleted(world: World) -> None:
    posts = world.client().collection("posts")
    created = await posts.create({"title": unique("post"), "n": 7, "tags": ["a", "b"]})
    found = await posts.get_one(created["id"], fields="title,n,tags")
    assert found == {"title": created["title"], "n": 7, "tags": ["a", "b"]}
    assert await posts.delete(created["id"]) is None
    error = await failure(posts.get_one(created["id"]), "NotFound")
    assert (error.status, error.attempts) == (404, 1)


async def test_a_page_is_a_sequence(world: World) -> None:
    posts = world.client().collection("posts")
    title = unique("page")
    await asyncio.gather(*(posts.create({"title": title, "n": n}) for n in range(5)))
    page = await posts.get_list(1, 3, filter=f"title = '{title}'", sort="-n")
    assert [post["n"] for post in page] == [4, 3, 2]
    assert (len(page), page[0]["n"], page.total_items, page.total_pages) == (3, 4, 5, 2)
