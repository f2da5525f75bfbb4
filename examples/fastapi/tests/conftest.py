"""An instance of the tests' own with the collections of the README, and the service before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio
from picobase import AsyncClient

from app.main import create_app
from app.settings import Settings
from helpers import COLLECTIONS, Overrides, Serve, Someone, sign_up
from support.kit import Proxy, Server, Testkit


@pytest.fixture(scope="session")
def kit() -> Iterator[Testkit]:
    kit = Testkit()
    yield kit
    kit.end()


@pytest.fixture(scope="session")
def server(kit: Testkit) -> Server:
    server = kit.server()
    # As on a new instance: what the README tells to import, and nothing before.
    for name in ("posts_view", "posts", "private_notes"):
        server.admin("DELETE", f"/api/collections/{name}")
    server.admin("PUT", "/api/collections/import", {"collections": COLLECTIONS, "deleteMissing": False})
    return server


@pytest.fixture
def proxy(server: Server) -> Proxy:
    """What stands between service and instance, without faults and with an empty log."""
    server.proxy.faults()
    server.proxy.forget()
    return server.proxy


@pytest_asyncio.fixture
async def instance(server: Server) -> AsyncIterator[AsyncClient]:
    """The instance itself, past proxy and service."""
    async with AsyncClient(server.direct_url) as instance:
        yield instance


@pytest_asyncio.fixture
async def alice(instance: AsyncClient) -> Someone:
    return await sign_up(instance)


@pytest_asyncio.fixture
async def bob(instance: AsyncClient) -> Someone:
    return await sign_up(instance)


@pytest_asyncio.fixture
async def serve(proxy: Proxy) -> AsyncIterator[Serve]:
    """Starts services, in this process, with other dependencies and settings where the test names some."""
    async with AsyncExitStack() as stack:

        async def serve(overrides: Overrides | None = None, **settings: Any) -> httpx.AsyncClient:
            app = create_app(Settings(**{"url": proxy.url, "start_timeout": 30, **settings}))
            app.dependency_overrides.update(overrides or {})
            await stack.enter_async_context(app.router.lifespan_context(app))
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
            return await stack.enter_async_context(client)

        yield serve


@pytest_asyncio.fixture
async def service(serve: Serve) -> httpx.AsyncClient:
    return await serve()
