"""Clients that were made before a fork: gunicorn with preload, multiprocessing, os.fork in the midst of calls."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from support.kit import Testkit
from support.programs import environment, run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

CHILD = """
def child(work):
    # What the work says, from a forked process; what it raises is this process's error.
    pid = os.fork()
    if not pid:
        code = 1
        try:
            faulthandler.dump_traceback_later(120, exit=True)
            work()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    return pid

def reap(pid):
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"

import faulthandler
"""


def forks(code: str, *arguments: str, **more: Any) -> None:
    """Runs a program that forks."""
    run(CHILD + textwrap.dedent(code), *arguments, **more)


def test_a_client_of_the_parent_works_in_the_child_and_in_the_parent(kit: Testkit) -> None:
    proxy = kit.proxy()
    forks(
        """
        blocking, other, states = Client(URL), AsyncClient(URL), []
        blocking.on_state(states.append)

        async def calls():
            await asyncio.gather(*(other.collection("posts").get_list(1, 1) for _ in range(5)))

        posts = blocking.collection("posts")
        posts.get_list(1, 1)
        asyncio.run(calls())

        def work():
            for _ in range(3):
                assert posts.get_list(1, 1).page == 1
                asyncio.run(calls())
            blocking.close()
            asyncio.run(other.close())

        # Parent and children at the same time.
        pids = [child(work) for _ in range(4)]
        for _ in range(10):
            posts.get_list(1, 1)
            asyncio.run(calls())
        for pid in pids:
            reap(pid)
        posts.get_list(1, 1)
        asyncio.run(calls())
        """,
        proxy.url,
    )
    # Nobody has written into another one's connection.
    assert {entry["status"] for entry in proxy.requests()} == {200}
    proxy.close()


def test_the_session_is_there_in_the_child(kit: Testkit, tmp_path: Path) -> None:
    token = kit.superuser_token()
    forks(
        """
        from picobase.stores import FileStore
        token, path = ARGS
        client = Client(URL)
        memory = client.with_session(token)
        stored = client.with_session(FileStore(path))
        stored.auth.sign_in("alice@example.com", os.environ["PASSWORD"])
        fresh = Client(URL, store=FileStore(path))
        fresh.auth.ready()
        own = Client(URL)
        own.auth.sign_in("bob@example.com", os.environ["PASSWORD"])
        mail = stored.auth.session.record["email"]

        def work():
            assert memory.collection("noaccess").get_list(1, 1).page == 1
            for one in (stored, fresh):
                assert one.collection("users").get_list(1, 1).items[0]["email"] == mail, one
            assert own.auth.session.record["email"] == "bob@example.com"
            assert own.collection("users").get_list(1, 1).total_items == 1
            own.auth.sign_out()

        reap(child(work))
        assert own.auth.session.record["email"] == "bob@example.com"
        assert own.collection("users").get_list(1, 1).total_items == 1
        """,
        kit.url,
        token,
        f"{tmp_path}/session.json",
        PASSWORD=kit.password,
    )


def test_threads_that_begin_together_in_the_child_have_one_client(kit: Testkit) -> None:
    # What is made anew for the child is made once, so that closing the client ends what each of them has begun.
    forks(
        """
        COUNT = 8
        client, other = Client(URL), AsyncClient(URL)

        def blocking(begin, read):
            begin.wait()
            with client.collection("posts").subscribe("*") as events:
                read.wait()
                assert list(events) == []

        async def listen(begin, read):
            begin.wait()
            async with other.collection("posts").subscribe("*") as events:
                await asyncio.to_thread(read.wait)
                assert [event async for event in events] == []

        def run(work):
            begin, read = threading.Barrier(COUNT), threading.Barrier(COUNT + 1)
            threads = [threading.Thread(target=work, args=(begin, read)) for _ in range(COUNT)]
            for thread in threads:
                thread.start()
            read.wait()
            return threads

        def work():
            threads = run(blocking)
            client.close()
            threads += run(lambda *args: asyncio.run(listen(*args)))
            asyncio.run(other.close())
            ends = time.monotonic() + 40
            for thread in threads:
                thread.join(max(ends - time.monotonic(), 0))
            assert not any(thread.is_alive() for thread in threads), "some have a client of their own"

        for _ in range(3):
            reap(child(work))
        """,
        kit.url,
        seconds=200,
    )


def test_another_url_goes_along(kit: Testkit) -> None:
    forks(
        """
        client = Client("http://127.0.0.1:9")
        client.set_url(URL)
        reap(child(lambda: client.collection("posts").get_list(1, 1)))
        """,
        kit.url,
    )


def test_hooks_and_closed_clients_go_along(kit: Testkit) -> None:
    forks(
        """
        seen = []
        client = Client(URL, after_call=lambda report: seen.append(report.status))
        gone = Client(URL)
        gone.close()

        def work():
            client.collection("posts").get_list(1, 1)
            assert seen == [200]
            try:
                gone.health()
            except picobase.ConfigurationError:
                return
            raise AssertionError("it was closed")

        reap(child(work))
        """,
        kit.url,
    )


def test_a_fork_beside_the_first_calls_of_all(kit: Testkit) -> None:
    # What the first calls look up once is being looked up by other threads.
    for _ in range(10):
        forks(
            """
            client, other = Client(URL), AsyncClient(URL)
            posts = client.collection("posts")

            async def call():
                return await other.collection("posts").get_list(1, 1)

            def work():
                assert posts.get_list(1, 1).page == asyncio.run(call()).page == 1

            threads = [threading.Thread(target=posts.get_list, args=(1, 1)) for _ in range(3)]
            threads.append(threading.Thread(target=lambda: asyncio.run(call())))
            for thread in threads:
                thread.start()
            reap(child(work))
            for thread in threads:
                thread.join()
            """,
            kit.url,
        )


@pytest.mark.timeout(600)
def test_fifty_forks_under_load(kit: Testkit) -> None:
    forks(
        """
        client, other, ending = Client(URL), AsyncClient(URL), threading.Event()
        posts = client.collection("posts")

        def load():
            # Between two calls others get their turn, the parent that forks above all.
            while not ending.wait(0.005):
                posts.get_list(1, 1)

        async def aload():
            while not ending.is_set():
                await asyncio.gather(*(other.collection("posts").get_list(1, 1) for _ in range(4)))
                await asyncio.sleep(0.005)

        threads = [threading.Thread(target=load) for _ in range(3)] + [threading.Thread(target=asyncio.run, args=[aload()])]
        for thread in threads:
            thread.start()

        def work():
            assert posts.get_list(1, 1).page == 1
            async def one():
                return await other.collection("posts").get_list(1, 1)
            assert asyncio.run(one()).page == 1
            # What was the parent's is collected here.
            global client, threads
            client = threads = None
            gc.collect()

        try:
            for n in range(50):
                reap(child(work))
        finally:
            ending.set()
        for thread in threads:
            thread.join()
        """,
        kit.url,
        seconds=560,
    )


def test_what_the_parent_had_is_collected_in_the_child(kit: Testkit) -> None:
    forks(
        """
        async def main():
            clients = [AsyncClient(URL) for _ in range(3)] + [Client(URL) for _ in range(3)]
            calls = [asyncio.ensure_future(client.collection("posts").get_list(1, 1)) for client in clients[:3]]
            await asyncio.gather(*calls)
            under_way = [asyncio.ensure_future(client.collection("posts").get_list(1, 1)) for client in clients[:3]]
            await asyncio.sleep(0)

            def work():
                clients.clear()
                under_way.clear()
                gc.collect()

            pids = [child(work) for _ in range(5)]
            await asyncio.gather(*under_way)
            for pid in pids:
                reap(pid)

        asyncio.run(main())
        """,
        kit.url,
    )


PROGRAM = """
import sys
from multiprocessing import get_context
from picobase import Client

def work(url):
    with Client(url) as client:
        return client.collection("posts").get_list(1, 1).page

def shared(_):
    return client.collection("posts").get_list(1, 1).page

if __name__ == "__main__":
    url, method = sys.argv[1:]
    client = Client(url)
    client.collection("posts").get_list(1, 1)
    with get_context(method).Pool(2) as pool:
        assert pool.map(work, [url] * 4) == [1] * 4
        if method == "fork":
            assert pool.map(shared, range(4)) == [1] * 4
    assert shared(0) == 1
    client.close()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(kit: Testkit, tmp_path: Path, method: str) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    command = [sys.executable, str(path), kit.url, method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=environment())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


GUNICORN = """
import asyncio, os
from picobase import AsyncClient, Client

client, other = Client(os.environ["URL"]), AsyncClient(os.environ["URL"])
client.collection("posts").get_list(1, 1)

async def page():
    return (await other.collection("posts").get_list(1, 1)).page

asyncio.run(page())

def app(environ, start_response):
    pages = client.collection("posts").get_list(1, 1).page, asyncio.run(page())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{pages} {os.getpid()} {os.getppid()}".encode()]
"""


def test_gunicorn_with_preload(kit: Testkit, tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(GUNICORN)
    done = run(
        """
        import pathlib, re, subprocess, urllib.request
        folder, = ARGS
        command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "3", "-b", "127.0.0.1:0", "--chdir", folder, "served:app"]
        with open(f"{folder}/log", "w") as log:
            said = pathlib.Path(folder, "log").read_text
            server = subprocess.Popen(command, env={**os.environ, "URL": URL}, stderr=log)
            try:
                # The port is one that the system has chosen.
                while not (found := re.search("Listening at: (http:[^ ]+)", said())):
                    assert server.poll() is None, said()
                    time.sleep(0.05)
                answers = set()
                for _ in range(300):
                    with urllib.request.urlopen(found[1], timeout=60) as answer:
                        answers.add(answer.read().decode())
                    if len(answers) >= 2:
                        break
                assert all(answer.startswith("(1, 1) ") for answer in answers), answers
                assert all(answer.endswith(f" {server.pid}") for answer in answers), "these are no workers"
            finally:
                server.terminate()
                server.wait(30)
        assert "Traceback" not in said(), said()
        """,
        kit.url,
        f"{tmp_path}",
    )
    assert done.stdout == ""
