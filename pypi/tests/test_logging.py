"""B18: the core's words in the standard `logging`, and none of it where nobody listens."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from picobase import Client, ConfigurationError
from support.kit import Testkit
from support.world import World, failure


class Heard(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in self.records]


@pytest.fixture
def heard() -> Iterator[Heard]:
    logger, handler = logging.getLogger("picobase"), Heard()
    before = logger.level
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


async def test_calls_are_told_with_their_attributes(world: World, heard: Heard) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    # Set up after the client was made.
    logging.getLogger("picobase").setLevel(logging.DEBUG)
    proxy.respond(502, path_prefix="/api/")
    await client.collection("posts").get_list(1, 1)
    again, done = heard.records
    assert "GET /api/collections/{c}/records: trying again" in again.getMessage()
    assert (again.levelno, again.attempts, again.method) == (logging.DEBUG, 1, "GET")
    assert again.wait_ms >= 0
    assert "GET /api/collections/{c}/records: call done (status=200, attempts=2" in done.getMessage()
    assert (done.template, done.endpoint, done.status) == ("/api/collections/{c}/records", "records.get_list", 200)
    assert (done.name, done.attempts) == ("picobase", 2)
    assert done.elapsed_ms >= 0


async def test_levels_are_those_of_logging(world: World, heard: Heard) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url)
    logger = logging.getLogger("picobase")
    logger.setLevel(logging.WARNING)
    await client.collection("posts").get_list(1, 1)
    # What the caller handles is no warning.
    await failure(client.collection("posts").get_one("missing"), "NotFound")
    assert heard.lines == []
    proxy.respond(500, path_prefix="/api/")
    await failure(client.collection("posts").get_one("missing"), "Server")
    (line,) = heard.lines
    assert line.startswith("WARNING GET /api/collections/{c}/records/{id}: call failed (status=500, attempts=1")
    assert heard.records[0].kind == "Server"
    logger.setLevel(logging.ERROR)
    proxy.respond(500, path_prefix="/api/")
    await failure(client.collection("posts").get_one("missing"), "Server")
    assert len(heard.lines) == 1
    logger.setLevel(logging.DEBUG)
    await failure(client.collection("posts").get_one("missing"), "NotFound")
    assert heard.lines[-1].startswith("DEBUG GET /api/collections/{c}/records/{id}: call failed (status=404, attempts=1")


async def test_secrets_are_not_told(world: World, heard: Heard) -> None:
    logging.getLogger("picobase").setLevel(1)
    token = world.kit.superuser_token()
    client = world.client(api_key="pbk_s3cretkey")
    visitor = client.with_session(token)
    await visitor.collection("noaccess").get_list(1, 1, query={"token": "s3crettoken"}, headers={"X-Own": "s3cretheader"})
    await failure(client.collection("posts").get_one("missing", query={"token": "s3crettoken"}))
    said = "\n".join(f"{line} {record.__dict__}" for line, record in zip(heard.lines, heard.records, strict=True))
    assert "records.get_list" in said
    for secret in (token, "s3cretkey", "s3crettoken", "s3cretheader"):
        assert secret not in said


def test_a_handler_that_makes_calls_is_told_why_it_cannot(kit: Testkit, heard: Heard) -> None:
    logging.getLogger("picobase").setLevel(logging.DEBUG)
    told: list[ConfigurationError] = []
    with Client(kit.url) as client, Client(kit.url) as ship:

        def emit(record: logging.LogRecord) -> None:
            try:
                ship.collection("posts").create({"title": record.getMessage()})
            except ConfigurationError as error:
                told.append(error)

        heard.emit = emit  # type: ignore[method-assign]
        thread = threading.Thread(target=lambda: client.collection("posts").get_list(1, 1))
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
    assert ["inside a hook" in error.message for error in told] == [True]


def run(code: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, timeout=60, check=False)


def test_nothing_is_printed_and_logging_is_not_imported(world: World) -> None:
    done = run(
        "import sys, picobase\n"
        "client = picobase.Client(sys.argv[1])\n"
        "try: client.collection('posts').get_one('missing')\n"
        "except picobase.NotFoundError: pass\n"
        "assert 'logging' not in sys.modules and 'asyncio' not in sys.modules",
        world.kit.url,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_printed_where_logging_is_not_set_up(world: World) -> None:
    done = run(
        "import logging, sys, picobase\n"
        "client = picobase.Client(sys.argv[1], cold_start_timeout=0.1)\n"
        "try: client.collection('posts').get_one('missing')\n"
        "except picobase.InstanceUnavailableError: pass\n",
        "http://127.0.0.1:9",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_basic_config_is_enough(world: World) -> None:
    done = run(
        "import logging, sys, picobase\n"
        "client = picobase.Client(sys.argv[1])\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "client.collection('posts').get_list(1, 1)\n",
        world.kit.url,
    )
    assert done.returncode == 0
    assert done.stderr.startswith("DEBUG:picobase:GET /api/collections/{c}/records: call done (status=200, attempts=1")


def test_many_threads_log_and_none_waits_for_ever(world: World, heard: Heard) -> None:
    logging.getLogger("picobase").setLevel(logging.DEBUG)
    with Client(world.kit.url) as client:
        posts = client.collection("posts")
        threads = [threading.Thread(target=lambda: [posts.get_list(1, 1) for _ in range(20)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    assert sum("call done" in line for line in heard.lines) == 160
