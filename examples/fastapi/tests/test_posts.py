"""Posts: everyone reads, members write, files go through."""

from __future__ import annotations

import random
from uuid import uuid4

import httpx

from helpers import Serve, Someone, detail, made
from support.kit import Proxy, Testkit


async def test_members_write_and_everyone_reads(service: httpx.AsyncClient, alice: Someone) -> None:
    slug = uuid4().hex
    post = made(await service.post("/posts", json={"title": " Hello ", "slug": slug}, headers=alice.headers))
    assert (post["title"], post["slug"], post["author"], post["attachments"]) == ("Hello", slug, alice.id, [])
    at = f"/posts/{post['id']}"
    assert made(await service.get(at), 200) == post
    # What is not given stays.
    changed = made(await service.patch(at, json={"body": "More"}, headers=alice.headers), 200)
    assert (changed["title"], changed["body"]) == ("Hello", "More")
    assert (await service.delete(at, headers=alice.headers)).status_code == 204
    assert detail(await service.get(at), 404)


async def test_a_post_is_its_authors(service: httpx.AsyncClient, alice: Someone, bob: Someone) -> None:
    post = made(await service.post("/posts", json={"title": "Alice's"}, headers=alice.headers))
    at = f"/posts/{post['id']}"
    assert detail(await service.patch(at, json={"title": "Bob's"}, headers=bob.headers), 404)
    assert detail(await service.delete(at, headers=bob.headers), 404)
    assert detail(await service.post(f"{at}/attachments", files={"file": ("x", b"x")}, headers=bob.headers), 404)
    for answer in (
        await service.post("/posts", json={"title": "Nobody's"}),
        await service.patch(at, json={"title": "Nobody's"}),
        await service.delete(at),
        await service.post(f"{at}/attachments", files={"file": ("x", b"x")}),
    ):
        assert detail(answer, 401)
    assert made(await service.get(at, headers=bob.headers), 200)["title"] == "Alice's"


async def test_pages_and_words(service: httpx.AsyncClient, alice: Someone) -> None:
    word = uuid4().hex
    for n in range(3):
        made(await service.post("/posts", json={"title": f"{word} {n}", "body": '"q"'}, headers=alice.headers))
    found = made(await service.get("/posts", params={"q": word, "per_page": 2}), 200)
    assert (len(found["items"]), found["total"], found["page"]) == (2, 3, 1)
    hostile = made(await service.get("/posts", params={"q": f'{word}" || title != "'}), 200)
    assert hostile["total"] == 0


async def test_refused_fields_are_named(service: httpx.AsyncClient, alice: Someone) -> None:
    refused = detail(await service.post("/posts", json={"title": "  ", "slug": "Ä"}, headers=alice.headers), 422)
    assert [one["loc"] for one in refused] == [["body", "title"], ["body", "slug"]]
    # What only the instance can know is said in the same form.
    slug = uuid4().hex
    first = made(await service.post("/posts", json={"title": "One", "slug": slug}, headers=alice.headers))
    [taken] = detail(await service.post("/posts", json={"title": "Two", "slug": slug}, headers=alice.headers), 409)
    assert taken == {"type": "validation_not_unique", "loc": ["body", "slug"], "msg": "Value must be unique."}
    [blank] = detail(await service.patch(f"/posts/{first['id']}", json={"title": None}, headers=alice.headers), 422)
    assert (blank["type"], blank["loc"]) == ("validation_required", ["body", "title"])


async def test_a_file_goes_through(service: httpx.AsyncClient, alice: Someone, proxy: Proxy) -> None:
    post = made(await service.post("/posts", json={"title": "With a film"}, headers=alice.headers))
    at = f"/posts/{post['id']}/attachments"
    # Bigger than what is kept in memory of an upload.
    film = random.Random(1).randbytes(3_000_000)
    one = made(await service.post(at, files={"file": ("film.bin", film)}, headers=alice.headers))
    two = made(await service.post(at, files={"file": ("words.txt", b"words")}, headers=alice.headers))
    assert len(one["attachments"]) == 1
    assert two["attachments"][:1] == one["attachments"]
    assert two["attachments"][1].endswith(".txt")
    moved = await service.get(f"{at}/{one['attachments'][0]}")
    assert moved.status_code == 307
    async with httpx.AsyncClient() as reader:
        assert (await reader.get(moved.headers["location"])).content == film


async def test_a_file_that_is_too_big_is_not_taken(serve: Serve, alice: Someone, proxy: Proxy) -> None:
    service = await serve(max_upload=100_000)
    post = made(await service.post("/posts", json={"title": "Big"}, headers=alice.headers))
    answer = await service.post(
        f"/posts/{post['id']}/attachments", files={"file": ("x", bytes(300_000))}, headers=alice.headers
    )
    assert answer.status_code == 413
    assert not [entry for entry in proxy.requests("/posts/records/") if entry["method"] == "PATCH"]


async def test_on_the_schema_of_the_testkit(serve: Serve, kit: Testkit) -> None:
    """More fields than it needs, other rules: they are the instance's business."""
    service = await serve(url=kit.url)
    page = made(await service.get("/posts?per_page=1"), 200)
    assert page["per_page"] == 1
