"""Where a case plays: clients of one kind, a clock that only the case moves, a server that is a script."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from picobase import AsyncClient, Client, _native
from support.awaited import awaited

testing: Any = getattr(_native, "testing", None)
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """A thread for each call of the blocking client. It is a daemon: a call that hangs fails its case, not the run."""

    def submit(self, work: Callable[..., T], /, *args: Any, **named: Any) -> Future[T]:
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                result = work(*args, **named)
            except BaseException as error:  # It is the caller's.
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        Executor.shutdown(self, wait=False)


class Stage:
    """What a case opens, with clients of one kind, `async` or `sync`, with the face of the one for asyncio."""

    def __init__(self, kind: str) -> None:
        self.is_sync = kind == "sync"
        self._clients: list[Any] = []
        self._tasks: list[asyncio.Task[Any]] = []
        asyncio.get_running_loop().set_default_executor(Threads())

    def client(self, url: str, api_key: str | None = None, *, clock: Any = None, script: Any = None, **options: Any) -> Any:
        """A client that lives by the clock, and sends to the script, if there is one."""
        if clock is not None or script is not None:
            testing.stage(clock or testing.Clock(0), script)
        made: Any = Client if self.is_sync else AsyncClient
        client = awaited(made(url, api_key, **options))
        self._clients.append(client)
        return client

    def begin(self, work: Awaitable[T]) -> asyncio.Task[T]:
        """Begins a call, and goes on."""

        async def run() -> T:
            return await work

        task = asyncio.ensure_future(run())
        self._tasks.append(task)
        return task

    async def rest(self) -> None:
        """Until nothing more happens without the clock, an answer or a new step."""
        loop: Any = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            testing.rest()
            # The threads sleep; what they have left to the loop is in its queue.
            if not loop._ready:
                return

    async def go_to(self, clock: Any, now: int) -> None:
        """Time passes, timer by timer; after each the client works until it rests."""
        while (due := clock.next_timer()) is not None and due <= now:
            clock.set(due)
            await self.rest()
        clock.set(now)
        await self.rest()

    async def end(self) -> None:
        """Ends what still goes on; fails where something has failed that nobody has asked for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients:
            await client.close()
        for task in self._tasks:
            if not task.cancelled() and (failed := task.exception()):
                raise failed


async def outcome(call: Awaitable[Any]) -> Any:
    """What a call answers, or its exception."""
    try:
        return await call
    except Exception as error:  # The case says which one it must be.
        return error


def compact(value: Any) -> str:
    """JSON as the server writes it: some of it is compared byte for byte."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def path(url: str) -> str:
    """The path of a URL, byte for byte."""
    return "/" + url.split("://", 1)[1].partition("/")[2].partition("?")[0]
