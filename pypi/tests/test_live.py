"""B16: a live query is the server's list, whoever writes and whatever breaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from picobase import AsyncClient, Change, DecodeError, Enter, Leave, Move, Snapshot
from support.stage import Stage
from support.world import World, failure, unique, until

QUERY: dict[str, Any] = {"filter": "n >= 10 && text != 'hidden'", "sort": "-n,id", "limit": 20}


async def fresh(client: AsyncClient) -> list[dict[str, Any]]:
    """The list as the server gives it now."""
    page = await client.collection("bulk").get_list(1, 20, filter=QUERY["filter"], sort=QUERY["sort"])
    return page.items


async def test_records_enter_change_move_and_leave_and_each_change_is_another_list(world: World) -> None:
    stage = Stage(world)
    bulk = stage.direct.collection("bulk")
    first = await bulk.create({"n": 20, "text": "a"})
    live = await stage.client.collection("bulk").live(**QUERY)
    assert [row["id"] for row in live.records] == [first["id"]]
    seen = [live.records]
    actions = []

    async def ids(*wanted: str) -> None:
        while [row["id"] for row in live.records] != list(wanted):
            actions.append((await live.next(timeout=30)).action)
            seen.append(live.records)

    snapshot = await live.next(timeout=30)
    assert (snapshot.action, snapshot.records) == ("snapshot", live.records)
    second = await bulk.create({"n": 30, "text": "b"})
    await ids(second["id"], first["id"])
    await bulk.update(first["id"], {"n": 40})
    await ids(first["id"], second["id"])
    await bulk.update(second["id"], {"text": "hidden"})
    await ids(first["id"])
    await bulk.update(first["id"], {"text": "c"})
    while live.records[0]["text"] != "c":
        actions.append((await live.next(timeout=30)).action)
        seen.append(live.records)
    await bulk.delete(first["id"])
    await ids()
    assert {"enter", "change", "move", "leave"} == set(actions)
    # None was changed after it was shown.
    assert len({id(records) for records in seen}) == len(seen)
    assert [len(records) for records in seen][-2:] == [1, 0]
    live.close()
    await bulk.create({"n": 50, "text": "late"})
    assert (await failure(live.next(timeout=30))).kind == "Cancelled"
    assert live.records == []
    assert [change async for change in live] == []


async def test_equals_a_fresh_list_after_random_writes_while_streams_and_calls_break(world: World) -> None:
    stage = Stage(world, liveness=2)
    changes: list[Any] = []
    live = await stage.client.collection("bulk").live(changes.append, **QUERY)
    stage.write()
    await stage.more(20)
    await stage.cut("reset")
    broken = {"method": "GET", "path_contains": "/records", "times": 3, "action": {"type": "respond", "status": 502}}
    await asyncio.to_thread(stage.proxy.faults, broken)
    await stage.more(20)
    await asyncio.to_thread(stage.server.restart, 500)
    await stage.more(30)
    await stage.cut("close")
    await stage.more(20)
    await stage.stop()
    # However few the writer has left.
    for n in range(6):
        await stage.direct.collection("bulk").create({"n": 10_000 + n, "text": "last"})

    # Asked anew each time: a write that its writer has given up may still be done.
    async def same() -> bool:
        return bool(live.records == await fresh(stage.direct))

    await until(same)
    assert len(live.records) > 5
    # Who applies the changes has the list too.
    await until(lambda: applied_one_by_one(list(changes)) == live.records)


def applied_one_by_one(changes: list[Any]) -> list[Any]:
    """What the changes make, by themselves and by their methods."""
    assert changes[0].action == "snapshot"
    shown: list[Any] = []
    applied: list[Any] = []
    for change in changes:
        applied = change.apply(applied)
        match change:
            case Snapshot(records):
                shown = list(records)
            case Enter(index, _, record):
                shown.insert(index, record)
            case Change(index, _, record):
                shown[index] = record
            case Leave(index):
                del shown[index]
            case Move(from_index, to_index):
                shown.insert(to_index, shown.pop(from_index))
        assert shown == applied
    return shown


async def test_changes_in_a_loop(world: World) -> None:
    stage = Stage(world)

    async def write() -> None:
        await until(lambda: stage.client.realtime.is_connected)
        await stage.direct.collection("bulk").create({"n": 11, "text": "x"})

    writing = asyncio.create_task(write())
    async with stage.client.collection("bulk").live(**QUERY) as live:
        async for change in live:
            assert change.action in {"snapshot", "enter"}
            if live.records:
                break
        assert [row["n"] for row in live.records] == [11]
    await writing


async def test_signing_in_and_out_turns_the_list_into_that_of_the_user(world: World) -> None:
    stage = Stage(world)
    live = await stage.client.collection("users").live(lambda change: None, sort="id")
    assert live.records == []
    await stage.client.auth.sign_in("alice@example.com", world.kit.password)
    await until(lambda: len(live.records) == 1)
    assert live.records[0]["id"] == stage.client.auth.get_user()["id"]
    await stage.client.auth.sign_out()
    await until(lambda: live.records == [])


async def begin(live: Any) -> Any:
    return await live()


async def test_what_the_server_refuses_is_an_error_of_its_own(world: World) -> None:
    client = world.client()
    posts, hidden = client.collection("posts"), client.collection("noaccess")
    await failure(begin(lambda: posts.live(filter="no = such")), "Validation")
    await failure(begin(lambda: posts.live(limit=1001)), "Validation")
    await failure(begin(hidden.live), "Forbidden")


@dataclass
class Bulk:
    id: str
    n: int


@dataclass
class Wrong:
    id: str
    text: int


async def test_records_of_a_type(world: World) -> None:
    stage = Stage(world)
    bulk = stage.direct.collection("bulk")
    made = await bulk.create({"n": 1, "text": "a"})
    live = await stage.client.collection("bulk", Bulk).live()
    assert live.records == [Bulk(made["id"], 1)]
    # What does not fit ends it: a list that a change is missing from is none.
    with pytest.raises(DecodeError):
        await begin(stage.client.collection("bulk", Wrong).live)
    errors: list[Any] = []
    wrong = await stage.client.collection("bulk", Wrong).live(lambda _: None, filter="n > 1", on_error=errors.append)
    await bulk.create({"n": 2, "text": unique("text")})
    await until(lambda: errors)
    assert [error.kind for error in errors] == ["Decode"]
    assert [change async for change in wrong] == []
    while live.records[-1:] != [Bulk(live.records[-1].id, 2)]:
        await live.next(timeout=30)


async def test_what_changes_without_an_event_is_seen_at_the_next_check(world: World) -> None:
    stage = Stage(world)
    user = await stage.direct.collection("users").create(
        {"email": unique("u") + "@example.com", "password": world.kit.password, "passwordConfirm": world.kit.password}
    )
    assert user["id"]
    server = stage.server
    await asyncio.to_thread(server.admin, "PATCH", "/api/collections/bulk", {"listRule": None})
    await failure(begin(stage.client.collection("bulk").live), "Forbidden")
    await asyncio.to_thread(server.admin, "PATCH", "/api/collections/bulk", {"listRule": "n > 5"})
    await stage.direct.collection("bulk").create({"n": 3, "text": "x"})
    live = await stage.client.collection("bulk").live(lambda _: None, recheck_every=0.3)
    assert live.records == []
    await asyncio.to_thread(server.admin, "PATCH", "/api/collections/bulk", {"listRule": ""})
    await until(lambda: [row["n"] for row in live.records] == [3])


async def test_nothing_is_left_of_one_that_is_closed(world: World) -> None:
    stage = Stage(world, linger=0.2)
    live = await stage.client.collection("bulk").live(**QUERY)
    live.close()
    await until(lambda: asyncio.to_thread(lambda: stage.proxy.stats()["in_flight"] == 0))
