"""Routes of one's own: `send` and `rpc`."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from support.world import World, failure


async def test_a_route_answers_its_json(world: World) -> None:
    client = world.client()
    assert (await client.send("/api/health"))["code"] == 200
    assert (await client.send("/api/health?x=1", query={"y": [1, 2], "none": None}))["code"] == 200
    assert await client.send("/api/health", method="HEAD") is None


async def test_what_is_sent(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)

    async def sent(body: Any, **options: Any) -> tuple[str | None, str]:
        proxy.forget()
        proxy.respond(200, action={"body": {"fine": True}})
        assert await client.send("/api/own", method="POST", body=body, **options) == {"fine": True}
        (request,) = proxy.requests("/api/own")
        return request["headers"].get("content-type"), request["body"]

    kind, body = await sent({"n": 1, "when": dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc)})
    assert (kind, json.loads(body)) == ("application/json", {"n": 1, "when": "2026-01-02 00:00:00.000Z"})
    assert await sent([1, None, True]) == ("application/json", "[1,null,true]")
    assert await sent('{"already": "JSON"}') == ("application/json", '{"already": "JSON"}')
    csv = {"Content-Type": "text/csv"}
    for raw in ("a,b", b"a,b", bytearray(b"a,b"), memoryview(b"a,b")):
        assert await sent(raw, headers=csv) == ("text/csv", "a,b")
    assert (await sent(b"a,b"))[1] == "a,b"
    assert (await sent(None))[1] == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
async def test_every_method(world: World, method: str) -> None:
    proxy = world.proxy()
    proxy.respond(200, action={"body": "" if method == "HEAD" else {"method": method}})
    answer = await world.client(proxy.url).send("/api/own", method=method)
    assert answer == (None if method == "HEAD" else {"method": method})
    assert [request["method"] for request in proxy.requests()] == [method]


async def test_mistakes_are_told_before_anything_is_sent(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url, "pk_live_secret")
    await failure(client.send("/api/own", method="BREW"), "Validation")
    for path in ("https://elsewhere.example/api", "//elsewhere.example/api"):
        error = await failure(client.send(path), "Configuration")
        assert "slash" in error.fix
    await failure(client.send("/api/../own"), "NotFound")
    await failure(client.send("/api/a b"), "Configuration")
    for name in ("", "..", "."):
        assert "file" not in str(await failure(client.rpc(name), "NotFound"))
    assert proxy.requests() == []


async def test_a_lost_answer_is_asked_for_again_where_that_is_safe(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    asked: list[tuple[dict[str, Any], int]] = [({"method": "POST", "safe": True}, 2), ({"method": "POST"}, 1), ({}, 2)]
    for options, attempts in asked:
        proxy.forget()
        proxy.faults(
            {"times": 1, "action": {"type": "respond", "status": 502}}, {"action": {"type": "respond", "status": 200, "body": {}}}
        )
        call = client.send("/api/own", **options)
        if attempts == 1:
            assert (await failure(call)).status == 502
        else:
            assert await call == {}
        assert len(proxy.requests()) == attempts


async def test_rpc(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    proxy.respond(200, times=3, action={"body": [3]})
    assert await client.rpc("add", {"a": 1, "b": 2}, headers={"X-Trace": "1"}) == [3]
    assert await client.rpc("a b/c") == [3]
    assert await client.rpc("text", "words") == [3]
    requests = proxy.requests()
    assert [(request["method"], request["path"], request["body"]) for request in requests] == [
        ("POST", "/api/rpc/add", '{"a":1,"b":2}'),
        ("POST", "/api/rpc/a%20b%2Fc", "null"),
        ("POST", "/api/rpc/text", '"words"'),
    ]
    assert requests[0]["headers"]["x-trace"] == "1"
    await failure(world.client().rpc("none"), "NotFound")
