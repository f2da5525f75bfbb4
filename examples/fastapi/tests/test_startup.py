"""The start: a sleeping instance is waited for, and what is missing is said in plain words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.main import create_app
from app.settings import Settings
from app.startup import StartError
from helpers import COLLECTIONS, Serve, asleep, until
from support.kit import Proxy, Server, Testkit


@pytest.fixture
def bare(kit: Testkit) -> Iterator[Server]:
    """An instance of the test's own, with what the testkit has."""
    server = kit.server()
    yield server
    server.close()


def without(server: Server, name: str, *fields: str) -> None:
    """Takes fields away from a collection."""
    for view in ("posts_view",) if name == "posts" else ():
        server.admin("DELETE", f"/api/collections/{view}")
    collection: dict[str, Any] = server.admin("GET", f"/api/collections/{name}")
    left = [field for field in collection["fields"] if field["name"] not in fields]
    server.admin("PATCH", f"/api/collections/{name}", {"fields": left, "indexes": []})


async def fails(serve: Serve, **settings: Any) -> str:
    with pytest.raises(StartError) as caught:
        await serve(**settings)
    return str(caught.value)


async def test_it_waits_for_a_sleeping_instance(serve: Serve, proxy: Proxy) -> None:
    proxy.faults(asleep(2500, {"Retry-After": "1"}))
    begun = time.monotonic()
    # A request would not wait as long.
    service = await serve(request_timeout=1)
    assert time.monotonic() - begun >= 2.4
    # What a second is too short for on a slow machine.
    await until(lambda: service.get("/posts"), lambda answer: answer.status_code == 200)


async def test_one_that_does_not_wake_up(serve: Serve, proxy: Proxy) -> None:
    proxy.faults(asleep())
    said = await fails(serve, start_timeout=1.5)
    assert said == f"The instance at {proxy.url} did not wake up within 1.5 s. Is the address right?"


async def test_one_that_accepts_and_says_nothing(serve: Serve, proxy: Proxy) -> None:
    proxy.faults({"action": {"type": "stall"}})
    assert "did not wake up within 1.5 s" in await fails(serve, start_timeout=1.5)


async def test_an_address_where_none_is(serve: Serve, proxy: Proxy) -> None:
    said = await fails(serve, url="http://instance.invalid")
    assert said.startswith("The instance at http://instance.invalid cannot be used: ")
    assert "Check the host" in said
    with pytest.raises(RuntimeError, match="Set PICOBASE_URL"):
        create_app(Settings.from_environment({}))


@pytest.mark.parametrize("is_superuser", [True, False], ids=["read", "asked"])
async def test_what_is_missing_is_named(serve: Serve, bare: Server, kit: Testkit, is_superuser: bool) -> None:
    token = kit.superuser_token() if is_superuser else None
    await serve(url=bare.url, superuser_token=token)
    without(bare, "private_notes", "body")
    without(bare, "posts", "slug", "attachments")
    said = await fails(serve, url=bare.url, superuser_token=token)
    assert said == (
        f"The instance at {bare.url} lacks the field private_notes.body; the field posts.slug; "
        "the field posts.attachments. Import collections.json there."
    )
    bare.admin("DELETE", "/api/collections/private_notes")
    assert "lacks the collection private_notes; the field" in await fails(serve, url=bare.url, superuser_token=token)
    # What it says to do helps.
    bare.admin("DELETE", "/api/collections/posts")
    bare.admin("PUT", "/api/collections/import", {"collections": COLLECTIONS, "deleteMissing": False})
    await serve(url=bare.url, superuser_token=token)


async def test_a_collection_that_nobody_may_list(serve: Serve, bare: Server) -> None:
    bare.admin("PATCH", "/api/collections/posts", {"listRule": None})
    assert "lacks a list rule for posts." in await fails(serve, url=bare.url)


async def test_a_superusers_token_is_no_key(serve: Serve, kit: Testkit) -> None:
    said = await fails(serve, api_key=kit.superuser_token())
    assert "PICOBASE_SUPERUSER_TOKEN" in said
    assert kit.superuser_token() not in said


async def test_the_superusers_token_is_used_for_nothing_else(serve: Serve, proxy: Proxy, kit: Testkit) -> None:
    service = await serve(superuser_token=kit.superuser_token())
    proxy.forget()
    assert (await service.get("/posts")).status_code == 200
    assert [entry["headers"].get("authorization") for entry in proxy.requests()] == [None]
    assert (await service.get("/notes")).status_code == 401


def test_settings_come_from_the_environment() -> None:
    given = {"PICOBASE_URL": "http://x", "PICOBASE_API_KEY": "pk", "START_TIMEOUT": "5", "PICOBASE_SUPERUSER_TOKEN": ""}
    assert Settings.from_environment(given) == Settings("http://x", "pk", None, start_timeout=5)
