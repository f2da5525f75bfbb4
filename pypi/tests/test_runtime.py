"""A client's life: how it is closed, what it leaves behind, what it shows of itself."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import threading
import weakref
from typing import Any

import pytest

from picobase import AsyncClient, CancelledError, Client, ConfigurationError, PicoBaseError
from support.kit import Testkit
from support.programs import run
from support.world import World, failure, until

STALL = {"path_prefix": "/api/", "action": {"type": "stall"}}


def held() -> tuple[int, int]:
    """The threads and open files of this process."""
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


async def test_a_closed_client_says_so(world: World) -> None:
    client = world.client()
    posts = client.collection("posts")
    await posts.get_list(1, 1)
    await client.close()
    await client.close()
    for call in (posts.get_list(1, 1), client.health(), client.set_url(world.kit.url)):
        error = await failure(call, "Configuration")
        assert error.message == "the client is closed"
        assert error.fix
    with pytest.raises(ConfigurationError):
        client.on_state(print)
    assert client.url == world.kit.url


async def test_closing_ends_threads_and_connections(kit: Testkit) -> None:
    proxy = kit.proxy()
    gc.collect()
    before = held()
    for made in (Client, AsyncClient):
        client: Any = made(proxy.url)
        posts = client.collection("posts")
        if made is AsyncClient:
            await asyncio.gather(*(posts.get_list(1, 1) for _ in range(4)))
        else:
            await asyncio.gather(*(asyncio.to_thread(posts.get_list, 1, 1) for _ in range(4)))
        assert proxy.stats()["connections_open"] > 0
        closed = client.close()
        if closed is not None:
            await closed
        await until(lambda: proxy.stats()["connections_open"] == 0)
    proxy.close()
    # What `to_thread` has started stays.
    pool = sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())
    await until(lambda: held()[0] <= before[0] + pool)
    await until(lambda: held()[1] <= before[1])


async def test_closing_ends_what_is_under_way(world: World) -> None:
    proxy = world.proxy()
    proxy.faults(STALL)
    client = world.client(proxy.url)
    call = asyncio.ensure_future(client.collection("posts").get_list(1, 1))
    await until(lambda: proxy.stats()["in_flight"] == 1)
    await client.close()
    error = await failure(call, "Cancelled")
    assert isinstance(error, CancelledError)
    assert error.message == "the client was closed while the call was under way"
    await until(lambda: proxy.stats()["connections_open"] == 0)


async def test_a_family_goes_on_when_one_is_closed(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    sibling = client.with_session(world.kit.superuser_token())
    await client.collection("posts").get_list(1, 1)
    await client.close()
    assert (await sibling.collection("noaccess").get_list(1, 1)).page == 1
    # It can have further ones.
    third = sibling.with_session("")
    await sibling.close()
    assert (await third.collection("posts").get_list(1, 1)).page == 1
    await third.close()
    await until(lambda: proxy.stats()["connections_open"] == 0)


async def test_a_subscription_ends_with_its_client(world: World) -> None:
    client = world.client()
    news = await client.realtime.subscribe("news")

    async def listen() -> list[Any]:
        return [event async for event in news]

    heard = asyncio.ensure_future(listen())
    await asyncio.sleep(0.1)
    await client.close()
    assert await asyncio.wait_for(heard, 20) == []


async def test_what_is_still_held_keeps_nothing_open(world: World) -> None:
    proxy = world.proxy()
    before = held()[0]
    client = world.client(proxy.url)
    walk = client.collection("bulk").iterate().__aiter__()
    news = await client.realtime.subscribe("news")
    posts = client.collection("posts")
    await posts.get_list(1, 1)
    await client.close()
    await until(lambda: proxy.stats()["connections_open"] == 0)
    if not world.is_sync:
        await until(lambda: held()[0] <= before)
    await failure(anext_of(walk), "Configuration")
    assert [event async for event in news] == []


async def anext_of(walk: Any) -> Any:
    return await walk.__anext__()


async def test_with_closes(kit: Testkit) -> None:
    with Client(kit.url) as client:
        client.health()
    with pytest.raises(ConfigurationError):
        client.health()
    other = AsyncClient(kit.url)
    with pytest.raises(ZeroDivisionError):
        async with other:
            raise ZeroDivisionError
    await failure(other.health(), "Configuration")


async def test_a_client_that_is_forgotten_leaves_nothing(kit: Testkit) -> None:
    gc.collect()
    before = held()
    for _ in range(20):
        client = AsyncClient(kit.url)
        await client.collection("posts").get_list(1, 1)
        blocking = Client(kit.url)
        blocking.collection("posts").get_list(1, 1)
        gone = weakref.ref(client), weakref.ref(blocking)
        del client, blocking
        assert [one() for one in gone] == [None, None]
    await until(lambda: held()[0] <= before[0] and held()[1] <= before[1])


async def test_a_call_outlives_the_client_object(kit: Testkit) -> None:
    posts = AsyncClient(kit.url).collection("posts")
    gc.collect()
    call = asyncio.ensure_future(posts.get_list(1, 1))
    del posts
    await asyncio.sleep(0)
    gc.collect()
    assert (await call).page == 1


def test_a_client_shows_its_url_only(kit: Testkit) -> None:
    client = AsyncClient("https://my-app.example.com/base/", "pbk_s3cret")
    assert repr(client) == "<AsyncClient https://my-app.example.com/base>"
    assert repr(Client("http://h", "pbk_s3cret")) == "<Client http://h>"
    assert "s3cret" not in f"{client!s}{client._native!r}"


def test_a_client_is_not_pickled_or_copied(kit: Testkit) -> None:
    for client in (Client(kit.url), AsyncClient(kit.url)):
        for make in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                make(client)
        with pytest.raises(TypeError):
            pickle.dumps(client.collection("posts"))


def test_an_async_call_outside_a_loop_is_a_plain_error(kit: Testkit) -> None:
    client = AsyncClient(kit.url)
    with pytest.raises(RuntimeError, match="no running event loop"):
        client.collection("posts").get_list(1, 1).send(None)


@pytest.mark.parametrize("made", ["Client", "AsyncClient"])
def test_a_program_may_end_without_closing(kit: Testkit, made: str) -> None:
    done = run(
        """
        made, stall = ARGS
        if made == "Client":
            client = Client(URL)
            client.collection("posts").get_list(1, 1)
            threading.Thread(target=Client(stall).health, daemon=True).start()
            time.sleep(0.2)
        else:
            async def main():
                global client, call
                client = AsyncClient(URL)
                await client.collection("posts").get_list(1, 1)
                call = asyncio.ensure_future(AsyncClient(stall).health())
                await asyncio.sleep(0.2)
            asyncio.run(main())
        """,
        kit.url,
        made,
        stalling(kit),
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_calls_that_end_while_the_program_does(kit: Testkit) -> None:
    for _ in range(5):
        done = run(
            """
            async def main():
                client = AsyncClient(URL, after_call=lambda _: None)
                calls = [asyncio.ensure_future(client.collection("posts").get_list(1, 1)) for _ in range(50)]
                await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            asyncio.run(main())
            """,
            kit.url,
        )
        assert (done.stdout, done.stderr) == ("", "")


def stalling(kit: Testkit) -> str:
    proxy = kit.proxy()
    proxy.faults(STALL)
    return proxy.url


async def test_two_loops_in_two_threads_share_a_client(kit: Testkit) -> None:
    client = AsyncClient(kit.url)
    pages: list[int] = []

    def other() -> None:
        async def calls() -> None:
            results = await asyncio.gather(*(client.collection("posts").get_list(1, 1) for _ in range(20)))
            pages.extend(page.page for page in results)

        asyncio.run(calls())

    threads = [threading.Thread(target=other) for _ in range(2)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*(client.collection("posts").get_list(1, 1) for _ in range(20)))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert pages == [1] * 40
    await client.close()


async def test_errors_of_a_closed_client_are_the_packages_own(kit: Testkit) -> None:
    client = AsyncClient(kit.url)
    await client.close()
    with pytest.raises(PicoBaseError):
        await client.collection("posts").create({"title": "x"})
