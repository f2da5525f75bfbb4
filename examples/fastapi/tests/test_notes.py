"""Notes: the same scenarios on an instance and in memory, and what only an instance can decide."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from picobase import AsyncClient

from app.main import create_app
from app.models import Note
from app.repositories import NoteRepository
from app.repositories.in_memory import MemoryNotes
from app.routers.notes import notes
from app.settings import Settings
from app.visitors import Member
from helpers import Serve, Someone, detail, made, until
from support.kit import Proxy, Server, Testkit


@pytest_asyncio.fixture(params=["picobase", "memory"])
async def anywhere(request: pytest.FixtureRequest, serve: Serve, proxy: Proxy) -> AsyncIterator[httpx.AsyncClient]:
    """The service with notes on the instance, then with notes in memory. All that changes is one dependency."""
    kept: dict[str, Note] = {}

    async def in_memory(member: Member) -> NoteRepository:
        return MemoryNotes(kept, member.id)

    in_place = {notes: in_memory} if request.param == "memory" else {}
    service = await serve(in_place)
    proxy.forget()
    yield service
    assert bool(proxy.requests("/private_notes/")) == (request.param == "picobase")


async def test_a_note_is_written_read_changed_and_deleted(anywhere: httpx.AsyncClient, alice: Someone) -> None:
    note = made(await anywhere.post("/notes", json={"body": "Buy milk"}, headers=alice.headers))
    assert (note["body"], note["owner"]) == ("Buy milk", alice.id)
    at = f"/notes/{note['id']}"
    assert made(await anywhere.get(at, headers=alice.headers), 200) == note
    changed = made(await anywhere.put(at, json={"body": "Buy tea"}, headers=alice.headers), 200)
    assert (changed["id"], changed["body"], changed["created"]) == (note["id"], "Buy tea", note["created"])
    assert (await anywhere.delete(at, headers=alice.headers)).status_code == 204
    assert detail(await anywhere.get(at, headers=alice.headers), 404)
    assert detail(await anywhere.delete(at, headers=alice.headers), 404)


async def test_notes_come_in_pages_and_can_be_searched(anywhere: httpx.AsyncClient, alice: Someone) -> None:
    for n in range(5):
        await asyncio.sleep(0.002)  # Each has a moment of its own.
        made(await anywhere.post("/notes", json={"body": f"Note {n}, 100% \"fine\" 'so' \\"}, headers=alice.headers))
    page = made(await anywhere.get("/notes?per_page=2&page=2", headers=alice.headers), 200)
    assert [note["body"][:6] for note in page["items"]] == ["Note 2", "Note 1"]
    assert (page["page"], page["per_page"], page["total"]) == (2, 2, 5)
    # Words are words, whatever they look like.
    for words, found in [("note 3", 1), ('"fine"', 5), ("'so' \\", 5), ('x" || body != "', 0), ("{:words}", 0)]:
        page = made(await anywhere.get("/notes", params={"q": words}, headers=alice.headers), 200)
        assert page["total"] == found, words


async def test_nobody_reads_or_changes_the_notes_of_others(
    anywhere: httpx.AsyncClient, alice: Someone, bob: Someone
) -> None:
    note = made(await anywhere.post("/notes", json={"body": "Alice's"}, headers=alice.headers))
    mine = made(await anywhere.post("/notes", json={"body": "Bob's"}, headers=bob.headers))
    at = f"/notes/{note['id']}"
    page = made(await anywhere.get("/notes", headers=bob.headers), 200)
    assert [one["id"] for one in page["items"]] == [mine["id"]]
    assert detail(await anywhere.get(at, headers=bob.headers), 404)
    assert detail(await anywhere.put(at, json={"body": "stolen"}, headers=bob.headers), 404)
    assert detail(await anywhere.delete(at, headers=bob.headers), 404)
    assert made(await anywhere.get(at, headers=alice.headers), 200)["body"] == "Alice's"


async def test_many_visitors_at_once_never_meet(service: httpx.AsyncClient, alice: Someone, bob: Someone) -> None:
    async def write_and_list(who: Someone, n: int) -> set[str]:
        made(await service.post("/notes", json={"body": f"{n}"}, headers=who.headers))
        page = made(await service.get("/notes", headers=who.headers), 200)
        return {note["owner"] for note in page["items"]}

    owners = await asyncio.gather(*(write_and_list(who, n) for n in range(10) for who in (alice, bob)))
    assert owners == [{alice.id}, {bob.id}] * 10


async def test_what_may_be_written(service: httpx.AsyncClient, alice: Someone) -> None:
    wrong = [
        ({}, "body"),
        ({"body": ""}, "body"),
        ({"body": "x" * 10_001}, "body"),
        ({"body": "x", "owner": "y"}, "owner"),
    ]
    for body, field in wrong:
        refused = detail(await service.post("/notes", json=body, headers=alice.headers), 422)
        assert [one["loc"] for one in refused] == [["body", field]]
    assert detail(await service.get("/notes?page=0", headers=alice.headers), 422)
    # An id is no path.
    assert detail(await service.get("/notes/..%2Fposts", headers=alice.headers), 404)


def unsigned(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"


async def test_a_bad_token_is_told(
    service: httpx.AsyncClient, instance: AsyncClient, alice: Someone, kit: Testkit
) -> None:
    forged = unsigned(id=alice.id, type="auth", collectionId="_pb_users_auth_", exp=4e9)
    old = unsigned(id=alice.id, type="auth", collectionId="_pb_users_auth_", exp=1)
    # A superuser's is right, and no member's: with it all notes of all members could be read here.
    for token in ("x", "a.b.c", forged, old, kit.superuser_token()):
        for path in ("/notes", "/posts"):
            answer = await service.get(path, headers={"Authorization": f"Bearer {token}"})
            assert detail(answer, 401) == "Sign in again: the token is wrong, or no longer good."
            assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({}, {"Authorization": "Basic eDp5"}):
        assert detail(await service.get("/notes", headers=headers), 401) == "Sign in: a token is missing."
    assert detail(await service.post("/notes", json={"body": "x"}), 401)


async def test_a_token_that_was_good_once(
    service: httpx.AsyncClient, instance: AsyncClient, server: Server, alice: Someone, bob: Someone
) -> None:
    # It lives for a few seconds.
    path = f"/api/collections/users/impersonate/{alice.id}"
    brief = {"Authorization": f"Bearer {server.admin('POST', path, {'duration': 8})['token']}"}
    assert (await service.get("/notes", headers=brief)).status_code == 200
    answer = await until(lambda: service.get("/notes", headers=brief), lambda answer: answer.status_code == 401)
    assert detail(answer, 401)
    # A new password ends all tokens of before.
    assert (await service.get("/notes", headers=bob.headers)).status_code == 200
    server.admin(
        "PATCH", f"/api/collections/users/records/{bob.id}", {"password": "another1", "passwordConfirm": "another1"}
    )
    assert detail(await service.get("/notes", headers=bob.headers), 401)


async def test_without_any_instance(alice: Someone) -> None:
    """Routes and repository, and nothing else: what a test of one's own can do."""
    app, kept = create_app(Settings("http://127.0.0.1:9")), dict[str, Note]()
    app.dependency_overrides[notes] = lambda: MemoryNotes(kept, "ada")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as service:
        note = made(await service.post("/notes", json={"body": "No network"}))
        assert (await service.get("/notes")).json()["items"] == [note]
        assert list(kept) == [note["id"]]
