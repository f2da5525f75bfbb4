"""`GET /posts/feed`: the changes of posts as server-sent events.

`resync` comes first, and again whenever something may have been missed: list the posts then. `create` and `update` have
the post, `delete` its id. FastAPI sends a comment when nothing else was sent for 15 s, which keeps proxies from closing
the connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from ..feed import Feed, Listener

router = APIRouter(tags=["posts"])


async def joined(request: Request) -> AsyncIterator[Listener]:
    """Someone who listens, from before the answer begins until the connection has ended."""
    feed: Feed = request.app.state.feed
    with feed.join() as listener:
        yield listener


@router.get("/posts/feed", response_class=EventSourceResponse)
async def follow(listener: Annotated[Listener, Depends(joined)]) -> AsyncIterator[ServerSentEvent]:
    """Sends what the listener is told, until one of both ends it."""
    async for event in listener:
        yield event
