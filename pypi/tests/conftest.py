"""One testkit for all tests, and each scenario for both clients."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from support.kit import Testkit
from support.world import World


@pytest.fixture(scope="session")
def kit() -> Iterator[Testkit]:
    kit = Testkit()
    yield kit
    kit.end()


@pytest_asyncio.fixture(params=["async", "sync"])
async def world(kit: Testkit, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """What the test opens, with the client for asyncio and with the blocking one."""
    world = World(kit, request.param)
    yield world
    await world.end()


def pytest_configure() -> None:
    """Hears Ctrl-C where a shell started the tests in the background, which ignores it for them and their children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
