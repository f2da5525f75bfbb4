"""B18: a hook before and after each call, and who hears of the instance."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from typing import Any

import pytest

from picobase import AsyncClient, CallReport, Client, ConfigurationError, NotFoundError, OutgoingCall
from support.kit import Testkit
from support.world import World, failure, until

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


async def test_headers_and_query_can_be_set_and_a_report_comes(world: World) -> None:
    proxy = world.proxy()
    calls: list[Any] = []
    reports: list[Any] = []

    def before(call: OutgoingCall) -> None:
        calls.append((call.endpoint, call.method, dict(call.headers)))
        call.headers["X-Trace"] = "abc"
        del call.headers["X-Gone"]
        call.set_query("fields", "id")
        call.set_query("n", None)

    client = world.client(proxy.url, before_call=before, after_call=reports.append)
    await world.client().collection("posts").create({"title": "seen by a hook"})
    page = await client.collection("posts").get_list(1, 1, headers={"X-Own": "1", "X-Gone": "2"})
    assert [list(post) for post in page] == [["id"]]
    assert calls == [("records.get_list", "GET", {"X-Own": "1", "X-Gone": "2"})]
    (sent,) = proxy.requests()
    assert (sent["headers"]["x-trace"], sent["headers"]["x-own"]) == ("abc", "1")
    assert "x-gone" not in sent["headers"]
    assert "n=" not in sent["query"]
    (report,) = reports
    assert isinstance(report, CallReport)
    assert (report.endpoint, report.method, report.template) == ("records.get_list", "GET", "/api/collections/{c}/records")
    assert (report.status, report.attempts, report.error) == (200, 1, None)
    assert report.url.startswith(proxy.url)
    assert 0 < report.elapsed < 60


async def test_a_report_tells_failures_and_retries(world: World) -> None:
    proxy = world.proxy()
    reports: list[Any] = []
    client = world.client(proxy.url, after_call=reports.append)
    await failure(client.collection("posts").get_one("missing"), "NotFound")
    proxy.respond(503, path_prefix="/api/", action={"headers": {"Retry-After": "1"}})
    await client.collection("posts").get_list(1, 1)
    proxy.faults({"path_prefix": "/api/", "action": {"type": "stall"}})
    await failure(client.collection("posts").get_one("missing", timeout=0.3), "Timeout")
    assert [(r.status, r.attempts, r.error and r.error.kind) for r in reports] == [
        (404, 1, "NotFound"),
        (200, 2, None),
        (0, 1, "Timeout"),
    ]
    assert isinstance(reports[0].error, NotFoundError)


async def test_a_report_tells_of_a_cancelled_call(kit: Testkit) -> None:
    proxy = kit.proxy()
    reports: list[Any] = []
    proxy.faults({"path_prefix": "/api/", "action": {"type": "stall"}})
    async with AsyncClient(proxy.url, after_call=reports.append) as client:
        call = asyncio.ensure_future(client.collection("posts").get_one("missing"))
        await until(lambda: proxy.stats()["in_flight"] == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: reports)
    proxy.close()
    assert [(r.status, r.error.kind) for r in reports] == [(0, "Cancelled")]


class OwnError(Exception):
    pass


async def test_what_a_hook_before_calls_raises_is_the_cause_and_nothing_is_sent(world: World) -> None:
    proxy, raised = world.proxy(), OwnError("no tenant")

    def before(call: OutgoingCall) -> None:
        raise raised

    error = await failure(world.client(proxy.url, before_call=before).collection("posts").get_list(), "Configuration")
    assert error.__cause__ is raised
    assert error.message == "`before_call` failed: OwnError: no tenant"
    assert proxy.requests() == []


async def test_what_a_hook_may_not_do_is_told(world: World) -> None:
    async def before(call: OutgoingCall) -> None:
        raise AssertionError("never awaited")

    error = await failure(world.client(before_call=before).collection("posts").get_list(), "Configuration")
    assert isinstance(error.__cause__, TypeError)

    def breaks(call: OutgoingCall) -> None:
        call.headers["X-A"] = "1\r\nX-B: 2"

    await failure(world.client(before_call=breaks).collection("posts").get_list(), "Validation")
    with pytest.raises(TypeError, match="before_call must be a function, not str"):
        world.client(before_call="no function")


async def test_what_observers_raise_breaks_nothing(world: World) -> None:
    proxy, told, raised = world.proxy(), [], OwnError("the hook's own")

    def fails(_: Any) -> None:
        raise raised

    before = sys.unraisablehook
    world.later(lambda: setattr(sys, "unraisablehook", before))
    sys.unraisablehook = lambda unraisable: told.append(unraisable.exc_value)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    client = world.client(proxy.url, after_call=fails, on_state=fails)
    client.on_state(fails)
    assert (await client.collection("posts").get_list(1, 1)).page == 1
    assert told == [raised]
    proxy.respond(503, path_prefix="/api/", action={"headers": {"Retry-After": "1"}})
    await client.collection("posts").get_list(1, 1)
    # Two listeners, two states, and one more call.
    await until(lambda: len(told) == 6)
    assert set(map(id, told)) == {id(raised)}


async def test_where_hooks_run(world: World) -> None:
    seen: dict[str, Any] = {}

    def where(name: str) -> Any:
        return lambda _: seen.setdefault(name, (threading.get_ident(), REQUEST.get()))

    client = world.client(before_call=where("before"), after_call=where("after"))
    REQUEST.set("42")
    await client.collection("posts").get_list(1, 1)
    here = threading.get_ident()
    # Both clients see the context of the call; the blocking one's call is made on a thread of `to_thread`.
    assert [request for _, request in seen.values()] == ["42", "42"]
    if world.is_sync:
        assert seen["before"][0] == seen["after"][0] != here
    else:
        assert seen["after"][0] == here != seen["before"][0]


def test_a_blocking_call_in_a_hook_is_an_error(world: World) -> None:
    other = Client(world.kit.url)

    def before(_: OutgoingCall) -> None:
        other.collection("posts").get_list(1, 1)

    with Client(world.kit.url, before_call=before) as client, pytest.raises(ConfigurationError) as caught:
        client.collection("posts").get_list(1, 1)
    assert "inside a hook" in caught.value.message
    # And from then on it may be used again.
    assert other.collection("posts").get_list(1, 1).page == 1
    other.close()


async def test_states_are_told_until_the_listener_is_removed(world: World) -> None:
    proxy = world.proxy()
    option: list[str] = []
    first: list[str] = []
    second: list[str] = []
    client = world.client(proxy.url, on_state=option.append)
    stop = client.on_state(first.append)
    sibling = world.superuser(proxy.url) if not hasattr(client, "with_session") else client.with_session("")
    sibling.on_state(second.append)
    asleep = {"path_prefix": "/api/", "times": 1, "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}}
    proxy.faults(asleep)
    await client.collection("posts").get_list(1, 1)
    await until(lambda: option == ["starting", "ready"])
    assert first == second == option
    stop()
    stop()
    await sibling.close()
    proxy.faults(asleep)
    await client.collection("posts").get_list(1, 1)
    await until(lambda: option == ["starting", "ready"] * 2)
    assert first == second == ["starting", "ready"]


def test_a_listener_that_knows_its_client_does_not_keep_it(world: World) -> None:
    for made in (Client, AsyncClient):
        client: Any = made(world.kit.url, after_call=lambda _: None)

        def knows(_: object, client: Any = client) -> None:
            client.close()

        # The client, its hooks and its listeners know each other.
        client.on_state(knows)
        client.on_storage_error(knows)
        gone = weakref.ref(client)
        del client, knows
        gc.collect()
        assert gone() is None, made


def test_hooks_go_on_without_the_client_object(world: World) -> None:
    reports: list[CallReport] = []
    posts = Client(world.kit.url, after_call=reports.append).collection("posts")
    gc.collect()
    posts.get_list(1, 1)
    assert len(reports) == 1
