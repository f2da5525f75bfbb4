"""Ctrl-C, `task.cancel()` and timeouts of asyncio: a call ends at once, and its request with it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from picobase import AsyncClient, Client, PicoBaseError
from support.kit import Proxy, Testkit
from support.world import until

# A blocking call looks for signals ten times a second; the rest is for a slow machine.
SOON = 0.3

STALL = {"path_prefix": "/api/", "action": {"type": "stall"}}
ASLEEP = {"path_prefix": "/api/", "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "20"}}}


@pytest.fixture
def proxy(kit: Testkit) -> Iterator[Proxy]:
    proxy = kit.proxy()
    yield proxy
    proxy.close()


def interrupt(proxy: Proxy, sent: list[float]) -> threading.Thread:
    """Presses Ctrl-C once the call waits."""

    def press() -> None:
        while not proxy.requests():
            time.sleep(0.01)
        time.sleep(0.15)
        sent.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


@pytest.mark.parametrize("fault", [STALL, ASLEEP], ids=["an answer that does not come", "an instance that sleeps"])
def test_ctrl_c_ends_a_blocking_call(proxy: Proxy, fault: dict[str, object]) -> None:
    proxy.faults(fault)
    with Client(proxy.url) as client:
        sent: list[float] = []
        thread = interrupt(proxy, sent)
        with pytest.raises(KeyboardInterrupt):
            client.collection("posts").get_list(1, 1)
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
        proxy.faults({"path_prefix": "/api/", "action": {"type": "delay", "ms": 600}})
        threading.Timer(0.1, signal.raise_signal, [signal.SIGUSR1]).start()
        with Client(proxy.url) as client:
            assert client.collection("posts").get_list(1, 1).page == 1
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
        assert time.monotonic() - begun < 5
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
    proxy.faults({"path_prefix": "/api/", "times": 1, "action": {"type": "delay", "ms": 700}})
    with Client(proxy.url) as client:
        results: list[object] = []

        def call() -> None:
            try:
                results.append(client.collection("posts").get_list(1, 1).page)
            except PicoBaseError as error:
                results.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        time.sleep(0.2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        thread.join()
        assert results == [1]
