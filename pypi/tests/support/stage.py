"""What the scenarios of realtime share: a server of their own, a writer, and watches that fold events into a state."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from picobase import AsyncClient, PicoBaseError

from .kit import Proxy, Server
from .world import World, until

Row = dict[str, Any]


class Stage:
    """A server, a client under test that reaches it through a proxy, and one that goes past it."""

    def __init__(self, world: World, **realtime: Any) -> None:
        self.server: Server = world.server()
        self.client = world.client(self.server.url, realtime={"overlap": 0.2, **realtime})
        self.direct = AsyncClient(self.server.direct_url)
        world.later(self.direct.close)
        world.later(self.stop)
        self.written = 0
        self._writes = True
        self._writer: asyncio.Task[None] | None = None

    @property
    def proxy(self) -> Proxy:
        return self.server.proxy

    def write(self) -> None:
        """Writes from now on: creates, updates and deletes, some thirty a second, whatever becomes of the server."""
        self._writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        bulk, ids = self.direct.collection("bulk"), list[str]()
        while self._writes:
            what = random.random()
            try:
                if what < 0.5 or len(ids) < 3:
                    ids.append((await bulk.create({"n": self.written, "text": "made"}, timeout=1))["id"])
                elif what < 0.8:
                    await bulk.update(random.choice(ids), {"n": self.written}, timeout=1)
                else:
                    await bulk.delete(ids.pop(random.randrange(len(ids))), timeout=1)
            except PicoBaseError:
                await asyncio.sleep(0.1)
            self.written += 1
            # Each write has a millisecond of its own.
            await asyncio.sleep(0.025)

    async def stop(self) -> None:
        self._writes = False
        if self._writer:
            await self._writer

    async def more(self, count: int) -> None:
        """Until so many more were written."""
        wanted = self.written + count
        await until(lambda: self.written, lambda written: written >= wanted)

    async def watch(self, topic: str = "*") -> Watch:
        watch = Watch()
        await self.client.collection("bulk").subscribe(topic, watch.take)
        return watch

    async def requests(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.proxy.requests, "/api/realtime")

    async def streams(self) -> list[dict[str, Any]]:
        """The requests for a stream, so far."""
        return [request for request in await self.requests() if request["method"] == "GET"]

    async def cut(self, how: str) -> None:
        """Cuts the stream, of which there is one."""
        await self.connected()
        await until(lambda: asyncio.to_thread(self.proxy.cut, how, "/api/realtime"))

    async def connected(self) -> None:
        """Waits until the client is connected, by one stream, however long that takes."""

        async def one() -> bool:
            open_ones = [stream for stream in await self.streams() if stream["ended_ms"] is None]
            return self.client.realtime.is_connected and len(open_ones) == 1

        await until(one)

    async def cut_for(self, how: str) -> None:
        """Cuts it, and lets no other begin before something was written that only catching up can tell of."""
        await self.connected()
        await asyncio.to_thread(self.proxy.faults, {"method": "GET", "path": "/api/realtime", "action": {"type": "reset"}})
        # One that was to be replaced just now may be gone already.
        await asyncio.to_thread(self.proxy.cut, how, "/api/realtime")
        await self.more(3)
        await self.direct.collection("bulk").create({"n": self.written, "text": "missed"})
        await asyncio.to_thread(self.proxy.faults)

    async def converges(self, watch: Watch) -> None:
        """Nothing is written any more, and the watch comes to what the server has."""
        await self.stop()
        bulk = self.direct.collection("bulk")

        # Asked anew each time: a write that its writer has given up may still be done.
        async def same() -> bool:
            # Not by `get_full_list`: this page holds all.
            rows = await bulk.get_list(1, 1000)
            return {row["id"]: row for row in rows} == watch.state

        await until(same)
        assert watch.doubles == []


class Watch:
    """What a subscription has told, and the records as it tells them."""

    def __init__(self) -> None:
        self.state: dict[str, Row] = {}
        self.events: list[Any] = []
        self.doubles: list[Any] = []
        self.resyncs: list[str] = []
        self.lagged: list[int] = []

    def take(self, event: Any) -> None:
        if event.action == "resync":
            return self.resyncs.append(event.reason)
        if event.action == "lagged":
            return self.lagged.append(event.missed)
        before = self.state.get(event.id)
        if before and before["updated"] > event.record.get("updated", before["updated"]):
            self.doubles.append((before, event))
        if before == event.record and event.action != "delete":
            self.doubles.append(event)
        self.events.append(event)
        if event.action == "delete":
            self.state.pop(event.id, None)
        else:
            self.state[event.id] = event.record
        return None

    def caught_up(self) -> int:
        return sum(event.origin == "catchup" for event in self.events)
