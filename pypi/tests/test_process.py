"""What a call owes to the process around it: threads that wait sleep, loops and interpreters that end are left alone."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from picobase import AsyncClient, Client, ConfigurationError, PicoBaseError, Session, ValidationError
from support.kit import Proxy, Testkit
from support.programs import environment, run
from support.world import World, failure, until

STALL = {"path_prefix": "/api/", "action": {"type": "stall"}}
SLOW = {"path_prefix": "/api/", "action": {"type": "delay", "ms": 400}}


@pytest.fixture
def proxy(kit: Testkit) -> Iterator[Proxy]:
    proxy = kit.proxy()
    yield proxy
    proxy.close()


def wakings(thread: int) -> int:
    """How often a thread of this process went to sleep so far."""
    lines = Path(f"/proc/self/task/{thread}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def test_a_thread_that_hears_no_signals_sleeps_while_it_waits(proxy: Proxy) -> None:
    proxy.faults(STALL)
    client, errors = Client(proxy.url, timeout=100), list[PicoBaseError]()

    def call() -> None:
        try:
            client.health()
        except PicoBaseError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not proxy.stats()["in_flight"]:
        time.sleep(0.01)
    time.sleep(0.3)
    assert thread.native_id
    before = wakings(thread.native_id)
    time.sleep(1.5)
    # On the main thread there would be fifteen.
    assert wakings(thread.native_id) - before <= 3
    client.close()
    thread.join()
    assert [error.kind for error in errors] == ["Cancelled"]


def test_a_thread_that_forks_hears_signals_in_the_child(kit: Testkit, proxy: Proxy) -> None:
    """The thread that forks is the main one of the child."""
    proxy.faults(STALL)
    done = run(
        """
        def work():
            if os.fork():
                os.wait()
                return
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            begun = time.monotonic()
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.5)
                Client(ARGS[0], timeout=50).health()
            except KeyboardInterrupt:
                print("interrupted" if time.monotonic() - begun < 30 else "late", flush=True)
            os._exit(0)
        client = Client(URL)
        def first():
            # What is known of this thread is not true any more in the child.
            client.health()
            work()
        thread = threading.Thread(target=first)
        thread.start()
        thread.join()
        """,
        kit.url,
        proxy.url,
    )
    assert done.stdout == "interrupted\n"


def test_a_loop_that_was_closed_is_told_nothing(proxy: Proxy) -> None:
    proxy.faults(SLOW)
    done = run(
        """
        async def main():
            return asyncio.ensure_future(client.health())
        client = AsyncClient(URL)
        loop = asyncio.new_event_loop()
        call = loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
        time.sleep(1)
        # The client goes on with the next one.
        print(asyncio.run(client.health())["code"])
        call._log_destroy_pending = False
        """,
        proxy.url,
    )
    assert (done.stdout, done.stderr) == ("200\n", "")


LAST = """
import asyncio, atexit, sys
def last():
    print(blocking.health()["code"])
    print(Client(sys.argv[1]).health()["code"])
    for make in (lambda: used, lambda: AsyncClient(sys.argv[1])):
        try:
            asyncio.run(call(make))
        except ConfigurationError as error:
            print(error)
    asyncio.run(used.close())
async def call(make):
    await make().health()
# Before it is imported, so after its own.
atexit.register(last)
from picobase import AsyncClient, Client, ConfigurationError
blocking, used = Client(sys.argv[1]), AsyncClient(sys.argv[1])
blocking.health()
asyncio.run(call(lambda: used))
"""


def test_the_last_functions_of_a_program(kit: Testkit) -> None:
    """What `atexit` runs after the threads of clients have ended gets an error, and does not wait for ever."""
    command = [sys.executable, "-c", LAST, kit.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())
    over = "the program ends, and so has the thread that makes the calls\n"
    assert (done.stdout, done.stderr) == ("200\n200\n" + 2 * over, "")


@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_another_interpreter_is_refused(kind: str) -> None:
    """One process, one interpreter: that of another would be entered by the wrong threads.

    Python itself refuses, where the other one has a lock of its own. Those of mod_wsgi share it.
    """
    done = run(
        """
        kind = sys.argv[2]
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        make = getattr(interpreters, "new_config", None)
        create = lambda: interpreters.create(kind) if make else interpreters.create(isolated=kind == "isolated")
        refused = "try:\\n from picobase import Client\\nexcept ImportError as error: print('refused', 'mod_wsgi' in str(error))"
        import picobase
        picobase.Client("http://127.0.0.1:1").close()
        sys.stdout.flush()
        for _ in range(3):
            other = create()
            interpreters.run_string(other, refused)
            interpreters.destroy(other)
        # Here it may be imported again.
        for name in [name for name in sys.modules if name.startswith("picobase")]:
            del sys.modules[name]
        from picobase import Client
        print(Client("http://127.0.0.1:1"))
        """,
        "",
        kind,
    )
    is_ours = kind == "legacy" or sys.version_info < (3, 12)
    assert done.stdout == 3 * f"refused {is_ours}\n" + "<Client http://127.0.0.1:1>\n"


def test_a_visitor_is_refreshed_by_the_only_call(kit: Testkit) -> None:
    """As a site makes it: a client for one request, whose cookie is written when the call is over."""
    with Client(kit.url) as client:
        session = client.collection("shortlived").auth.sign_in("shortlived@example.com", kit.password)
        # The server gives the same token twice within a second.
        time.sleep(1.1)
        refreshed = 0
        while refreshed < 5:
            visitor = client.with_session(session)
            visitor.collection("posts").get_list(1, 1)
            assert visitor.auth.session
            # A call waits for a second only: a machine that takes longer keeps the old one, which ends after twenty.
            refreshed += visitor.auth.session.token != session.token


async def test_so_it_is_by_the_only_call_of_an_async_site(kit: Testkit, proxy: Proxy) -> None:
    proxy.faults({"path_contains": "auth-refresh", "action": {"type": "delay", "ms": 200}})
    async with AsyncClient(proxy.url) as client:
        session = await client.collection("shortlived").auth.sign_in("shortlived@example.com", kit.password)
        await asyncio.sleep(1.1)

        async def is_refreshed(call: Callable[[AsyncClient], Awaitable[object]]) -> bool:
            visitor = client.with_session(session)
            await call(visitor)
            assert visitor.auth.session
            return visitor.auth.session.token != session.token

        # A call waits for a second only, which is too short for a machine that is very busy.
        for _ in range(3):
            await until(lambda: is_refreshed(lambda visitor: visitor.collection("posts").get_list(1, 1)))
        # A call that fails has its session refreshed as well; and a server that hangs holds nobody up for long.
        await until(lambda: is_refreshed(lambda visitor: failure(visitor.collection("posts").get_one("none"), "NotFound")))
        proxy.faults({"path_contains": "auth-refresh", "action": {"type": "delay", "ms": 60_000}})
        assert not await is_refreshed(lambda visitor: visitor.collection("posts").get_list(1, 1))


def test_an_upload_that_python_gives_up_lets_its_connection_go(proxy: Proxy) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise KeyboardInterrupt

    with Client(proxy.url) as client:
        posts = client.collection("posts")
        with pytest.raises(KeyboardInterrupt):
            posts.create({"attachments": pieces()})
        ends = time.monotonic() + 40
        while proxy.stats()["in_flight"]:
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert posts.get_list(1, 1).page == 1


@pytest.mark.parametrize("answer", [{"id": "a"}, [], 5, "text", None, {"items": 5, "page": 1, "perPage": 1}], ids=str)
async def test_what_is_no_list_is_no_key_error(world: World, answer: object) -> None:
    proxy = world.proxy()
    proxy.respond(200, times=10, action={"body": json.dumps(answer), "headers": {"Content-Type": "application/json"}})
    client = world.client(proxy.url)
    for call in (client.collection("posts").get_list(1, 1), client.logs.get_list(), client.collections.get_list()):
        assert (await failure(call, "Decode")).fix


@dataclass
class Post:
    id: str


async def test_what_is_no_list_of_a_type(world: World) -> None:
    proxy = world.proxy()
    proxy.respond(200, times=10, action={"body": '{"id":"a"}', "headers": {"Content-Type": "application/json"}})
    await failure(world.client(proxy.url).collection("posts", Post).get_list(1, 1), "Decode")


async def test_times_are_named_by_what_they_are(world: World) -> None:
    posts = world.client().collection("posts")
    assert str(await failure(posts.get_list(timeout=-1), "Validation")) == "timeout cannot be -1 seconds"
    assert str(await failure(posts.get_list(timeout=float("nan")), "Validation")) == "timeout cannot be NaN seconds"
    with pytest.raises(TypeError, match="timeout is a number of seconds or a timedelta, not str"):
        await posts.get_list(timeout="1")
    with pytest.raises(ConfigurationError, match=r"^cold_start_timeout cannot be -2 seconds$"):
        world.client(cold_start_timeout=timedelta(seconds=-2))
    with pytest.raises(ConfigurationError, match=r"^max_age cannot be -3 seconds$"):
        world.client(realtime={"max_age": -3})
    with pytest.raises(ValidationError, match=r"^recheck_every cannot be -4 seconds$"):
        posts.live(recheck_every=-4)
    with pytest.raises(ValidationError, match=r"^max_age cannot be -5 seconds$"):
        Session("a.b.c").to_cookies(max_age=-5)
    async with posts.subscribe("*") as events:
        error = await failure(events.next(timeout=-6), "Validation")
        # 0 does not wait at all here.
        assert str(error) == "timeout cannot be -6 seconds" and "no limit" not in error.fix


async def test_numbers_of_things_are_whole_and_not_negative(world: World) -> None:
    posts: Any = world.client().collection("posts")
    for limit in (-1, -(10**30)):
        with pytest.raises(ValidationError, match=r"^a limit cannot be -\d+\b"):
            posts.live(limit=limit)
        with pytest.raises(ValidationError, match=r"^a limit cannot be -\d+\b"):
            posts.subscribe("*", queue_max=limit)
    with pytest.raises(TypeError, match=r"^a limit must be an int, not str\b"):
        posts.live(limit="5")
    assert str(await failure(posts.get_list(-(10**30)), "Validation")).startswith("pages and sizes are counted from 1")
    assert list(await posts.get_list(10**30, 1)) == []


async def test_changes_of_a_session_end_with_the_client(world: World) -> None:
    client = world.client()
    changes, seen = client.auth.changes(), list[str]()

    async def hear() -> None:
        async for change in changes:
            seen.append(change.event)

    heard = asyncio.ensure_future(hear())
    await until(lambda: seen == ["INITIAL_SESSION"])
    await client.close()
    await asyncio.wait_for(heard, 20)
    assert [change async for change in changes] == []
