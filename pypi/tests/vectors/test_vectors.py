"""Runs every case of every topic: what a client is involved in with both clients."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from . import calls, realtime, sessions, urls, writes
from .cases import FOLDER, cases, mistake, read
from .http_server import Server
from .stage import Stage

pytestmark = pytest.mark.vectors

Run = Callable[[Stage, Any, Any, Server], Awaitable[Any]]

#: What a client is involved in.
CLIENTS: dict[str, Run] = {
    "base_url": urls.base_url,
    "path": urls.path_of,
    "query": urls.query,
    "filter": urls.filter,
    "file_urls": urls.file_urls,
    "headers": calls.headers,
    "errors": calls.errors,
    "redirects": calls.redirects,
    "retry_policy": calls.retry_policy,
    "multipart": writes.multipart,
    "batch": writes.batch,
    "session_life": sessions.session_life,
    "realtime": realtime.realtime,
}

#: What is the same for both.
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "redact": lambda given, _: urls.pure("redact", given),
    "retry_after": lambda given, _: urls.pure("retry_after", given),
    # The core counts in units of 2**-32.
    "backoff": lambda given, _: urls.pure("backoff", given | {"random": int(given["random"] * 2**32)}),
    "tokens": lambda given, _: urls.pure("tokens", given),
    "refresh": lambda given, _: urls.pure("refresh", given),
    "sse": lambda given, _: urls.pure("sse", given),
    "cookies": sessions.cookies,
}

#: Cases that cannot be told in Python, by topic and name, with the reason.
SKIPPED: dict[tuple[str, str], str] = {}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def _params(topics: Any) -> list[Any]:
    return [
        pytest.param(topic, case, id=f"{topic}: {case['name']}", marks=_skip(topic, case))
        for topic in topics
        for case in cases(topic)
    ]


def _skip(topic: str, case: Any) -> list[pytest.MarkDecorator]:
    why = SKIPPED.get((topic, case["name"]))
    return [] if why is None else [pytest.mark.skip(reason=why)]


def _hold(case: Any, came: Any) -> None:
    if wrong := mistake(case, came):
        pytest.fail(f"{case['name']}\nin: {json.dumps(case['in'])}\n{wrong}", pytrace=False)


def test_no_case_is_left_out() -> None:
    index = read("index.json")
    there = sorted(file.name for file in FOLDER.glob("*.json") if file.name != "index.json")
    assert there == sorted(entry["file"] for entry in index["files"])
    assert sorted([*CLIENTS, *FUNCTIONS]) == sorted(entry["topic"] for entry in index["files"])
    for entry in index["files"]:
        file = read(entry["file"])
        assert (file["vectors"], file["contract"]) == (entry["topic"], entry["contract"])
        assert len(cases(entry["topic"])) == entry["cases"], entry["file"]
    assert len(_params([*CLIENTS, *FUNCTIONS])) == index["cases"]
    names = {(topic, case["name"]) for topic in [*CLIENTS, *FUNCTIONS] for case in cases(topic)}
    assert SKIPPED.keys() <= names


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(("topic", "case"), _params(CLIENTS))
async def test_client(topic: str, case: Any, kind: str, server: Server) -> None:
    stage = Stage(kind)
    server.begin(server.answers_nothing)
    try:
        came = await CLIENTS[topic](stage, case["in"], case.get("out"), server)
    except Exception as error:  # The case says which one it must be.
        came = error
    finally:
        await stage.end()
    _hold(case, came)


@pytest.mark.parametrize(("topic", "case"), _params(FUNCTIONS))
def test_function(topic: str, case: Any) -> None:
    try:
        came = FUNCTIONS[topic](case["in"], case.get("out"))
    except Exception as error:  # The case says which one it must be.
        came = error
    _hold(case, came)
