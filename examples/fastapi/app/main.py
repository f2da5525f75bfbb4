"""The program: one client for the process, and the routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from picobase import AsyncClient

from . import errors, startup
from .feed import Feed
from .routers import feed, notes, posts
from .settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Makes the program.

    Args:
        settings: By default those of the environment.

    Raises:
        RuntimeError: Nobody said where the instance is.
    """
    settings = settings or Settings.from_environment()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # It holds the connections, for all visitors, and nobody's session.
        async with AsyncClient(
            settings.url,
            settings.api_key,
            cold_start_timeout=settings.request_timeout,
            # Who was told to slow down tells it to the caller, rather than wait with a request at hand.
            max_retries=1,
        ) as client:
            await startup.check(client, settings)
            app.state.picobase = client
            app.state.feed = Feed(client)
            yield
            app.state.feed.close()

    # The multipart form around a file is a little bigger than the file.
    app = FastAPI(
        title="Notes", lifespan=lifespan, max_body_size=settings.max_upload + 100_000, responses=errors.RESPONSES
    )
    errors.install(app)
    app.include_router(notes.router)
    # Before the posts: there `feed` would be an id.
    app.include_router(feed.router)
    app.include_router(posts.router)
    return app
