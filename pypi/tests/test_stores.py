"""B10: where a session is kept."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from picobase import AsyncClient, Client, ConfigurationError, Session, StorageError
from picobase.stores import FileStore, MemoryStore
from support.world import World, failure, until

ALICE = "alice@example.com"


class Slot:
    """A store of the user's own, which counts."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.loads = 0
        self.threads: set[str] = set()

    def load(self) -> str | None:
        self.loads += 1
        self.threads.add(threading.current_thread().name)
        return self.text

    def save(self, session: str) -> None:
        self.text = session

    def clear(self) -> None:
        self.text = None


class AsyncSlot:
    """The same, with coroutines."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.loads = 0
        self.loops: set[Any] = set()

    async def load(self) -> str | None:
        self.loads += 1
        self.loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0.2)
        return self.text

    async def save(self, session: str) -> None:
        await asyncio.sleep(0)
        self.text = session

    async def clear(self) -> None:
        self.text = None


class Broken:
    """A store that cannot."""

    def __init__(self, *methods: str) -> None:
        self.methods = methods

    def _do(self, method: str) -> None:
        if method in self.methods:
            raise OSError(28, "SentinelSecret: No space left on device")

    def load(self) -> None:
        self._do("load")

    def save(self, session: str) -> None:
        self._do("save")

    def clear(self) -> None:
        self._do("clear")


def slot(world: World, text: str | None = None) -> Any:
    return Slot(text) if world.is_sync else AsyncSlot(text)


async def test_a_store_of_ones_own_calls_wait_for_the_first_load(world: World) -> None:
    store = slot(world)
    first = await world.user(store=store)
    kept = json.loads(store.text)
    assert (kept["token"], kept["record"]["id"]) == (first.auth.session.token, first.auth.session.user_id)
    proxy = world.proxy()
    second = world.client(proxy.url, store=store)
    store.loads = 0
    await asyncio.gather(*(second.collection(name).get_list(1, 1) for name in ("private_notes", "posts", "users")))
    assert store.loads == 1
    for request in proxy.requests():
        assert request["headers"]["authorization"] == first.auth.session.token
    await second.auth.sign_out()
    assert store.text is None


async def test_plain_methods_serve_both_clients(world: World) -> None:
    store = Slot()
    client = await world.user(store=store)
    assert store.text and json.loads(store.text)["token"] == client.auth.session.token
    assert store.threads != {threading.main_thread().name}


async def test_a_store_of_coroutines_runs_on_the_loop_that_uses_the_client(kit: Any) -> None:
    store = AsyncSlot()
    client = AsyncClient(kit.url, store=store)
    seen: list[str] = []
    # Nothing but a listener: what loads is a task of the client's own.
    client.auth.on_change(lambda event, session: seen.append(event))
    await until(lambda: seen == ["INITIAL_SESSION"])
    assert store.loops == {asyncio.get_running_loop()}

    async def elsewhere() -> Any:
        await client.auth.sync_from_store()
        return asyncio.get_running_loop()

    loop = await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
    assert loop in store.loops
    await client.auth.sign_in(ALICE, kit.password)
    assert store.text
    await client.close()


def test_coroutines_are_not_for_the_blocking_client(kit: Any) -> None:
    with Client(kit.url, store=AsyncSlot()) as client:  # type: ignore[arg-type]
        with pytest.raises(StorageError) as caught:
            client.collection("posts").get_list(1, 1)
        assert isinstance(caught.value.__cause__, ConfigurationError)
        assert "AsyncClient" in caught.value.__cause__.fix


async def test_what_a_store_raises_is_the_cause(world: World) -> None:
    client = world.client(store=Broken("load"))
    error = await failure(client.collection("posts").get_list(1, 1), "Storage")
    assert isinstance(error.__cause__, OSError) and error.__cause__.errno == 28
    assert str(error) == "`load` of the session store raised OSError" and "cause" in error.fix
    await failure(client.auth.ready(), "Storage")

    client = world.client(store=Broken("save", "clear"))
    error = await failure(client.auth.sign_in(ALICE, world.kit.password), "Storage")
    assert isinstance(error.__cause__, OSError)
    # The session lives all the same.
    assert client.auth.session.record["email"] == ALICE
    assert (await client.collection("users").get_list()).total_items == 1
    await failure(client.auth.sign_out(), "Storage")
    assert client.auth.session is None


async def test_what_no_call_can_report_is_told(world: World) -> None:
    errors: list[Any] = []
    client = world.client(store=Broken("save"), on_storage_error=errors.append)
    await failure(client.auth.sign_in(ALICE, world.kit.password), "Storage")
    assert errors == []
    await client.auth.refresh()
    await until(lambda: len(errors) == 1)
    assert isinstance(errors[0], StorageError) and isinstance(errors[0].__cause__, OSError)


async def test_what_is_stored_and_cannot_be_read_is_not_fatal(world: World) -> None:
    errors: list[Any] = []
    store = slot(world, "no json {")
    client = world.client(store=store, on_storage_error=errors.append)
    await client.collection("posts").get_list(1, 1)
    await until(lambda: len(errors) == 1)
    assert isinstance(errors[0], StorageError) and "no json" not in str(errors[0])
    await client.auth.sign_in(ALICE, world.kit.password)
    assert json.loads(store.text)["token"] == client.auth.session.token


async def test_what_is_no_text_is_an_error(world: World) -> None:
    store = Slot()
    store.load = lambda: {"token": "x"}  # type: ignore[assignment,return-value]
    error = await failure(world.client(store=store).collection("posts").get_list(1, 1), "Storage")
    assert isinstance(error.__cause__, TypeError)


async def test_what_is_no_store(world: World) -> None:
    for wrong in ("session.json", 5, object()):
        with pytest.raises(TypeError, match="a store has the methods load, save and clear"):
            world.client(store=wrong)


async def test_a_store_cannot_wait_for_its_own_blocking_client(kit: Any) -> None:
    class Remote(Slot):
        client: Client

        def load(self) -> str | None:
            self.client.collection("posts").get_list(1, 1)
            return None

    store = Remote()
    with Client(kit.url, store=store) as client:
        store.client = client
        with pytest.raises(StorageError) as caught:
            await asyncio.to_thread(client.collection("posts").get_list, 1, 1)
        assert "would wait for itself" in str(caught.value.__cause__)


async def test_a_file(world: World, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "session.json"
    first = world.client(store=FileStore(path))
    assert first.auth.session is None and not path.exists()
    session = await first.auth.sign_in(ALICE, world.kit.password)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"token": session.token, "record": session.record}
    assert os.listdir(path.parent) == ["session.json"]

    second = world.client(store=FileStore(str(path)))
    # What can be read without waiting is there at once.
    assert second.auth.session == session
    assert (await second.collection("users").get_list()).total_items == 1
    await second.auth.sign_out()
    assert not path.exists()
    assert first.auth.session == session
    await first.auth.sync_from_store()
    assert first.auth.session is None


async def test_a_corrupt_file_is_set_aside_and_told(world: World, tmp_path: Path) -> None:
    errors: list[Any] = []
    path = tmp_path / "session.json"
    path.write_bytes(b'{"token": \xff')
    client = world.client(store=FileStore(path), on_storage_error=errors.append)
    assert client.auth.session is None
    await client.collection("posts").get_list(1, 1)
    await until(lambda: len(errors) == 1)
    [aside] = os.listdir(tmp_path)
    assert aside.startswith("session.json.corrupt-") and aside in str(errors[0])
    assert (tmp_path / aside).read_bytes() == b'{"token": \xff'


async def test_links_are_not_followed(world: World, tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("precious")
    link.symlink_to(target)
    client = world.client(store=FileStore(link))
    await failure(client.collection("posts").get_list(1, 1), "Storage")
    await failure(client.auth.sign_in(ALICE, world.kit.password), "Storage")
    assert target.read_text() == "precious"


async def test_what_another_has_stored_is_taken_over(world: World) -> None:
    store = MemoryStore()
    one, other = world.client(store=store), world.client(store=store)
    seen: list[str] = []
    other.auth.on_change(lambda event, session: seen.append(event))
    session = await one.auth.sign_in(ALICE, world.kit.password)
    assert other.auth.session is None
    await other.auth.sync_from_store()
    assert other.auth.session == session
    await one.auth.sign_out()
    await other.auth.sync_from_store()
    await other.auth.sync_from_store()
    await until(lambda: len(seen) == 3)
    assert seen == ["INITIAL_SESSION", "SIGNED_IN", "SIGNED_OUT"]


def test_stores_can_be_used_by_themselves(tmp_path: Path) -> None:
    for store in (MemoryStore(), FileStore(tmp_path / "session.json")):
        assert store.load() is None
        store.save('{"token": "SentinelToken"}')
        assert store.load() == '{"token": "SentinelToken"}'
        assert "Sentinel" not in repr(store)
        store.clear()
        store.clear()
        assert store.load() is None
    with pytest.raises(StorageError, match="is not a file"):
        FileStore(tmp_path).load()
    # A path that is not there, as of a variable that is not set, is no wish for a store in memory.
    with pytest.raises(TypeError):
        FileStore(None)  # type: ignore[arg-type]  # the mistake is what is tested


async def test_a_loop_that_was_closed_awaits_nothing(kit: Any) -> None:
    proxy, store, errors = kit.proxy(), AsyncSlot(), list[Any]()
    # It is answered when the loop was closed, and not before.
    proxy.respond(429, times=1000, path_contains="auth-refresh", action={"headers": {"Retry-After": "1"}})
    client = AsyncClient(proxy.url, store=store, on_storage_error=errors.append, max_retries=1000)

    async def sign_in() -> None:
        await client.collection("shortlived").auth.sign_in("shortlived@example.com", kit.password)
        # A refresh is due, and goes on beside the call.
        await client.collection("posts").get_list(1, 1)

    await asyncio.to_thread(lambda: asyncio.run(sign_in()))
    proxy.faults()
    await until(lambda: errors)
    assert isinstance(errors[0].__cause__, RuntimeError)
    await client.close()
    proxy.close()


def test_the_module_need_not_be_imported_by_name() -> None:
    script = "import picobase; print(picobase.stores.FileStore('a/b'))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "FileStore('a/b')\n"


def test_what_a_subclass_does_counts(kit: Any, tmp_path: Path) -> None:
    class Reversed(FileStore):
        def load(self) -> str | None:
            text = super().load()
            return text and text[::-1]

        def save(self, session: str, /) -> None:
            super().save(session[::-1])

    path = tmp_path / "session"
    with Client(kit.url, store=Reversed(path)) as client:
        client.auth.sign_in(ALICE, kit.password)
    assert path.read_text().startswith("}")
    with Client(kit.url, store=Reversed(path)) as client:
        client.auth.ready()
        assert client.auth.session and client.auth.session.record["email"] == ALICE


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
async def test_a_fork_keeps_the_session(kit: Any, tmp_path: Path) -> None:
    """In the child each client goes on as who it was, and what it does there stays there."""
    client = Client(kit.url)
    session = client.auth.sign_in(ALICE, kit.password)
    in_file = Client(kit.url, store=FileStore(tmp_path / "session.json"))
    in_file.auth.set_session(session)
    own = Client(kit.url, store=Slot())
    own.auth.set_session(session)
    clients = [client, in_file, own, Client(kit.url).with_session(session)]
    said = await asyncio.to_thread(in_child, lambda: [who(client) for client in clients])
    assert said == [[ALICE, 1]] * 4
    said = await asyncio.to_thread(in_child, lambda: signed_out(client))
    assert said == [None, 0]
    assert who(client) == [ALICE, 1]
    changes = client.auth.changes()
    assert (await asyncio.to_thread(next, changes)).session == session
    said = await asyncio.to_thread(in_child, lambda: next(changes))
    assert "in the process that asked" in said
    said = await asyncio.to_thread(in_child, lambda: [event for event, _ in [next(client.auth.changes())]])
    assert said == ["INITIAL_SESSION"]
    for each in clients:
        each.close()


def who(client: Client) -> list[Any]:
    """Who is signed in, before and after the server was asked."""
    client.auth.ready()
    session: Session | None = client.auth.session
    return [session and session.record["email"], client.collection("users").get_list().total_items]


def signed_out(client: Client) -> list[Any]:
    client.auth.sign_out()
    return who(client)


def in_child(work: Any) -> Any:
    """What the work gives in a child that was forked."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = json.dumps(work())
        except BaseException as error:
            said = json.dumps(repr(error))
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return json.loads(said)
