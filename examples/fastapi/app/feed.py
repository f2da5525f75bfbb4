"""Every change of a post, told to everyone who listens: one subscription at the instance, however many they are.

It begins with the first listener and ends with the last, so that an instance that nobody looks at can sleep.

```text
listener ◄── queue ◄─┐
listener ◄── queue ◄─┤ Feed ◄── subscription ◄── the instance
listener ◄── queue ◄─┘
```
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.sse import ServerSentEvent
from picobase import AsyncClient, Lagged, RecordEvent, Resync

from .models import Post

log = logging.getLogger(__name__)

WAITING_MAX = 100
"""How many events may wait for a slow listener."""
RETRY = 5.0
"""How long to wait before a subscription that has failed for good is made anew, in seconds."""


class Listener:
    """What waits to be sent to one of those who listen: a bounded queue, read with `async for`."""

    def __init__(self, waiting_max: int = WAITING_MAX) -> None:
        self._waiting: asyncio.Queue[ServerSentEvent | None] = asyncio.Queue(waiting_max)

    def tell(self, event: ServerSentEvent) -> None:
        """Puts an event behind those that wait. Who is too slow for all of them lists again in their place."""
        if self._waiting.full():
            self._forget()
            event = resync("lagged")
        self._waiting.put_nowait(event)

    def end(self) -> None:
        """Ends the loop of whoever reads, now."""
        self._forget()
        self._waiting.put_nowait(None)

    def _forget(self) -> None:
        while not self._waiting.empty():
            self._waiting.get_nowait()

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> ServerSentEvent:
        event = await self._waiting.get()
        if event is None:
            raise StopAsyncIteration
        return event


class Feed:
    """The changes of all posts, as a guest may see them.

    Args:
        client: The client of the process. The feed has a session of its own, which is nobody's.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._posts = client.with_session(None).collection("posts", Post)
        self._listeners: set[Listener] = set()
        self._follower: asyncio.Task[None] | None = None
        self._is_on = False
        self._is_closed = False

    @contextmanager
    def join(self) -> Iterator[Listener]:
        """Someone who listens, until the end of the `with` block.

        The first event is always `resync`. Who lists then and takes in what comes after it misses nothing.
        """
        listener = Listener()
        self._listeners.add(listener)
        if self._is_closed:
            listener.end()
        elif self._is_on:
            listener.tell(resync("joined"))
        elif self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                self._stop()

    def close(self) -> None:
        """Ends the subscription, and the loops of all who listen; those that come later end at once."""
        self._is_closed = True
        self._stop()
        for listener in self._listeners:
            listener.end()

    def _stop(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
        self._follower, self._is_on = None, False

    async def _follow(self) -> None:
        while True:
            try:
                await self._pass_on()
            except Exception:
                # Whatever it was: those who listen wait for the next beginning.
                log.exception("the feed of posts has broken off, it begins anew")
            self._is_on = False
            await asyncio.sleep(RETRY)

    async def _pass_on(self) -> None:
        # It goes on through restarts of the instance, and fetches what was missed meanwhile.
        async with self._posts.subscribe("*") as events:
            self._is_on = True
            self._tell(resync("began"))
            async for event in events:
                self._tell(message(event))

    def _tell(self, event: ServerSentEvent) -> None:
        for listener in self._listeners:
            listener.tell(event)


def message(event: RecordEvent[Post] | Resync | Lagged) -> ServerSentEvent:
    """What listeners are told of it."""
    match event:
        case RecordEvent("delete", id=gone):
            return ServerSentEvent(event="delete", raw_data=json.dumps({"id": gone}))
        case RecordEvent(action, post):
            return ServerSentEvent(event=action, raw_data=post.model_dump_json())
        case Resync(reason):
            return resync(reason)
        case Lagged():
            return resync("lagged")


def resync(reason: str) -> ServerSentEvent:
    """Tells listeners to list the posts, again or for the first time."""
    return ServerSentEvent(event="resync", raw_data=json.dumps({"reason": reason}))
