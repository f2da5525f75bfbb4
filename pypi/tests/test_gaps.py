"""B15: streams that break, stall or grow old are replaced, and what was missed is fetched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.stage import Stage
from support.world import World, until


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_the_stream_is_cut_twice(world: World, how: str) -> None:
    stage = Stage(world)
    watch = await stage.watch()
    stage.write()
    await stage.more(15)
    await stage.cut(how)
    await stage.more(15)
    await stage.cut_for(how)
    await stage.more(15)
    await stage.converges(watch)
    assert watch.caught_up() > 0
    assert (watch.resyncs, watch.lagged) == ([], [])


async def test_the_stream_says_nothing_any_more(world: World) -> None:
    stage = Stage(world, liveness=1)
    watch = await stage.watch()
    stage.write()
    await stage.more(15)
    await stage.cut_for("stall")
    # What was written since can have come by another stream only.
    written = stage.written
    await until(lambda: any(event.record.get("n", 0) > written for event in watch.events))
    await stage.more(10)
    # The stalled one too: the proxy does not see by itself that nobody holds on to it.
    await asyncio.to_thread(stage.proxy.cut, "reset", "/api/realtime")
    await stage.converges(watch)
    assert watch.caught_up() > 0


async def test_the_server_is_killed_and_comes_back(world: World) -> None:
    stage = Stage(world)
    watch = await stage.watch()
    stage.write()
    await stage.more(15)
    await asyncio.to_thread(stage.server.restart, 1000)
    await stage.more(30)
    await stage.converges(watch)


async def test_an_old_stream_is_replaced_without_a_gap_and_without_a_double(world: World) -> None:
    # In the overlap the old one must speak, also where each write takes its time.
    stage = Stage(world, max_age=1, overlap=4)
    watch = await stage.watch()
    stage.write()

    async def three() -> bool:
        return len(await stage.streams()) >= 3

    await until(three)
    await stage.more(15)
    await stage.converges(watch)
    assert (watch.resyncs, watch.lagged, watch.caught_up()) == ([], [], 0)


async def test_without_catching_up_a_gap_is_told(world: World) -> None:
    stage = Stage(world, catch_up=False)
    watch = await stage.watch()
    await stage.cut("reset")
    await until(lambda: watch.resyncs == ["unavailable"])
    assert watch.caught_up() == 0


async def test_a_session_that_ended_elsewhere_is_told_once_and_events_go_on_after_the_next_sign_in(world: World) -> None:
    stage = Stage(world)
    email, client = "alice@example.com", stage.client
    await client.auth.sign_in(email, world.kit.password)
    id = client.auth.get_user()["id"]
    told: list[str] = []
    client.auth.on_change(lambda event, session: told.append(event))
    errors: list[Any] = []
    got: list[Any] = []
    notes = client.collection("private_notes")
    await notes.subscribe("*", got.append, on_error=errors.append)
    # And one who reads by himself.
    loop = await notes.subscribe("*")
    changed = {"password": "another-password", "passwordConfirm": "another-password"}
    await asyncio.to_thread(stage.server.admin, "PATCH", f"/api/collections/users/records/{id}", changed)
    await stage.cut("reset")
    await until(lambda: errors)
    assert [error.kind for error in errors] == ["SessionExpired"]
    with pytest.raises(type(errors[0])):
        await loop.next(timeout=30)
    await client.auth.sign_in(email, "another-password")

    async def heard() -> bool:
        await notes.create({"owner": id, "body": "x"})
        await asyncio.sleep(0.1)
        return any(event.action == "create" for event in got)

    await until(heard)
    assert len(errors) == 1
    assert told == ["INITIAL_SESSION", "SESSION_EXPIRED", "SIGNED_IN"]
    # It goes on where it has stopped.
    async for event in loop:
        if event.action == "create":
            break
