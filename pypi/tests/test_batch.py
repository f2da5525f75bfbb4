"""Several writes in one request."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from picobase import BatchResult, File, PicoBaseError
from support.world import World, failure, unique


@dataclass
class Post:
    title: str
    n: int = 0


async def test_every_kind_of_write_with_files_in_one_request(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    old = await client.collection("posts").create({"title": "old"})
    gone = await client.collection("posts").create({"title": "gone"})
    proxy.forget()
    batch = client.batch()
    posts = batch.collection("posts")
    files = [File(b"a", "a.txt"), File(b"b", "b.txt")]
    posts.create({"title": "made", "attachments": files}, fields="id,title,attachments")
    posts.update(old["id"], {"title": "new", "attachments+": File(io.BytesIO(b"c"), "c.txt")})
    posts.upsert({"id": old["id"], "n": 5})
    posts.upsert({"id": unique("")[:15].ljust(15, "0"), "title": "upserted"})
    posts.create(Post("typed", 3), query={"fields": "title,n"})
    posts.delete(gone["id"])
    assert len(batch) == 6
    results = await batch.send()
    assert all(isinstance(result, BatchResult) for result in results)
    assert [result.status for result in results] == [200, 200, 200, 200, 200, 204]
    assert sorted(results[0].body) == ["attachments", "id", "title"]
    assert len(results[0].body["attachments"]) == 2
    assert len(results[1].body["attachments"]) == 1
    assert (results[2].body["title"], results[2].body["n"]) == ("new", 5)
    assert results[4].body == {"title": "typed", "n": 3}
    assert results[5].body is None
    assert len(proxy.requests()) == 1


async def test_all_or_nothing(world: World) -> None:
    client = world.client()
    title = unique("none")
    batch = client.batch()
    batch.collection("posts").create({"title": title})
    batch.collection("posts").delete("aaaaaaaaaaaaaaa")
    assert (await failure(batch.send(), "NotFound")).item == 1
    assert await client.collection("posts").get_full_list(filter=client.filter("title = {:t}", {"t": title})) == []
    batch = client.batch()
    batch.collection("posts").create({"title": title})
    batch.collection("posts").create({"title": ""})
    error = await failure(batch.send(), "Validation")
    assert (error.status, error.item, error.fields["title"].code) == (400, 1, "validation_required")


async def test_a_body_is_taken_as_it_is_when_it_is_added(world: World) -> None:
    client = world.client()
    batch = client.batch()
    body = {"title": unique("same"), "n": 0}
    for n in range(3):
        body["n"] = n
        batch.collection("posts").create(body, fields="n")
    body["n"] = 9
    assert [result.body for result in await batch.send()] == [{"n": 0}, {"n": 1}, {"n": 2}]
    # The writes stay, so a batch can be sent again.
    assert len(await batch.send()) == 3


async def test_more_writes_than_the_server_takes_at_once(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    title = unique("chunk")
    batch = client.batch()
    for n in range(120):
        batch.collection("posts").create({"title": title, "n": n}, fields="n")
    done = await batch.send_chunked()
    assert done.error is None
    assert [result.body["n"] for result in done.results] == list(range(120))
    assert len(proxy.requests("/api/batch")) == 3
    await failure(batch.send(), "Validation")

    second = client.batch()
    for n in range(6):
        second.collection("posts").create({"title": "" if n == 4 else title, "n": n})
    some = await second.send_chunked(size=2)
    assert len(some.results) == 4
    assert isinstance(some.error, PicoBaseError)
    assert (some.error.kind, some.error.item) == ("Validation", 4)
    assert "title" in some.error.fields


async def test_options_of_a_batch_and_of_its_writes(world: World) -> None:
    proxy = world.proxy()
    batch = world.client(proxy.url).batch()
    posts = batch.collection("posts")
    posts.create({"title": unique("options")}, headers={"X-Trace": "42"}, query={"fields": "id"}, expand="author")
    await batch.send(headers={"X-Batch": "1"})
    (request,) = proxy.requests("/api/batch")
    assert request["headers"]["x-batch"] == "1"
    assert '"X-Trace":"42"' in request["body"]
    assert "fields=id" in request["body"]
    assert "expand=author" in request["body"]
    with pytest.raises(TypeError, match="timeout"):
        posts.delete("abc", timeout=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'page'"):
        posts.delete("abc", page=1)


async def test_mistakes_in_a_batch(world: World) -> None:
    client = world.client()
    batch = client.batch()
    posts = batch.collection("posts")
    with pytest.raises(TypeError, match="expected a str, not int"):
        posts.update(1, {})
    with pytest.raises(TypeError, match="names in JSON are str"):
        posts.create({1: 2})
    assert len(batch) == 0
    assert await batch.send() == []
    posts.delete("..")
    assert (await failure(batch.send(), "NotFound")).item == 0
    await failure(batch.send_chunked(size=0), "Validation")


async def test_the_own_record_in_a_batch_updates_the_session(world: World) -> None:
    client = await world.user()
    me = client.auth.get_user()["id"]
    batch = client.batch()
    batch.collection("users").update(me, {"name": "Batched"})
    await batch.send()
    assert client.auth.get_user()["name"] == "Batched"
