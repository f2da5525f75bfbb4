"""B13: uploads from every source, downloads to every target, protected files, progress, bounded memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import dataclasses
import hashlib
import io
import mmap
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from picobase import AsyncClient, Client, File
from support.kit import Proxy
from support.programs import run
from support.world import World, failure, unique, until

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")


def noise(size: int) -> bytes:
    return b"".join(hashlib.sha256(n.to_bytes(8, "big")).digest() for n in range(size // 32 + 1))[:size]


def pieces(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def async_pieces(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for piece in pieces(data, size):
        await asyncio.sleep(0)
        yield piece


def slow_pieces() -> Iterator[bytes]:
    for _ in range(8):
        time.sleep(0.8)
        yield b"piece"


async def upload(client: Any, file: Any, **options: Any) -> Any:
    options = {"field": "attachments", "data": {"title": unique("file")}, **options}
    return await client.files.upload("posts", file, **options)


async def stored(client: Any, post: Any) -> bytes:
    (name,) = post["attachments"]
    data: bytes = await client.files.download(post, name)
    return data


def sent(proxy: Proxy) -> list[dict[str, Any]]:
    return [request for request in proxy.requests("/records") if request["method"] == "POST"]


def opened(tmp_path: Path, data: bytes) -> dict[str, Callable[[], Any]]:
    """Whatever a file can be, with this data."""

    def written() -> Path:
        path = tmp_path / "data.bin"
        path.write_bytes(data)
        return path

    def temporary() -> Any:
        file = tempfile.TemporaryFile()  # noqa: SIM115  (the test closes it)
        file.write(data)
        file.seek(0)
        return file

    def spooled() -> Any:
        file = tempfile.SpooledTemporaryFile(max_size=1000)  # noqa: SIM115  (the test closes it)
        file.write(data)
        file.seek(0)
        return file

    def mapped() -> Any:
        with written().open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def piped() -> Any:
        reader, writer = os.pipe()

        def write() -> None:
            with os.fdopen(writer, "wb") as file:
                file.write(data)

        threading.Thread(target=write, daemon=True).start()
        return os.fdopen(reader, "rb")

    return {
        "bytes": lambda: data,
        "bytearray": lambda: bytearray(data),
        "memoryview": lambda: memoryview(data),
        "path": written,
        "path as text": lambda: str(written()),
        "open file": lambda: written().open("rb"),
        "unbuffered file": lambda: written().open("rb", buffering=0),
        "BytesIO": lambda: io.BytesIO(data),
        "temporary file": temporary,
        "spooled file": spooled,
        "mmap": mapped,
        "pipe": piped,
        "generator": lambda: pieces(data),
        "list": lambda: list(pieces(data)),
        "map": lambda: map(bytearray, pieces(data)),
    }


SOURCES = list(opened(Path(), b""))


@pytest.mark.parametrize("kind", SOURCES)
async def test_what_goes_up_comes_down(world: World, tmp_path: Path, kind: str) -> None:
    client, data = world.client(), noise(700_000)
    source = opened(tmp_path, data)[kind]()
    post = await upload(client, File(source, filename="film.bin"))
    assert post["attachments"][0].startswith("film_") and post["attachments"][0].endswith(".bin")
    assert await stored(client, post) == data
    if hasattr(source, "close") and kind != "generator":
        assert not source.closed, "what the caller opened the caller closes"
        source.close()


async def test_async_sources(world: World) -> None:
    client, data = world.client(), noise(200_000)

    class Reader:
        """As an upload of aiofiles or anyio."""

        def __init__(self) -> None:
            self._inner = io.BytesIO(data)
            self.name = "/tmp/read.bin"

        async def read(self, size: int = -1) -> bytes:
            await asyncio.sleep(0)
            return self._inner.read(size)

    sources: list[Any] = [File(async_pieces(data), filename="read.bin"), Reader()]
    for source in sources:
        if world.is_sync:
            error = await failure(upload(client, source), "Validation")
            assert "async" in str(error) and "AsyncClient" in error.fix
        else:
            post = await upload(client, source)
            assert post["attachments"][0].startswith("read_")
            assert await stored(client, post) == data


async def test_uploads_of_web_frameworks(world: World) -> None:
    client = world.client()
    from werkzeug.datastructures import FileStorage

    flask = FileStorage(io.BytesIO(PNG), filename="picture.png", content_type="image/png; charset=x")
    uploads: list[Any] = [flask]
    if sys.version_info >= (3, 11):
        from starlette.datastructures import Headers, UploadFile

        headers = Headers({"content-type": "image/png"})
        uploads.append(UploadFile(io.BytesIO(PNG), filename="picture.png", headers=headers, size=len(PNG)))
    proxy = world.proxy()
    client = world.client(proxy.url)
    for source in uploads:
        post = await client.collection("posts").create({"title": "framework", "cover": source})
        assert post["cover"].startswith("picture_")
        assert await client.files.download(post, post["cover"]) == PNG
        assert "Content-Type: image/png" in sent(proxy)[-1]["body"]


async def test_names_and_types(world: World, tmp_path: Path) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    path = tmp_path / "notes.txt"
    path.write_text("hello")

    async def header(file: Any) -> list[str]:
        await client.collection("posts").create({"title": "names", "attachments": [file]})
        body = str(sent(proxy)[-1]["body"])
        return [line for line in body.splitlines() if line.startswith(("Content-Disposition", "Content-Type"))][2:]

    def said(name: str, content_type: str) -> list[str]:
        disposition = f'Content-Disposition: form-data; name="attachments"; filename="{name}"'
        return [disposition, f"Content-Type: {content_type}"]

    assert await header(path) == said("notes.txt", "text/plain")
    with path.open("rb") as file:
        assert await header(file) == said("notes.txt", "text/plain")
    assert await header(b"hello") == said("file", "application/octet-stream")
    assert await header(io.BytesIO(b"hello")) == said("file", "application/octet-stream")
    assert await header(pieces(b"hello")) == said("file", "application/octet-stream")
    with tempfile.TemporaryFile() as unnamed:
        assert await header(unnamed) == said("file", "application/octet-stream")
    assert await header(File(path, filename="a b.json")) == said("a b.json", "application/json")
    assert await header(File(path, content_type="text/csv")) == said("notes.txt", "text/csv")


async def test_a_length_is_said_where_it_is_known(world: World) -> None:
    proxy = world.proxy()
    client, data = world.client(proxy.url), noise(50_000)
    file = io.BytesIO(b"read before" + data)
    file.seek(11)
    assert await stored(client, await upload(client, file)) == data
    assert file.tell() == 50_011
    assert int(sent(proxy)[-1]["headers"]["content-length"]) > 50_000
    await upload(client, File(pieces(data)))
    assert sent(proxy)[-1]["headers"].get("transfer-encoding") == "chunked"


async def test_small_pieces_go_together_and_slow_ones_do_not_wait(world: World) -> None:
    proxy = world.proxy()
    client, lines = world.client(proxy.url, transfer_idle_timeout=5), [b"line %d\n" % n for n in range(50_000)]
    assert await stored(client, await upload(client, File(iter(lines)))) == b"".join(lines)
    # Each of these is sent when it comes: none of them is late.
    assert await stored(client, await upload(client, File(slow_pieces()))) == b"piece" * 8
    assert await stored(client, await upload(client, File([b"", b"a", b"", b"b", b""]))) == b"ab"
    assert await client.files.upload("posts", File(iter(())), field="attachments", data={"title": "empty"})


async def test_sources_that_are_none(world: World, tmp_path: Path) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    path = tmp_path / "text.txt"
    path.write_text("hello")
    with path.open() as text:
        error = await failure(upload(client, text), "Validation")
        assert "text, not bytes" in str(error) and "rb" in error.fix
    error = await failure(upload(client, io.StringIO("hello")), "Validation")
    error = await failure(upload(client, File(iter(["text"]))), "Validation")
    assert "text, not bytes" in str(error)
    assert "int" in str(await failure(upload(client, File([1, 2])), "Validation"))
    assert "object is no file" in str(await failure(upload(client, File(object())), "Validation"))
    closed = path.open("rb")
    closed.close()
    with pytest.raises(ValueError, match="closed file"):
        await upload(client, closed)
    error = await failure(upload(client, tmp_path / "missing.txt"), "Storage")
    assert "missing.txt" in str(error)
    error = await failure(upload(client, tmp_path), "Storage")
    assert not proxy.requests("/records") or all(request["status"] != 200 for request in sent(proxy))


async def test_what_a_source_raises_is_the_cause(world: World) -> None:
    client = world.client()
    broken = ZeroDivisionError("in the source")

    def plain() -> Iterator[bytes]:
        yield b"begin"
        raise broken

    async def with_async() -> AsyncIterator[bytes]:
        yield b"begin"
        raise broken

    class Reader(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            if size:
                raise broken
            return b""

    sources: list[Any] = [plain(), Reader()] if world.is_sync else [plain(), Reader(), with_async()]
    for source in sources:
        error = await failure(upload(client, File(source)), "Storage")
        assert error.__cause__ is broken
        assert "ZeroDivisionError: in the source" in str(error)

    class Stop(BaseException):
        pass

    def stopped() -> Iterator[bytes]:
        yield b"begin"
        raise Stop

    with pytest.raises(Stop):
        await upload(client, File(stopped()))
    assert await client.health()


async def test_a_source_may_make_calls_of_the_same_client(world: World) -> None:
    client, data = world.client(), noise(300_000)
    first = await upload(client, File(data, filename="first.bin"))
    stream = client.files.stream(first, first["attachments"][0])
    second = await upload(client, File(getattr(stream, "_wrapped", stream), filename="second.bin"))
    assert await stored(client, second) == data


def test_a_blocking_source_is_read_on_the_thread_that_calls(world_url: str) -> None:
    threads: set[int] = set()

    def source() -> Iterator[bytes]:
        for _ in range(20):
            threads.add(threading.get_ident())
            # A call of another thread goes on meanwhile, even where this one waits for it.
            other = threading.Thread(target=client.health)
            other.start()
            other.join(30)
            assert not other.is_alive()
            yield noise(10_000)

    with Client(world_url) as client:
        client.files.upload("posts", File(source()), field="attachments", data={"title": "thread"})
    assert threads == {threading.get_ident()}


async def test_an_async_source_is_read_in_one_task_of_the_loop(world_url: str) -> None:
    tasks: set[Any] = set()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of the caller")

    async def source() -> AsyncIterator[bytes]:
        for _ in range(20):
            tasks.add(asyncio.current_task())
            assert threading.current_thread() is threading.main_thread() and variable.get() == "of the caller"
            await asyncio.sleep(0.001)
            yield noise(10_000)

    async with AsyncClient(world_url) as client:
        await client.files.upload("posts", File(source()), field="attachments", data={"title": "task"})
    assert len(tasks) == 1


async def test_a_source_ends_when_its_call_does(world_url: str) -> None:
    begun, ended = [], []

    async def source() -> AsyncIterator[bytes]:
        begun.append(True)
        try:
            yield b"begin"
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async with AsyncClient(world_url) as client:
        upload = client.files.upload("posts", File(source()), field="attachments", data={"title": "ends"})
        task = asyncio.ensure_future(upload)
        await until(lambda: begun)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True]
        upload = client.files.upload("posts", File(source()), field="attachments", data={"title": "x"}, timeout=5)
        await failure(upload, "Timeout")
        assert ended == [True, True]


async def test_what_can_be_read_again_waits_for_a_sleeping_instance(world: World, tmp_path: Path) -> None:
    proxy = world.proxy()
    client, data = world.client(proxy.url), noise(300_000)
    sources = opened(tmp_path, data)
    for kind in ("bytes", "path", "open file", "BytesIO", "spooled file", "list"):
        proxy.forget()
        proxy.respond(503, method="POST", action={"headers": {"Retry-After": "0"}})
        source = sources[kind]()
        post = await upload(client, File(source, filename="a.bin"))
        assert await stored(client, post) == data, kind
        assert [request["status"] for request in sent(proxy)] == [503, 200], kind
        if hasattr(source, "close"):
            source.close()
    proxy.respond(503, times=2, method="POST", action={"headers": {"Retry-After": "0"}})
    proxy.forget()
    with contextlib.closing(sources["pipe"]()) as pipe:
        for source in (pipe, pieces(data)):
            error = await failure(upload(client, File(source)), "InstanceUnavailable")
            assert (error.status, error.attempts) == (503, 1)
            assert (await client.health())["code"] == 200
    assert [request["status"] for request in sent(proxy)] == [503, 503]


async def test_progress_in_both_directions(world: World, tmp_path: Path) -> None:
    client, data = world.client(), noise(3_000_000)
    up: list[int] = []
    down: list[int] = []
    threads = set()

    def note(count: int) -> None:
        threads.add(threading.current_thread())
        up.append(count)

    post = await upload(client, io.BytesIO(data), on_progress=note)
    assert len(data) <= sum(up) < len(data) + 1000 and min(up) > 0
    if not world.is_sync:
        assert threads == {threading.main_thread()}
    (name,) = post["attachments"]
    await client.files.download(post, name, on_progress=down.append)
    assert sum(down) == len(data)
    down.clear()
    assert await client.files.download_to(post, name, tmp_path / "down.bin", on_progress=down.append) == len(data)
    assert sum(down) == len(data)

    def refuse(count: int) -> None:
        raise ZeroDivisionError

    target = tmp_path / "refused.bin"
    proxy = world.proxy()
    # Slow enough that the download cannot be over before it is told of.
    proxy.faults({"path_prefix": "/api/files/", "action": {"type": "slow", "bytes_per_sec": 1_000_000}})
    with pytest.raises(ZeroDivisionError):
        await world.client(proxy.url).files.download_to(post, name, target, on_progress=refuse)
    await until(lambda: os.listdir(tmp_path), lambda names: names == ["down.bin"])
    with pytest.raises(ZeroDivisionError):
        await upload(client, data, on_progress=refuse)


async def test_a_download_as_a_stream(world: World) -> None:
    client, data = world.client(), noise(2_000_000)
    post = await upload(client, data)
    (name,) = post["attachments"]
    stream = client.files.stream(post, name)
    assert stream.size is None
    async with stream as pieces:
        assert pieces.size == len(data)
        assert b"".join([piece async for piece in pieces]) == data
    assert b"".join([piece async for piece in client.files.stream(post, name)]) == data
    # One that is not read to its end.
    async with client.files.stream(post, name) as pieces:
        async for piece in pieces:
            assert data.startswith(piece)
            break
    assert [piece async for piece in pieces] == []
    await failure(client.files.stream(post, "missing.bin").__aenter__(), "NotFound")


async def test_a_download_to_a_path_is_whole_or_not_there(world: World, tmp_path: Path) -> None:
    proxy = world.proxy()
    client, data = world.client(proxy.url, max_retries=0), noise(500_000)
    post = await upload(client, data)
    (name,) = post["attachments"]
    target = tmp_path / "down.bin"
    target.write_bytes(b"before")
    proxy.faults({"path_prefix": "/api/files/", "action": {"type": "truncate", "bytes": 100_000}})
    await failure(client.files.download_to(post, name, target), "Network")
    assert target.read_bytes() == b"before" and os.listdir(tmp_path) == ["down.bin"]
    proxy.faults()
    assert await client.files.download_to(post, name, os.fspath(target)) == len(data)
    assert target.read_bytes() == data and os.listdir(tmp_path) == ["down.bin"]
    assert "folder" in str(await failure(client.files.download_to(post, name, tmp_path), "Storage"))


async def test_a_broken_download_goes_on_where_it_broke(world: World) -> None:
    proxy = world.proxy()
    client, data = world.client(proxy.url), noise(500_000)
    post = await upload(client, data)
    proxy.forget()
    fault = {"path_prefix": "/api/files/", "times": 2, "action": {"type": "truncate", "bytes": 100_000}}
    proxy.faults(fault)
    assert await stored(client, post) == data
    assert [request["headers"].get("range") for request in proxy.requests("/api/files/")] == [
        None,
        "bytes=100000-",
        "bytes=200000-",
    ]
    proxy.faults(fault)
    (name,) = post["attachments"]
    assert b"".join([piece async for piece in client.files.stream(post, name)]) == data


async def test_transfers_that_stall(world: World) -> None:
    proxy = world.proxy()
    client, data = world.client(proxy.url, transfer_idle_timeout=5, max_retries=0), noise(1_000_000)
    post = await upload(client, data)
    # Slow is not stalled: in all it takes longer than the client would wait for nothing. What the system's buffers take at
    # once looks like no progress, but only for a small part of that.
    proxy.faults({"method": "POST", "action": {"type": "slow", "bytes_per_sec": 3_500_000, "direction": "request"}})
    await upload(client, io.BytesIO(bytes(21_000_000)))
    proxy.faults({"method": "POST", "action": {"type": "stall", "when": "after_request_bytes", "bytes": 100_000}})
    await failure(upload(client, io.BytesIO(data)), "Timeout")
    proxy.faults({"path_prefix": "/api/files/", "action": {"type": "stall", "when": "after_response_bytes", "bytes": 100_000}})
    await failure(stored(client, post), "Timeout")
    error = await failure(client.files.download(post, post["attachments"][0], timeout=0.3), "Timeout")
    assert isinstance(error, TimeoutError)


async def test_protected_files(world: World) -> None:
    proxy = world.proxy()
    client = await world.user(proxy.url)
    doc = await client.files.upload("docs", File(b"secret", "a.txt"), field="doc", data={"title": "x"})
    await failure(client.files.download(doc, doc["doc"]), "NotFound")
    proxy.forget()
    texts = await asyncio.gather(*(client.files.download(doc, doc["doc"], protected=True) for _ in range(5)))
    assert texts == [b"secret"] * 5
    token = await client.files.get_token()
    assert len(proxy.requests("/api/files/token")) == 1
    assert await client.files.download(doc, doc["doc"], token=token) == b"secret"
    async with client.files.stream(doc, doc["doc"], protected=True) as pieces:
        assert [piece async for piece in pieces] == [b"secret"]
    url = client.files.url(doc, doc["doc"], token=token)
    assert await asyncio.to_thread(lambda: urllib.request.urlopen(url).read()) == b"secret"
    await client.auth.sign_out()
    assert (await failure(client.files.get_token(), "Unauthorized")).status == 401


async def test_thumbs(world: World) -> None:
    client = world.client()
    post = await client.collection("posts").create({"title": "cover", "cover": File(PNG, "c.png")})
    thumb = await client.files.download(post, post["cover"], thumb="100x100")
    assert thumb.startswith(b"\x89PNG") and thumb != PNG


async def test_urls_and_whose_file_it_is(world: World) -> None:
    client = world.client("http://127.0.0.1:1/base/")

    @dataclasses.dataclass
    class Post:
        id: str
        collection_name: str

    class Model:
        id = "abc"
        collectionId = "pbc_1"  # noqa: N815
        collectionName = "posts"  # noqa: N815

    start = "http://127.0.0.1:1/base/api/files"
    assert client.files.url({"id": "abc", "collectionId": "pbc_1", "collectionName": "posts"}, "a b.png") == (
        f"{start}/pbc_1/abc/a%20b.png"
    )
    assert client.files.url(Model(), "a.png") == f"{start}/pbc_1/abc/a.png"
    assert client.files.url(Post("abc", "posts"), "a.png") == f"{start}/posts/abc/a.png"
    assert client.files.url(("posts", "abc"), "a.png", thumb="0x100", download=True, token="t&") == (
        f"{start}/posts/abc/a.png?thumb=0x100&download=1&token=t%26"
    )
    for record, name in [({"id": ""}, "a.png"), (("posts", "abc"), ".."), (("posts", ""), "a"), (object(), "a")]:
        with pytest.raises(Exception, match="cannot be") as caught:
            client.files.url(record, name)
        assert getattr(caught.value, "kind", None) == "NotFound"


async def test_files_of_records_change_with_them(world: World) -> None:
    client = world.client()
    posts = client.collection("posts")
    post = await posts.create({"title": "files", "attachments": [File(b"1", "one.txt"), io.BytesIO(b"22")]})
    assert len(post["attachments"]) == 2
    post = await posts.update(post["id"], {"attachments+": File(pieces(b"333"), "three.txt")})
    assert len(post["attachments"]) == 3
    post = await posts.update(post["id"], {"attachments": [post["attachments"][2], b"4444"]})
    assert [await client.files.download(post, name) for name in post["attachments"]] == [b"333", b"4444"]
    batch = client.batch()
    batch.collection("posts").create({"title": "batch", "attachments": File(pieces(b"55555"), "five.txt")})
    (result,) = await batch.send()
    assert await stored(client, result.body) == b"55555"


MEMORY = """
import io, tempfile
from pathlib import Path
from picobase import File

PIECE = bytes(range(256)) * 256
COUNT = 800

def source(count=COUNT):
    for n in range(count):
        yield n.to_bytes(4, "big") + PIECE[4:]

async def async_source():
    for piece in source():
        yield piece

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1000

def begin():
    Path("/proc/self/clear_refs").write_text("5")
    return peak()

folder = tempfile.TemporaryDirectory()
big, small, down = (Path(folder.name) / name for name in ("big.bin", "small.bin", "down.bin"))
with big.open("wb") as file:
    file.writelines(source())
small.write_bytes(b"".join(source(8)))

def sources(is_async):
    yield "path", lambda path: path
    yield "open file", lambda path: path.open("rb")
    yield "generator", lambda path: File(source(COUNT if path is big else 8))
    if is_async:
        yield "async generator", lambda path: File(async_source())

def told(what, before):
    print(f"{what} {peak() - before:.1f}")
"""

BLOCKING = """
with Client(URL) as client:
    def turn(path, make):
        post = client.files.upload("posts", make(path), field="attachments", data={"title": "big"})
        (name,) = post["attachments"]
        size = client.files.download_to(post, name, down)
        assert size == path.stat().st_size and sum(map(len, client.files.stream(post, name))) == size
        assert down.read_bytes()[-100:] == path.read_bytes()[-100:] if path is small else True
        client.collection("posts").delete(post["id"])
    for what, make in sources(False):
        turn(small, make)
        before = begin()
        turn(big, make)
        told(what, before)
"""

ASYNC = """
async def main():
    async with AsyncClient(URL) as client:
        async def turn(path, make):
            post = await client.files.upload("posts", make(path), field="attachments", data={"title": "big"})
            (name,) = post["attachments"]
            size = await client.files.download_to(post, name, down)
            count = 0
            async for piece in client.files.stream(post, name):
                count += len(piece)
            assert count == size
            await client.collection("posts").delete(post["id"])
        for what, make in sources(True):
            await turn(small, make)
            before = begin()
            await turn(big, make)
            told(what, before)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the most memory since a moment")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_50_mb_take_a_small_part_of_that_in_memory(world_url: str, kind: str) -> None:
    done = run(MEMORY + (BLOCKING if kind == "sync" else ASYNC), world_url, seconds=280)
    grown = {what: float(size) for what, _, size in (line.rpartition(" ") for line in done.stdout.splitlines())}
    assert len(grown) == (3 if kind == "sync" else 4)
    assert all(size <= 10 for size in grown.values()), grown


@pytest.fixture
def world_url(kit: Any) -> str:
    return str(kit.url)
