"""What a call owes to the process around it: threads that wait sleep, loops and interpreters that end are left alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from picobase import Client, PicoBaseError
from support.kit import Proxy, Testkit
from support.programs import environment, run

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
    client, errors = Client(proxy.url, timeout=3), list[PicoBaseError]()

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
    thread.join()
    assert [error.kind for error in errors] == ["Timeout"]
    client.close()


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
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            begun = time.monotonic()
            try:
                Client(ARGS[0], timeout=20).health()
            except KeyboardInterrupt:
                print("interrupted" if time.monotonic() - begun < 5 else "late", flush=True)
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


def test_another_interpreter_is_refused() -> None:
    """One process, one interpreter: that of another would be entered by the wrong threads."""
    done = run(
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        import picobase._native
        code = "try:\\n import picobase._native\\nexcept ImportError as error: print('refused')"
        other = interpreters.create("legacy") if hasattr(interpreters, "new_config") else interpreters.create(isolated=False)
        sys.stdout.flush()
        interpreters.run_string(other, code)
        interpreters.destroy(other)
        """,
        "",
    )
    assert done.stdout == "refused\n"
