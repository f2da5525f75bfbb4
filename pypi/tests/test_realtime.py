"""B14: subscriptions."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from picobase import (
    AsyncClient,
    Change,
    Client,
    Enter,
    Lagged,
    Leave,
    Message,
    Move,
    PicoBaseError,
    RecordEvent,
    Resync,
    Snapshot,
)
from support.kit import Proxy, Testkit
from support.programs import run
from support.world import World, collected, failure, unique, until


def submits(proxy: Proxy) -> list[list[str]]:
    """The topics of each submit that the server has acknowledged."""
    sent = [request for request in proxy.requests("/api/realtime") if request["method"] == "POST" and request["status"] == 204]
    return [json.loads(request["body"])["subscriptions"] for request in sent]


async def nothing_is_subscribed(proxy: Proxy) -> None:
    """Waits until the last topic is given up, or the stream is closed."""
    await until(lambda: asyncio.to_thread(lambda: submits(proxy)[-1:] == [[]] or proxy.stats()["in_flight"] == 0))


async def begin(subscribe: Any) -> Any:
    """Subscribes, where that may fail: the blocking client does it at once."""
    return await subscribe()


async def test_what_is_acknowledged_hears_of_every_write_in_order(world: World) -> None:
    client = world.client()
    posts, title = client.collection("posts"), unique("order")
    got: list[Any] = []
    subscription = await posts.subscribe("*", got.append, filter=f"title = '{title}'")
    assert client.realtime.is_connected
    # The server promises no order, so each write waits for the event of the last.
    made = await posts.create({"title": title, "n": 1})
    await until(lambda: len(got) == 1)
    await posts.update(made["id"], {"n": 2})
    await until(lambda: len(got) == 2)
    await posts.delete(made["id"])
    await until(lambda: len(got) == 3)
    assert [(event.action, event.record["n"], event.origin, event.topic, event.id) for event in got] == [
        ("create", 1, "live", "posts/*", made["id"]),
        ("update", 2, "live", "posts/*", made["id"]),
        ("delete", 2, "live", "posts/*", made["id"]),
    ]
    other = await posts.subscribe("*")
    subscription.unsubscribe()
    await posts.create({"title": title})
    # The other one has heard of it, so it has come.
    while (await other.next(timeout=30)).record.get("title") != title:
        pass
    assert len(got) == 3


async def test_several_on_one_topic_each_end_alone(world: World) -> None:
    client = world.client()
    posts = client.collection("posts")
    made = await posts.create({"title": unique("two")})
    heard: dict[str, list[Any]] = {name: [] for name in ("one", "two", "record", "raw")}

    def listen(name: str) -> Any:
        return lambda event: heard[name].append(event.record["n"]) if event.id == made["id"] else None

    one = await posts.subscribe("*", listen("one"))
    await posts.subscribe("*", listen("two"))
    await posts.subscribe(made["id"], listen("record"))
    await client.realtime.subscribe(f"posts/{made['id']}", listen("raw"))
    await posts.update(made["id"], {"n": 1})
    await until(lambda: all(heard.values()))
    one.unsubscribe()
    await posts.update(made["id"], {"n": 2})
    await until(lambda: all(len(heard[name]) == 2 for name in ("two", "record", "raw")))
    posts.unsubscribe(made["id"])
    await posts.update(made["id"], {"n": 3})
    await until(lambda: len(heard["two"]) == 3)
    posts.unsubscribe()
    await nothing_left(client)
    await posts.update(made["id"], {"n": 4})
    assert heard == {"one": [1], "two": [1, 2, 3], "record": [1, 2], "raw": [1, 2]}


async def nothing_left(client: Any) -> None:
    await until(lambda: client.realtime.state == "disconnected")


async def test_unsubscribing_by_topic_by_prefix_and_all(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url, realtime={"linger": 0.1})
    realtime = client.realtime
    topics = ["a", "b/1", "b/2", "c"]
    ended: list[str] = []

    async def read(topic: str) -> None:
        async for _ in await realtime.subscribe(topic):
            pass
        ended.append(topic)

    tasks = [asyncio.create_task(read(topic)) for topic in topics]
    # Each begins on a thread of its own, and not all of them at the same time.
    await until(lambda: sorted((submits(proxy) or [[]])[-1]) == topics)
    # Each is acknowledged when the one after it is.
    await realtime.subscribe("last")
    realtime.unsubscribe("a")
    await until(lambda: ended == ["a"])
    realtime.unsubscribe_prefix("b/")
    await until(lambda: sorted(ended) == ["a", "b/1", "b/2"])
    realtime.unsubscribe_all()
    await until(lambda: len(ended) == 4)
    await asyncio.gather(*tasks)
    await nothing_left(client)


async def test_a_loop_ends_its_subscription_when_it_is_left(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    posts, title, seen = client.collection("posts"), unique("loop"), []

    async def write() -> None:
        await until(lambda: len(submits(proxy)) > 0)
        async with AsyncClient(world.kit.url) as other:
            for n in range(5):
                await other.collection("posts").create({"title": title, "n": n})

    writing = asyncio.create_task(write())
    async for event in posts.subscribe("*", filter=f"title = '{title}'"):
        seen.append(event.record["n"])
        if len(seen) == 3:
            break
    await writing
    # The server promises no order of different records.
    assert len(set(seen)) == 3
    await nothing_is_subscribed(proxy)


async def test_a_block_ends_its_subscription(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    async with client.collection("posts").subscribe("*") as events:
        await client.collection("posts").create({"title": unique("block")})
        assert (await events.next(timeout=30)).action == "create"
    await nothing_is_subscribed(proxy)
    assert (await failure(events.next(timeout=30))).kind == "Cancelled"
    assert [event async for event in events] == []


async def test_one_that_nobody_holds_ends(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    held = await client.collection("posts").subscribe("*")
    native = weakref.ref(getattr(held, "_wrapped", held))
    del held
    await until(lambda: collected(native))
    await nothing_is_subscribed(proxy)


async def test_one_with_a_callback_needs_no_holding(world: World) -> None:
    client = world.client()
    posts, title = client.collection("posts"), unique("held")
    got: list[Any] = []
    await posts.subscribe("*", got.append, filter=f"title = '{title}'")
    gc.collect()
    await posts.create({"title": title})
    await until(lambda: len(got) == 1)


async def test_who_reads_too_slowly_is_told_how_much_was_lost_and_gets_the_newest(world: World) -> None:
    client = world.client()
    posts, title = client.collection("posts"), unique("slow")
    filter = f"title = '{title}'"
    slow = await posts.subscribe("*", filter=filter, queue_max=2)
    heard: list[Any] = []
    await posts.subscribe("*", heard.append, filter=filter)
    for n in range(6):
        await posts.create({"title": title, "n": n})
        # The server promises no order, so each write waits for the event of the last.
        await until(lambda: len(heard) > n)  # noqa: B023  (it is over before the next n)
    lagged = await slow.next(timeout=30)
    assert lagged == Lagged(4)
    assert (lagged.action, lagged.record, lagged.missed) == ("lagged", None, 4)
    assert [(await slow.next(timeout=30)).record["n"] for _ in range(2)] == [4, 5]


async def test_waiting_for_so_long_loses_nothing(world: World) -> None:
    client = world.client()
    posts, title = client.collection("posts"), unique("wait")
    events = await posts.subscribe("*", filter=f"title = '{title}'")
    with pytest.raises(TimeoutError) as caught:
        await events.next(timeout=0.05)
    assert isinstance(caught.value, PicoBaseError)
    async with AsyncClient(world.kit.url) as other:
        writing = asyncio.gather(*(other.collection("posts").create({"title": title, "n": n}) for n in range(30)))
        seen: list[int] = []
        while len(seen) < 30:
            try:
                seen.append((await events.next(timeout=0.002)).record["n"])
            except TimeoutError:
                continue
        await writing
    assert sorted(seen) == list(range(30))


async def test_a_reader_that_is_cancelled_loses_nothing(kit: Testkit) -> None:
    async with AsyncClient(kit.url) as client:
        posts, title = client.collection("posts"), unique("cancel")
        events = await posts.subscribe("*", filter=f"title = '{title}'")
        writing = asyncio.gather(*(posts.create({"title": title, "n": n}) for n in range(30)))
        seen: list[int] = []
        while len(seen) < 30:
            reading = asyncio.ensure_future(events.next())
            await asyncio.wait([reading], timeout=0.002)
            if reading.cancel():
                await asyncio.wait([reading])
            if not reading.cancelled():
                record = reading.result().record
                assert record
                seen.append(record["n"])
        await writing
        assert sorted(seen) == list(range(30))


async def test_a_topics_own_filter_expansion_and_fields(world: World) -> None:
    author = await world.user()
    posts, title, me = author.collection("posts"), unique("opt"), author.auth.get_user()["id"]
    filter = f"title = '{title}' && n > 1"
    events = await posts.subscribe("*", filter=filter, expand="author", fields="n,expand.author.id")
    await posts.create({"title": title, "n": 1, "author": me})
    made = await posts.create({"title": title, "n": 2, "author": me})
    event = await events.next(timeout=30)
    assert (event.id, event.record["n"], event.record["expand"]) == (made["id"], 2, {"author": {"id": me}})
    assert "title" not in event.record


@dataclass
class Post:
    id: str
    title: str


@dataclass
class Odd:
    id: str
    title: int


async def test_records_of_a_type(world: World) -> None:
    client = world.client()
    title = unique("typed")
    posts = client.collection("posts", Post)
    got: list[Any] = []
    errors: list[Any] = []
    filter = f"title = '{title}'"
    events = await posts.subscribe("*", filter=filter)
    await client.collection("posts", Odd).subscribe("*", got.append, filter=filter, on_error=errors.append)
    odd = await client.collection("posts", Odd).subscribe("*", filter=filter)
    made = await posts.create({"title": title})
    assert (await events.next(timeout=30)).record == made == Post(made.id, title)
    # What does not fit is an error of its own, and the next event comes all the same.
    assert (await failure(odd.next(timeout=30))).kind == "Decode"
    await posts.update(made.id, {"n": 1})
    await until(lambda: len(errors) == 2)
    assert got == []
    assert (await failure(odd.next(timeout=30))).kind == "Decode"


SAY = """
routerAdd("POST", "/api/say", (e) => {
    const said = e.requestInfo().body;
    const message = new SubscriptionMessage({name: said.topic, data: said.data});
    const clients = $app.subscriptionsBroker().clients();
    for (const id in clients) {
        if (clients[id].hasSubscription(said.topic)) clients[id].send(message);
    }
    return e.noContent(204);
});
"""


async def test_messages_of_ones_own(world: World) -> None:
    server = world.server()
    folder = Path(world.kit.control("GET", f"/servers/{server.id}")["data_dir"]).parent / "hooks"
    world.kit.control("POST", f"/servers/{server.id}/stop")
    folder.mkdir(exist_ok=True)
    (folder / "say.pb.js").write_text(SAY)
    server.start()
    client = world.client(server.url)
    async with client.realtime.subscribe("news") as news:
        for data in ('{"a": [1, "ü"]}', "no JSON"):
            server.admin("POST", "/api/say", {"topic": "news", "data": data})
        first, second = await news.next(timeout=30), await news.next(timeout=30)
    assert first == Message("news", {"a": [1, "ü"]})
    assert (first.action, first.record, second.data) == ("message", None, "no JSON")


async def test_a_refused_topic_fails_its_own_subscribe_alone(world: World) -> None:
    client = world.client()
    posts = client.collection("posts")
    events = await posts.subscribe("*")
    await failure(begin(lambda: posts.subscribe("x" * 2600)), "Validation")
    title = unique("still")
    await posts.create({"title": title})
    while (await events.next(timeout=30)).record.get("title") != title:
        pass


async def test_many_at_once_are_one_submit(kit: Testkit) -> None:
    proxy = kit.proxy()
    # All are there before the stream is.
    proxy.respond(503, times=1000, path="/api/realtime", action={"headers": {"Retry-After": "1"}})
    async with AsyncClient(proxy.url) as client:
        topics = [client.realtime.subscribe(f"topic{n}") for n in range(50)]
        # They are subscribed when they are awaited.
        assert client.realtime.state == "disconnected"
        subscribing = [asyncio.ensure_future(_awaited(topic)) for topic in topics]
        await until(lambda: proxy.requests("/api/realtime"))
        proxy.faults()
        await asyncio.gather(*subscribing)
        assert [len(topics) for topics in submits(proxy)] == [50]
    proxy.close()


async def _awaited(subscription: Any) -> Any:
    return await subscription


async def test_who_signs_in_hears_what_a_guest_may_not_and_is_told_to_look_again(world: World) -> None:
    proxy = world.proxy()
    user = await world.user()
    client = world.client(proxy.url)
    got: list[Any] = []
    await client.collection("private_notes").subscribe("*", got.append)

    async def write(body: str) -> None:
        await user.collection("private_notes").create({"owner": user.auth.get_user()["id"], "body": body})

    await write("as a guest")
    await client.auth.set_session(user.auth.session)
    await until(lambda: got == [Resync("auth_changed")])
    await write("as the user")
    await until(lambda: len(got) == 2)
    assert got[1].record["body"] == "as the user"
    await client.auth.sign_out()
    await until(lambda: got[2:] == [Resync("auth_changed")])
    # The stream of the guest is there when a public record is heard of.
    posts = await client.collection("posts").subscribe("*")
    await write("as a guest again")
    await client.collection("posts").create({"title": unique("after")})
    await posts.next(timeout=30)
    assert len(got) == 3
    streams = [request for request in proxy.requests("/api/realtime") if request["method"] == "GET"]
    assert len(streams) == 2


async def test_states_are_told(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    assert (client.realtime.state, client.realtime.is_connected) == ("disconnected", False)
    states: list[str] = []
    tell = states.append

    async def watch() -> None:
        async for state in client.realtime.states():
            tell(state)

    watching = asyncio.create_task(watch())
    await until(lambda: states == ["disconnected"])
    events = await client.collection("posts").subscribe("*")
    await until(lambda: states[-1] == "connected")
    # A slow reader sees the latest only: no other stream begins before this was seen.
    proxy.faults({"method": "GET", "path": "/api/realtime", "action": {"type": "reset"}})
    await until(lambda: asyncio.to_thread(proxy.cut, "reset", "/api/realtime"))
    await until(lambda: states[-1] == "reconnecting")
    proxy.faults()
    await until(lambda: states.count("connected") == 2)
    assert [state for state in states if state != "connecting"] == [
        "disconnected",
        "connected",
        "reconnecting",
        "connected",
    ]
    events.unsubscribe()
    # It ends with the client.
    await client.close()
    await watching


async def test_hints_of_the_network(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    posts, title = client.collection("posts"), unique("hint")
    events = await posts.subscribe("*", filter=client.filter("title = {:title}", {"title": title}))

    def streams() -> list[bool]:
        """Of each stream, whether it is still there."""
        requests = [request for request in proxy.requests("/api/realtime") if request["method"] == "GET"]
        return [request["ended_ms"] is None for request in requests]

    assert streams() == [True]
    client.realtime.hint("online")
    await until(streams, lambda there: there == [False, True])
    await posts.create({"title": title, "n": 1})
    assert (await events.next(timeout=30)).record["n"] == 1
    client.realtime.hint("hidden")
    await until(streams, lambda there: there == [False, False])
    await posts.create({"title": title, "n": 2})
    client.realtime.hint("visible")
    event = await events.next(timeout=30)
    assert (event.record["n"], event.origin) == (2, "catchup")
    with pytest.raises(ValueError, match="online, hidden or visible"):
        client.realtime.hint("asleep")


async def test_an_instance_that_sleeps_while_one_subscribes(world: World) -> None:
    proxy = world.proxy()
    sleeps = {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}
    proxy.faults({"path_prefix": "/api/", "for_ms": 1200, "from": "first_hit", "action": sleeps})
    client = world.client(proxy.url)
    events = await client.collection("posts").subscribe("*")
    await client.collection("posts").create({"title": unique("awake")})
    assert (await events.next(timeout=30)).action == "create"


async def test_three_failures_in_a_row_reject_those_who_wait(world: World) -> None:
    proxy = world.proxy()
    proxy.faults({"path": "/api/realtime", "action": {"type": "respond", "status": 500}})
    posts = world.client(proxy.url).collection("posts")
    error = await failure(begin(lambda: posts.subscribe("*")), "Server")
    assert error.status == 500
    assert len(proxy.requests("/api/realtime")) >= 3


async def test_a_server_that_does_not_acknowledge_in_time(world: World) -> None:
    proxy = world.proxy()
    proxy.faults({"path": "/api/realtime", "action": {"type": "stall"}})
    posts = world.client(proxy.url).collection("posts")
    await failure(begin(lambda: posts.subscribe("*", timeout=0.2)), "Timeout")
    await nothing_is_subscribed(proxy)


async def test_what_a_callback_raises_harms_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    if world.is_sync:
        monkeypatch.setattr(threading, "excepthook", lambda about: raised.append(about.exc_value))
    else:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, about: raised.append(about["exception"]))
    client = world.client()
    posts, title = client.collection("posts"), unique("raise")
    got: list[Any] = []

    def fails(event: Any) -> None:
        raise RuntimeError(event.action)

    await posts.subscribe("*", fails, filter=f"title = '{title}'")
    await posts.subscribe("*", got.append, filter=f"title = '{title}'")
    for _ in range(2):
        await posts.create({"title": title})
    await until(lambda: len(got) == len(raised) == 2)
    assert [str(error) for error in raised] == ["create", "create"]


async def test_a_callback_may_end_its_own_subscription(world: World) -> None:
    client = world.client(realtime={"linger": 0.1})
    posts, title, got = client.collection("posts"), unique("end"), []

    def once(event: Any) -> None:
        got.append(event.record["n"])
        subscription.unsubscribe()

    subscription = await posts.subscribe("*", once, filter=f"title = '{title}'")
    async with AsyncClient(world.kit.url) as other:
        await asyncio.gather(*(other.collection("posts").create({"title": title, "n": n}) for n in range(10)))
    await nothing_left(client)
    assert len(got) == 1


async def test_a_coroutine_function_is_awaited_one_event_after_the_other(kit: Testkit) -> None:
    async with AsyncClient(kit.url) as client:
        posts, title, got = client.collection("posts"), unique("coroutine"), []

        async def read(event: Any) -> None:
            got.append(("begin", event.record["n"]))
            await posts.get_one(event.id)
            got.append(("end", event.record["n"]))

        await posts.subscribe("*", read, filter=f"title = '{title}'")
        for n in range(3):
            await posts.create({"title": title, "n": n})
        await until(lambda: len(got) == 6)
        # The server promises no order of different records.
        assert sorted(got[::2]) == [("begin", n) for n in range(3)]
        assert got[1::2] == [("end", n) for _, n in got[::2]]


def test_a_blocking_subscription_is_an_iterator(kit: Testkit) -> None:
    with Client(kit.url) as client:
        title = unique("next")
        posts = client.collection("posts")
        with posts.subscribe("*", filter=client.filter("title = {:t}", {"t": title})) as events:
            for n in range(2):
                posts.create({"title": title, "n": n})
                event = next(events)
                assert isinstance(event, RecordEvent) and event.record["n"] == n
            assert iter(events) is events
        assert next(events, None) is None


async def test_a_blocking_callback_may_make_calls(kit: Testkit) -> None:
    def program() -> list[str]:
        with Client(kit.url) as client:
            posts, title, got, done = client.collection("posts"), unique("calls"), list[str](), threading.Event()

            def read(event: Any) -> None:
                got.append(posts.get_one(event.id)["title"])
                got.append(threading.current_thread().name)
                done.set()

            posts.subscribe("*", read, filter=f"title = '{title}'")
            posts.create({"title": title})
            assert done.wait(30)
            return [got[0].removeprefix(title), got[1]]

    assert await asyncio.to_thread(program) == ["", "picobase-callback"]


async def test_closing_the_client_ends_loops_and_callbacks(world: World) -> None:
    client = world.client()
    posts = client.collection("posts")
    got: list[Any] = []
    errors: list[Any] = []
    await posts.subscribe("*", got.append, on_error=errors.append)
    events = await posts.subscribe("*")
    live = await posts.live(limit=1)
    reading = [asyncio.create_task(_all(source)) for source in (events, live, client.realtime.states())]
    await asyncio.sleep(0)
    await client.close()
    for task in reading:
        await asyncio.wait_for(task, 30)
    assert [event async for event in events] == []
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "picobase-callback"])
    assert errors == []
    error = await failure(begin(lambda: posts.subscribe("*")), "Configuration")
    assert error.message == "the client is closed"


async def _all(source: Any) -> list[Any]:
    return [event async for event in source]


async def test_one_with_a_callback_that_is_never_awaited_is_a_mistake(kit: Testkit) -> None:
    async with AsyncClient(kit.url) as client:
        subscription = client.collection("posts").subscribe("*", print)
        with pytest.warns(RuntimeWarning, match="never awaited"):
            del subscription
        # Without one nothing is lost.
        client.collection("posts").subscribe("*")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_child_process_has_no_part_in_what_its_parent_subscribed(kit: Testkit, kind: str) -> None:
    out = run(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        def child(events):
            for what in (lambda: events.unsubscribe(), lambda: reading(events)):
                try:
                    what()
                except picobase.ConfigurationError as error:
                    print(error, error.fix, flush=True)

        def fork(events, first, second):
            pid = os.fork()
            if pid == 0:
                child(events)
                events = None
                gc.collect()
                # And may subscribe anew.
                print(second(), flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            # The parent's goes on.
            print(first(), flush=True)

        if ARGS == ["sync"]:
            client = Client(URL)
            posts = client.collection("posts")
            def reading(events):
                events.next(timeout=5)
            def one(events):
                made = posts.create({"title": "fork"})
                while (event := events.next(timeout=60)).id != made["id"]:
                    pass
                return event.action
            events = posts.subscribe("*")
            fork(events, lambda: one(events), lambda: one(posts.subscribe("*")))
        else:
            async def one(client, events):
                made = await client.collection("posts").create({"title": "fork"})
                while (event := await events.next(timeout=60)).id != made["id"]:
                    pass
                return event.action
            async def begin():
                global client, events
                client = AsyncClient(URL)
                events = await client.collection("posts").subscribe("*")
            async def read(events):
                await events.next(timeout=5)
            def reading(events):
                asyncio.new_event_loop().run_until_complete(read(events))
            async def anew():
                return await one(client, await client.collection("posts").subscribe("*"))
            loop = asyncio.new_event_loop()
            loop.run_until_complete(begin())
            fork(
                events,
                lambda: loop.run_until_complete(one(client, events)),
                lambda: asyncio.new_event_loop().run_until_complete(anew()),
            )
            loop.run_until_complete(client.close())
            loop.close()
        """,
        kit.url,
        kind,
    ).stdout
    error = "what was subscribed before a fork belongs to the parent process Subscribe in the child process anew."
    assert out.splitlines() == [error, error, "create", "create"]


ENDS = {
    "a callback": """
        client = Client(URL)
        got = []
        client.collection("posts").subscribe("*", got.append)
        client.collection("posts").create({"title": "end"})
        while not got: time.sleep(0.01)
    """,
    "a callback that is busy": """
        client = Client(URL)
        posts = client.collection("posts")
        begun = threading.Event()
        def read(event):
            begun.set()
            while True: posts.get_list(1, 1)
        posts.subscribe("*", read)
        posts.create({"title": "end"})
        begun.wait()
    """,
    "a live query with a callback": """
        client = Client(URL)
        live = client.collection("posts").live(lambda change: None, limit=3)
        assert isinstance(live.records, list)
    """,
    "a thread that reads": """
        client = Client(URL)
        events = client.collection("posts").subscribe("*")
        def read():
            for event in events: pass
        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.2)
    """,
    "after close": """
        client = Client(URL)
        posts = client.collection("posts")
        posts.subscribe("*", lambda event: None)
        events = posts.subscribe("*")
        client.close()
        assert list(events) == []
    """,
    "asyncio with a callback": """
        async def main():
            client = AsyncClient(URL)
            got = []
            async def read(event): got.append(event)
            await client.collection("posts").subscribe("*", got.append)
            await client.collection("posts").subscribe("*", read)
            await client.collection("posts").create({"title": "end"})
            while len(got) < 2: await asyncio.sleep(0.01)
        asyncio.run(main())
    """,
    "asyncio with a task that reads": """
        async def read(source):
            async for event in source: pass
        async def main():
            client = AsyncClient(URL)
            posts = client.collection("posts")
            tasks = [asyncio.create_task(read(it)) for it in (posts.subscribe("*"), posts.live(limit=1), client.realtime.states())]
            await posts.subscribe("*")
            await asyncio.sleep(0.1)
        asyncio.run(main())
    """,
    "asyncio after close": """
        async def main():
            async with AsyncClient(URL) as client:
                events = await client.collection("posts").subscribe("*")
                await client.collection("posts").subscribe("*", lambda event: None)
            assert [event async for event in events] == []
        asyncio.run(main())
    """,
}


@pytest.mark.parametrize("what", ENDS)
def test_the_program_just_ends(kit: Testkit, what: str) -> None:
    for _ in range(3):
        done = run(ENDS[what], kit.url, seconds=60)
        assert (done.stdout, done.stderr) == ("", "")


def test_ctrl_c_ends_a_loop_that_waits(kit: Testkit) -> None:
    out = run(
        """
        client = Client(URL)
        events = client.collection("none").subscribe("*")
        begun = time.monotonic()
        try:
            threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            for event in events: pass
        except KeyboardInterrupt:
            print(0.2 < time.monotonic() - begun < 60)
        # Nothing is broken by it.
        title = str(time.time())
        client.collection("posts").create({"title": title})
        events = client.collection("posts").subscribe("*")
        client.collection("posts").create({"title": title})
        while events.next(timeout=30).record["title"] != title: pass
        print("goes on")
        """,
        kit.url,
    ).stdout
    assert out.splitlines() == ["True", "goes on"]


def test_what_is_told_can_be_taken_apart() -> None:
    event = RecordEvent("create", {"id": "a"}, "live", "posts/*", "a")
    assert repr(event) == "RecordEvent(action='create', record={'id': 'a'}, origin='live', topic='posts/*', id='a')"
    assert not hasattr(event, "__dict__")
    told: list[Any] = [event, Message("news", 1), Resync("too_much"), Lagged(3)]
    assert [(it.action, it.record) for it in told] == [
        ("create", {"id": "a"}),
        ("message", None),
        ("resync", None),
        ("lagged", None),
    ]
    said = []
    for it in told:
        match it:
            case RecordEvent("create" | "update", record):
                said.append(record)
            case Message(topic, data):
                said.append((topic, data))
            case Resync(reason):
                said.append(reason)
            case Lagged(missed):
                said.append(missed)
    assert said == [{"id": "a"}, ("news", 1), "too_much", 3]
    assert event == RecordEvent("create", {"id": "a"}, "live", "posts/*", "a") != Lagged(1)
    assert Resync("too_much") != Resync("no_history")
    changes: list[Any] = [Snapshot([1]), Enter(0, "a", 2), Change(1, "b", 3), Leave(0, "a"), Move(0, 1, "b")]
    assert [it.action for it in changes] == ["snapshot", "enter", "change", "leave", "move"]
    assert repr(changes[-1]) == "Move(from_index=0, to_index=1, id='b')"


def test_realtime_options_are_checked() -> None:
    with pytest.raises(TypeError, match="unexpected option of realtime 'livness'"):
        Client("http://127.0.0.1:1", realtime={"livness": 1})  # type: ignore[arg-type]  # the mistake is what is tested
    with pytest.raises(PicoBaseError) as caught:
        Client("http://127.0.0.1:1", realtime={"liveness": -1})
    assert caught.value.kind == "Configuration"
    Client("http://127.0.0.1:1", realtime={"liveness": None, "catch_up": False, "queue_max": 10}).close()
