"""What many calls leave behind: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.kit import Testkit
from support.loopback import Loopback
from support.programs import run

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="memory and files are counted in /proc")

# A quarter of the calls warms up: pools, caches and the allocator fill.
MEASURE = """
calls = int(ARGS[0])

def held():
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return {
        "bytes": pages * os.sysconf("SC_PAGE_SIZE"),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "threads": len(os.listdir("/proc/self/task")),
        "files": len(os.listdir("/proc/self/fd")),
    }

def settled(before, at_once):
    # A leak stays. What a thread that ends or a connection that closes still holds goes, but not at once everywhere.
    ends = time.monotonic() + 20
    while True:
        after = held()
        grown = {name: after[name] - before[name] for name in after}
        is_flat = grown["objects"] < 200 and grown["blocks"] < 1000 and grown["threads"] <= 0
        # Of calls that are made at once each may leave a connection in the pool.
        if is_flat and grown["files"] <= at_once and grown["bytes"] < 3_000_000:
            return None
        if time.monotonic() > ends:
            return grown
        time.sleep(0.1)

def rounds(at_once=0):
    # The same calls are made in each. What they leave behind they leave every time; what grows once is a pool, or the allocator's.
    grown = []
    for _ in range(3):
        before = held()
        yield
        grown.append(settled(before, at_once))
        if grown[-1] is None:
            return print("flat")
    raise AssertionError(grown)
"""

BLOCKING = """
with Client(URL, after_call=lambda report: None) as client:
    posts = client.collection("posts")
    def work(n):
        for _ in range(n):
            posts.get_list(1, 1)
    work(calls // 4)
    for _ in rounds():
        work(calls)
"""

ASYNC = """
async def main():
    async with AsyncClient(URL, after_call=lambda report: None) as client:
        posts = client.collection("posts")
        async def work(n):
            for _ in range(n // 50):
                await asyncio.gather(*(posts.get_list(1, 1) for _ in range(50)))
        await work(calls // 4)
        for _ in rounds(at_once=50):
            await work(calls)
asyncio.run(main())
"""

THREADS = """
from concurrent.futures import ThreadPoolExecutor
with Client(URL) as client, ThreadPoolExecutor(8) as pool:
    posts = client.collection("posts")
    def work(n):
        for _ in pool.map(lambda _: [posts.get_list(1, 1) for _ in range(50)], range(n // 50)):
            pass
    work(calls // 4)
    for _ in rounds(at_once=8):
        work(calls)
"""

FAILURES = """
import contextlib
async def main():
    async with AsyncClient("http://127.0.0.1:9", cold_start_timeout=0.02) as client, AsyncClient(URL) as other:
        posts, own = client.collection("posts"), other.collection("posts")
        def refuse(call):
            raise KeyError("no")
        refused = AsyncClient(URL, before_call=refuse)
        async def cancelled():
            call = asyncio.ensure_future(own.get_list(1, 1))
            await asyncio.sleep(0)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
        async def failed(call):
            with contextlib.suppress(picobase.PicoBaseError):
                await call
        async def work(n):
            for _ in range(n // 100):
                await asyncio.gather(*(cancelled() for _ in range(50)))
                await asyncio.gather(*(failed(refused.collection("posts").get_list(1, 1)) for _ in range(40)))
                await asyncio.gather(*(failed(posts.get_list(1, 1)) for _ in range(10)))
            # What a cancelled call held is let go of by its thread, with the next thing that it does in Python.
            await asyncio.sleep(0.3)
            await own.get_list(1, 1)
        await work(calls)
        for _ in rounds(at_once=50):
            await work(calls)
        await refused.close()
asyncio.run(main())
"""

CLIENTS = """
async def main():
    async def work(n):
        for k in range(n):
            async with AsyncClient(URL) as client:
                await client.collection("posts").get_list(1, 1)
            with Client(URL, after_call=lambda report: None) as blocking:
                blocking.on_state(lambda state, blocking=blocking: None)
                blocking.with_session("").collection("posts").get_list(1, 1)
            forgotten = Client(URL)
            forgotten.on_state(lambda state, forgotten=forgotten: None)
            del forgotten
            if k % 10 == 0:
                gc.collect()
    await work(calls // 4)
    await asyncio.sleep(0.3)
    for _ in rounds():
        await work(calls)
        await asyncio.sleep(0.3)
asyncio.run(main())
"""

VISITORS = """
with Client(URL) as client:
    def work(n):
        for _ in range(n):
            visitor = client.with_session("")
            visitor.on_storage_error(print)
            visitor.collection("posts").get_list(1, 1)
    work(calls // 4)
    for _ in rounds():
        work(calls)
"""


@pytest.fixture(scope="module")
def loopback() -> Iterator[Loopback]:
    server = Loopback()
    yield server
    server.end()


@pytest.mark.timeout(1000)
@pytest.mark.parametrize(
    ("code", "calls"),
    [(BLOCKING, 100_000), (ASYNC, 100_000), (THREADS, 20_000), (FAILURES, 8_000), (CLIENTS, 100), (VISITORS, 10_000)],
    ids=["blocking", "async", "threads", "failures", "clients", "visitors"],
)
def test_nothing_is_left(kit: Testkit, loopback: Loopback, code: str, calls: int) -> None:
    done = run(MEASURE + code, loopback.url, str(calls), seconds=900)
    assert done.stdout == "flat\n"
