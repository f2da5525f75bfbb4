"""Ctrl-C, `task.cancel()` and timeouts of asyncio: a call ends at once, and its request with it."""

from __future__ import annotations

import asyncio
import io
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from picobase import AsyncClient, Client, PicoBaseError
from support.kit import Proxy, Testkit
from support.world import until

# Far more than a slow machine needs, far less than what would end without Ctrl-C.
SOON = 15

STALL = {"path_prefix": "/api/", "action": {"type": "stall"}}
# Else the proxy would not see that the connection has ended: what was sent before lies there unread.
READ = {"path_prefix": "/api/", "action": {"type": "stall", "when": "after_request_bytes", "bytes": 1_000_000}}
ASLEEP = {"path_prefix": "/api/", "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "20"}}}


@pytest.fixture
def proxy(kit: Testkit) -> Iterator[Proxy]:
    proxy = kit.proxy()
    yield proxy
    proxy.close()


def interrupt(proxy: Proxy, sent: list[float], number: int = signal.SIGINT) -> threading.Thread:
    """Presses Ctrl-C, or sends another signal, once the call waits."""

    def press() -> None:
        while not proxy.requests():
            time.sleep(0.01)
        time.sleep(0.15)
        sent.append(time.monotonic())
        signal.raise_signal(number)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


CALLS: dict[str, Callable[[Client], object]] = {
    "get_list": lambda client: client.collection("posts").get_list(1, 1),
    "iterate": lambda client: list(client.collection("posts").iterate()),
    "get_full_list": lambda client: client.collection("posts").get_full_list(),
    "upload": lambda client: client.files.upload("posts", io.BytesIO(b"x")),
    "download": lambda client: client.files.download(("posts", "aaaaaaaaaaaaaaa"), "a.txt"),
    "sign_in": lambda client: client.auth.sign_in("ada@example.com", "password"),
    "subscribe": lambda client: client.collection("posts").subscribe("*"),
    "live": lambda client: client.collection("posts").live(),
}


@pytest.mark.parametrize("fault", [STALL, ASLEEP], ids=["an answer that does not come", "an instance that sleeps"])
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_ends_a_blocking_call(proxy: Proxy, fault: dict[str, object], name: str) -> None:
    proxy.faults(READ if name == "upload" and fault is STALL else fault)
    with Client(proxy.url) as client:
        sent: list[float] = []
        thread = interrupt(proxy, sent)
        with pytest.raises(KeyboardInterrupt):
            CALLS[name](client)
        took = time.monotonic() - sent[0]
        thread.join()
        assert took < SOON
        while proxy.stats()["in_flight"]:
            time.sleep(0.01)
        # And the client goes on.
        proxy.faults()
        assert client.health()
        assert client.collection("posts").get_list(1, 1).page == 1


def test_a_handler_that_does_not_raise_lets_the_call_go_on(proxy: Proxy) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        proxy.faults({"path_prefix": "/api/", "action": {"type": "delay", "ms": 2000}})
        thread = interrupt(proxy, [], signal.SIGUSR1)
        with Client(proxy.url) as client:
            assert client.collection("posts").get_list(1, 1).page == 1
        thread.join()
        assert seen == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_ctrl_c_in_a_hook_is_ctrl_c(kit: Testkit) -> None:
    def presses(_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    def call(client: Client) -> None:
        client.collection("posts").get_list(1, 1)
        time.sleep(1)  # Here at the latest.

    for options in ({"before_call": presses}, {"after_call": presses}):
        with Client(kit.url, **options) as client, pytest.raises(KeyboardInterrupt):  # type: ignore[arg-type]
            call(client)


@pytest.mark.parametrize("fault", [STALL, ASLEEP], ids=["an answer that does not come", "an instance that sleeps"])
async def test_cancelling_a_task_ends_its_request(proxy: Proxy, fault: dict[str, object]) -> None:
    proxy.faults(fault)
    async with AsyncClient(proxy.url) as client:
        posts = client.collection("posts")
        task = asyncio.ensure_future(posts.get_list(1, 1))
        await until(proxy.requests)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(posts.get_list(1, 1), 0.2)
        assert time.monotonic() - begun < SOON
        await until(lambda: proxy.stats()["in_flight"] == 0)
        proxy.faults()
        assert await client.health()
        assert (await posts.get_list(1, 1)).page == 1


async def test_a_group_of_tasks_is_cancelled_together(proxy: Proxy) -> None:
    proxy.faults({**STALL, "skip": 1})
    async with AsyncClient(proxy.url) as client:
        posts = client.collection("posts")
        calls = [asyncio.ensure_future(posts.get_list(n + 1, 1)) for n in range(20)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for call in calls:
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, asyncio.CancelledError) for result in ended) == 19
        await until(lambda: proxy.stats()["in_flight"] == 0)


async def test_a_blocking_call_inside_a_running_loop_blocks(kit: Testkit) -> None:
    with Client(kit.url) as client:
        assert client.collection("posts").get_list(1, 1).page == 1
    # Also between the calls of the other client.
    async with AsyncClient(kit.url) as client:
        await client.collection("posts").get_list(1, 1)
        with Client(kit.url) as blocking:
            assert blocking.collection("posts").get_list(1, 1).page == 1
        await client.collection("posts").get_list(1, 1)


def test_a_call_on_another_thread_hears_no_ctrl_c(proxy: Proxy) -> None:
    proxy.faults({"path_prefix": "/api/", "times": 1, "action": {"type": "delay", "ms": 1500}})
    with Client(proxy.url) as client:
        results: list[object] = []

        def call() -> None:
            try:
                results.append(client.collection("posts").get_list(1, 1).page)
            except PicoBaseError as error:
                results.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        while not proxy.requests():
            time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        thread.join()
        assert results == [1]
