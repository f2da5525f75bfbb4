"""B9: a session lives on by itself, and its end is said once. Sessions as objects, and the clients of many visitors."""

from __future__ import annotations

import asyncio
import base64
import copy
import gc
import json
import os
import pickle
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from picobase import AsyncClient, Client, Session
from picobase.stores import MemoryStore
from support.kit import Proxy
from support.world import World, failure, unique, until


async def shortlived(world: World, client: Any) -> str:
    """Signs in with a token whose refresh is due at once."""
    session = await client.collection("shortlived").auth.sign_in("shortlived@example.com", world.kit.password)
    token: str = session.token
    return token


def told(client: Any) -> list[str]:
    seen: list[str] = []
    client.auth.on_change(lambda event, session: seen.append(event))
    return seen


def token_of(**claims: Any) -> str:
    """A token that says so."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"h.{payload}.s"


def refreshes(proxy: Proxy) -> list[dict[str, Any]]:
    return proxy.requests("auth-refresh")


async def test_near_its_expiry_one_refresh_runs_beside_thirty_calls(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    seen = told(client)
    token = await shortlived(world, client)
    proxy.forget()
    await asyncio.sleep(1.1)
    proxy.faults({"path_contains": "auth-refresh", "action": {"type": "delay", "ms": 5000}})
    posts = client.collection("posts")
    await asyncio.gather(*(posts.get_list(1, 1) for _ in range(30)))
    await until(lambda: client.auth.session.token != token)
    [refresh] = refreshes(proxy)
    # Threads may begin some calls when it is over.
    beside = [call for call in proxy.requests("/posts/") if call["started_ms"] < refresh["started_ms"] + 4900]
    assert len(beside) > 1 and {call["headers"]["authorization"] for call in beside} == {token}
    await until(lambda: len(seen) == 3)
    assert seen == ["INITIAL_SESSION", "SIGNED_IN", "TOKEN_REFRESHED"]


@pytest.mark.parametrize(("status", "kept"), [(401, False), (403, False), (404, False), (500, True), (429, True)])
async def test_what_a_refresh_is_answered(world: World, status: int, kept: bool) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    seen = told(client)
    token = await shortlived(world, client)
    posts, body = client.collection("posts"), {"status": status, "message": "no", "data": {}}
    proxy.respond(status, times=1000, path_contains="auth-refresh", action={"body": body})

    async def answered() -> bool:
        if world.is_sync and client.auth.session is not None:
            await posts.get_list(1, 1)
        return any(entry["ended_ms"] for entry in refreshes(proxy))

    await posts.get_list(1, 1)
    await until(answered)
    if kept:
        await posts.get_list(1, 1)
        assert client.auth.session.token == token
        assert seen == ["INITIAL_SESSION", "SIGNED_IN"]
        return
    await until(lambda: len(seen) == 3)
    assert seen == ["INITIAL_SESSION", "SIGNED_IN", "SESSION_EXPIRED"]
    assert client.auth.session is None
    error = await failure(posts.get_list(1, 1), "SessionExpired")
    assert (error.attempts, bool(error.fix)) == (0, True)
    # Health and the ways to sign in go through, and signing out makes a guest.
    await client.health()
    await client.auth.methods()
    await client.auth.sign_out()
    await posts.get_list(1, 1)
    await client.auth.sign_in("bob@example.com", world.kit.password)
    await until(lambda: len(seen) == 5)
    assert seen[3:] == ["SIGNED_OUT", "SIGNED_IN"]


async def test_of_an_expired_session_the_server_is_asked_before_anything_else(world: World) -> None:
    proxy = world.proxy()
    token = token_of(id="u1", type="auth", collectionId="_pb_users_auth_", exp=1)
    store = MemoryStore()
    store.save(json.dumps({"token": token, "record": {"id": "u1", "collectionName": "users"}}))
    client = world.client(proxy.url, store=store)
    seen = told(client)
    await client.collection("posts").get_list(1, 1)
    await until(lambda: len(seen) == 2)
    assert seen == ["INITIAL_SESSION", "SESSION_EXPIRED"]
    assert [entry["path"].rsplit("/", 1)[1] for entry in proxy.requests()] == ["auth-refresh", "records"]
    assert "authorization" not in proxy.requests("/records")[0]["headers"]
    assert store.load() is None


async def test_an_answer_that_belongs_to_an_earlier_session_is_dropped(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    await shortlived(world, client)
    proxy.faults({"path_contains": "auth-refresh", "times": 1, "action": {"type": "delay", "ms": 1500}})
    asked = asyncio.ensure_future(client.auth.refresh())
    await until(lambda: len(refreshes(proxy)) == 1)
    session = await client.auth.sign_in("bob@example.com", world.kit.password)
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: refreshes(proxy)[0]["ended_ms"] is not None)
    await client.collection("posts").get_list(1, 1)
    assert client.auth.session.token == session.token


async def test_two_hundred_requests_of_twenty_visitors_never_see_anothers_session(world: World) -> None:
    proxy = world.proxy()
    # So many at once take their time on a slow machine.
    shared = world.client(proxy.url, timeout=200)
    visitors = [(await world.user(proxy.url)).auth.session for _ in range(20)]

    async def request(n: int) -> None:
        session = visitors[n % 20]
        client = shared.with_session(session if n % 3 else session.token)
        assert client.auth.session.user_id == session.user_id
        await asyncio.sleep(random.random() / 50)
        notes = client.collection("private_notes")
        note = await notes.create({"owner": session.user_id, "body": str(n)})
        found = await notes.get_full_list()
        assert {other["owner"] for other in found} == {session.user_id}
        assert note["id"] in [other["id"] for other in found]
        assert [user["id"] for user in await client.collection("users").get_full_list()] == [session.user_id]

    await asyncio.gather(*(request(n) for n in range(200)))
    assert shared.auth.session is None
    assert (await shared.collection("private_notes").get_list()).total_items == 0


def test_visitors_in_threads(kit: Any) -> None:
    with Client(kit.url) as shared:
        users = [Client(kit.url) for _ in range(8)]
        for user in users:
            user.auth.sign_up(unique("thread") + "@example.com", kit.password)
        wrong: list[Any] = []

        def serve(n: int) -> None:
            session = users[n % 8].auth.session
            assert session
            visitor = shared.with_session(session)
            if n % 4 == 0:
                visitor.auth.sign_out()
            seen = [user["id"] for user in visitor.collection("users").get_full_list()]
            if seen != ([] if n % 4 == 0 else [session.user_id]):
                wrong.append(seen)

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(serve, range(160)))
        assert wrong == []
        assert shared.auth.session is None
        for user in users:
            user.close()


async def test_what_a_visitors_client_can_begin_with(world: World) -> None:
    shared, user = world.client(), await world.user()
    session = user.auth.session
    store = MemoryStore()
    store.save(json.dumps({"token": session.token, "record": session.record}))
    for source in (session, session.token, Session(session.token), store):
        visitor = shared.with_session(source)
        assert visitor.auth.session.user_id == session.user_id
        assert (await visitor.collection("users").get_list()).total_items == 1
    await shared.with_session(store).auth.sign_out()
    assert store.load() is None
    for source in (None, "", MemoryStore()):
        visitor = shared.with_session(source)
        assert visitor.auth.session is None
        assert (await visitor.collection("users").get_list()).total_items == 0
    with pytest.raises(TypeError, match="a token, a Session, a store or None, not from int"):
        shared.with_session(5)


def test_visitors_clients_are_cheap_and_go_by_themselves(kit: Any) -> None:
    with Client(kit.url) as shared:
        session = Session(token_of(id="u1", type="auth", exp=4_000_000_000), {"id": "u1", "name": "x" * 200})
        threads = threading.active_count()
        start = time.thread_time()
        some = [shared.with_session(session) for _ in range(2_000)]
        each = (time.thread_time() - start) / 2_000
        assert each < 0.0005, f"{each * 1e6:.0f} us each"
        # Those of tests before may end meanwhile.
        assert threading.active_count() <= threads
        gone = [weakref.ref(client) for client in some]
        gc.disable()
        try:
            some.clear()
            assert all(client() is None for client in gone), "they wait for the collector"
        finally:
            gc.enable()
        assert any(_grown(lambda: shared.with_session(session)) < 4_000_000 for _ in range(3)), "each leaves something behind"


def _grown(make: Callable[[], object]) -> int:
    """By how many bytes this process grows with many of them. What grows once is the allocator's."""
    before = _resident()
    for _ in range(20_000):
        make()
    return _resident() - before


def _resident() -> int:
    """The memory of this process, in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_visitor_outlives_what_it_was_made_of(world: World) -> None:
    visitor = world.client().with_session(None)
    gc.collect()
    assert (await visitor.collection("posts").get_list(1, 1)).page == 1


def test_a_session_is_an_object() -> None:
    token = token_of(id="u1", type="auth", collectionId="c1", exp=1_900_000_000)
    session = Session(token, {"id": "u1", "email": "a@b.co"}, {"isNew": True})
    assert session.expires_at == datetime(2030, 3, 17, 17, 46, 40, tzinfo=timezone.utc)
    assert session.expires_at is not None
    assert session.expires_at.utcoffset() == timedelta(0)
    assert session.user_id == "u1"
    assert repr(session) == "<Session user_id='u1' expires_at=2030-03-17T17:46:40+00:00>"
    for other in (pickle.loads(pickle.dumps(session)), copy.copy(session), copy.deepcopy(session)):
        assert other == session and other.meta == session.meta
    assert session != Session(token) and session != token
    with pytest.raises(TypeError):
        hash(session)
    match session:
        case Session(given, {"email": email}):
            assert (given, email) == (token, "a@b.co")
        case _:
            raise AssertionError


def test_a_session_of_a_token_alone() -> None:
    session = Session.from_token(token_of(id="u1", type="auth", collectionId="c1", exp=1_900_000_000))
    assert (session.user_id, session.record["collectionId"]) == ("u1", "c1")
    nothing = Session.from_token("no token")
    assert (nothing.record, nothing.user_id, nothing.expires_at, nothing.meta) == ({}, "", None, None)
    assert repr(nothing) == "<Session user_id='' expires_at=None>"
    assert Session(token_of(id="u1", exp=10**15)).expires_at == datetime.max.replace(tzinfo=timezone.utc)
    assert Session(token_of(id="u1", exp=-5)).expires_at is None
    with pytest.raises(TypeError):
        Session.from_token(None)  # type: ignore[arg-type]


async def test_a_session_that_crosses_processes(world: World) -> None:
    session = (await world.user()).auth.session
    script = (
        "import pickle, sys; from picobase import Client\n"
        "session = pickle.loads(sys.stdin.buffer.read())\n"
        "client = Client(sys.argv[1]).with_session(session)\n"
        "print([user['id'] for user in client.collection('users').get_full_list()])"
    )
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", script, world.kit.url, stdin=pipe, stdout=pipe)
    said, _ = await child.communicate(pickle.dumps(session))
    assert said.decode().strip() == str([session.user_id])


async def test_one_client_in_two_event_loops(kit: Any) -> None:
    client = AsyncClient(kit.url)
    await client.auth.sign_in("alice@example.com", kit.password)

    async def whoami() -> str:
        return str((await client.auth.refresh()).record["email"])

    assert await asyncio.to_thread(lambda: asyncio.run(whoami())) == "alice@example.com"
    assert await whoami() == "alice@example.com"
    await client.close()
