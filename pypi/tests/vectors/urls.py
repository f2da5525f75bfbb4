"""Addresses: base URL, paths, queries, filters, file URLs, cookies."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import picobase
from picobase import DecodeError

from .cases import same
from .http_server import Server
from .stage import Stage, path, testing

EMPTY: dict[str, Any] = {"page": 1, "perPage": 30, "totalItems": 0, "totalPages": 0, "items": []}


def pure(topic: str, given: Any) -> Any:
    """A case on the core alone; fails as a call would."""
    out = json.loads(testing.pure(topic, json.dumps(given)))
    if "error" in out:
        raise picobase.PicoBaseError(out["error"].pop("message"), **out["error"])
    return out


def answering() -> Any:
    """A script whose every answer is an empty page."""

    def answer(sent: Any) -> None:
        sent.answer(200, json.dumps(EMPTY))

    return testing.Script(answer)


async def base_url(stage: Stage, given: Any, _wanted: Any, _server: Server) -> Any:
    script = answering()
    client = stage.client(given["url"], script=script)
    base = client.url
    await client.send(given.get("path", "/api/health"))
    address = urlsplit(str(base))
    return {
        "base": base,
        "origin": f"{address.scheme}://{address.netloc}",
        "joined": script.requests[-1].url if "path" in given else None,
    }


async def path_of(stage: Stage, given: Any, wanted: Any, _server: Server) -> Any:
    if wanted:
        assert same(wanted, pure("path", given)), "the core alone says otherwise"
    script, p = answering(), given["params"]
    client = stage.client("https://h", script=script)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "/api/collections/{c}/records/{id}": lambda: client.collection(p["c"]).get_one(p["id"]),
        "/api/collections/{c}/records": lambda: client.collection(p["c"]).get_list(),
        "/api/files/{c}/{id}/{name}": lambda: client.files.download((p["c"], p["id"]), p["name"]),
        "/api/rpc/{name}": lambda: client.rpc(p["name"]),
        "/api/backups/{key}": lambda: client.backups.delete(p["key"]),
        "/api/health": lambda: client.health(),
        "/api/collections/{c}/truncate": lambda: client.collections.truncate(p["c"]),
    }
    # An answer that a call does not like tells nothing about its path.
    with suppress(DecodeError):
        await calls[given["template"]]()
    return {"path": path(script.requests[-1].url)}


def value(given: Any) -> Any:
    """A value of a query or a filter, as a user would pass it."""
    match given:
        case {"$date": ms}:
            return _date(ms)
        case {"$float": number}:
            return float(number)
        case _:
            return given


def _date(ms: int) -> datetime:
    """The date; at both ends of what Python has by a zone whose local time it has."""
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    for hours in (0, -1, 1):
        zone = timezone(timedelta(hours=hours))
        try:
            local = (epoch.replace(tzinfo=None) + timedelta(hours=hours) + timedelta(milliseconds=ms)).replace(tzinfo=zone)
        except OverflowError:
            continue
        return local
    raise AssertionError(f"Python has no such date: {ms}")


def query_of(params: list[list[Any]] | None) -> list[tuple[str, Any]]:
    """`[[name, value], ...]` as a user would pass them."""
    return [(name, value(given)) for name, given in params or []]


async def query(stage: Stage, given: Any, _wanted: Any, server: Server) -> Any:
    client = stage.client(server.url)
    await client.send("/api/x", query=query_of(given["params"]))
    return {"query": server.requests[-1].target.partition("?")[2]}


async def filter(stage: Stage, given: Any, _wanted: Any, _server: Server) -> Any:
    version = {"new": "0.39.9", "old": "0.39.8"}[given["server"]]
    asked: dict[str, Any] = given["params"] or {}
    params = {name: value(one) for name, one in asked.items()}
    client = stage.client("https://h", server_version=version)
    made = client.filter(given["template"], params)
    if given["server"] == "new":
        assert picobase.filter(given["template"], params) == made
    return {"filter": made}


async def file_urls(stage: Stage, given: Any, _wanted: Any, _server: Server) -> Any:
    client = stage.client(given["base"], "pbk_abc123")
    options = {name: given[name] for name in ("thumb", "token") if name in given}
    return {"url": client.files.url(given["record"], given["filename"], download=bool(given.get("download")), **options)}
