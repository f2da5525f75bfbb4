"""A panic in the core is an exception of one call: the process lives, and so does the client."""

from __future__ import annotations

import asyncio

import pytest

from picobase import AsyncClient, Client
from support.kit import Testkit

from .stage import testing


def test_in_a_blocking_call(kit: Testkit, capfd: pytest.CaptureFixture[str]) -> None:
    with Client(kit.url) as client:
        with pytest.raises(BaseException, match="the test's own") as caught:
            testing.panic(client._native)
        assert type(caught.value).__name__ == "PanicException"
        assert client.collection("posts").get_list(1, 1).page == 1


async def test_in_a_call_of_asyncio(kit: Testkit, capfd: pytest.CaptureFixture[str]) -> None:
    async with AsyncClient(kit.url) as client:
        other = asyncio.ensure_future(client.collection("posts").get_list(1, 1))
        with pytest.raises(Exception, match="failed inside"):
            await testing.panic(client._native)
        assert (await other).page == 1
        assert (await client.collection("posts").get_list(1, 1)).page == 1
