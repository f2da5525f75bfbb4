"""Many threads, many tasks, several event loops: one client, one gate."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from picobase import AsyncClient, Client
from support.kit import Proxy, Testkit
from support.programs import run

ASLEEP = {"path_prefix": "/api/", "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}}


@contextmanager
def asleep(proxy: Proxy) -> Generator[None, None, None]:
    """An instance that sleeps until it was asked a few times. One call asks, and no sooner than it was told."""
    over = threading.Event()

    def wake() -> None:
        while len(proxy.probes()) < 3 and not over.wait(0.02):
            pass
        proxy.faults()

    proxy.faults(ASLEEP)
    waker = threading.Thread(target=wake)
    waker.start()
    try:
        yield
    finally:
        over.set()
        waker.join()
    asked = proxy.probes()
    assert 3 <= len(asked) <= 12
    for before, after in itertools.pairwise(asked):
        assert after["started_ms"] - before["started_ms"] >= 990


def together(work: Callable[[int], Any], threads: int = 32) -> list[Any]:
    """Does the work on so many threads at the same time."""
    begin = threading.Barrier(threads)

    def one(n: int) -> Any:
        begin.wait()
        return work(n)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def test_32_threads_share_a_client(kit: Testkit) -> None:
    with Client(kit.url) as client:
        posts = client.collection("posts")
        made = together(lambda n: [posts.create({"title": f"thread {n}", "n": k})["n"] for k in range(10)])
        assert made == [list(range(10))] * 32
        # Threads are not much slower than one: the same calls on one thread, for comparison.
        threaded, alone = list[float](), list[float]()
        for _ in range(3):
            begun = time.monotonic()
            together(lambda _: [posts.get_list(1, 1) for _ in range(10)])
            threaded.append(time.monotonic() - begun)
            begun = time.monotonic()
            for _ in range(320):
                posts.get_list(1, 1)
            alone.append(time.monotonic() - begun)
        # What the machine does beside it makes some of them slower, and not always those of one kind.
        assert min(threaded) < 3 * max(alone) + 1


def test_32_threads_wait_at_one_gate(kit: Testkit) -> None:
    proxy = kit.proxy()
    with Client(proxy.url) as client:
        posts = client.collection("posts")
        states: list[str] = []
        client.on_state(states.append)
        posts.get_list(1, 1)
        proxy.forget()
        with asleep(proxy):
            assert [page.page for page in together(lambda n: posts.get_list(1, 1, query={"n": n}))] == [1] * 32
        assert states == ["starting", "ready"]
    proxy.close()


async def test_32_tasks_wait_at_one_gate(kit: Testkit) -> None:
    proxy = kit.proxy()
    async with AsyncClient(proxy.url) as client:
        posts = client.collection("posts")
        await posts.get_list(1, 1)
        proxy.forget()
        with asleep(proxy):
            pages = await asyncio.gather(*(posts.get_list(1, 1, query={"n": n}) for n in range(32)))
        assert [page.page for page in pages] == [1] * 32
    proxy.close()


def test_two_loops_wait_at_one_gate(kit: Testkit) -> None:
    proxy = kit.proxy()
    client = AsyncClient(proxy.url)
    posts = client.collection("posts")

    async def calls(loop: int) -> list[int]:
        pages = await asyncio.gather(*(posts.get_list(1, 1, query={"n": n, "loop": loop}) for n in range(16)))
        return [page.page for page in pages]

    with asleep(proxy):
        assert together(lambda n: asyncio.run(calls(n)), 2) == [[1] * 16] * 2
    asyncio.run(client.close())
    proxy.close()


def test_threads_may_close_what_others_use(kit: Testkit) -> None:
    for _ in range(10):
        client = Client(kit.url)
        posts = client.collection("posts")

        def work(n: int, client: Client = client, posts: Any = posts) -> str:
            try:
                for _ in range(5):
                    posts.get_list(1, 1)
                    if n == 3:
                        client.close()
            except Exception as error:
                return getattr(error, "kind", repr(error))
            return "done"

        assert set(together(work, 8)) <= {"done", "Cancelled", "Configuration"}


UVLOOP = """
    import warnings
    # Its `install` is deprecated where asyncio has a way of its own.
    warnings.simplefilter("ignore", DeprecationWarning)
    import uvloop
    async def main():
        assert "uvloop" in type(asyncio.get_running_loop()).__module__
        heard = []
        async with AsyncClient(URL, after_call=heard.append) as client:
            posts = client.collection("posts")
            pages = await asyncio.gather(*(posts.get_list(1, 1) for _ in range(20)))
            assert [page.page for page in pages] == [1] * 20
            call = asyncio.ensure_future(posts.get_list(1, 1))
            await asyncio.sleep(0)
            call.cancel()
            try:
                await call
            except asyncio.CancelledError:
                pass
            assert (await posts.get_list(1, 1)).page == 1
        assert len(heard) >= 21
    uvloop.install()
    asyncio.run(main())
"""

ANYIO = """
    import anyio
    async def main():
        async with AsyncClient(URL) as client:
            posts, pages = client.collection("posts"), []
            async def one():
                pages.append((await posts.get_list(1, 1)).page)
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(one)
            assert pages == [1] * 20
            with anyio.move_on_after(0.3) as scope:
                stalled, = ARGS
                await AsyncClient(stalled).health()
            assert scope.cancelled_caught
            # Blocking calls on its threads, as frameworks make them.
            with Client(URL) as blocking:
                page = await anyio.to_thread.run_sync(lambda: blocking.collection("posts").get_list(1, 1))
            assert page.page == 1
    anyio.run(main, backend="asyncio")
"""


def test_uvloop(kit: Testkit) -> None:
    run(UVLOOP, kit.url)


def test_anyio(kit: Testkit) -> None:
    proxy = kit.proxy()
    proxy.faults({"path_prefix": "/api/", "action": {"type": "stall"}})
    run(ANYIO, kit.url, proxy.url)
    proxy.close()
