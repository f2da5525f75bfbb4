"""What type checkers are to make of the public names. It is checked and never run."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

import attrs
import pydantic
from typing_extensions import Unpack, assert_type

from picobase import (
    AsyncClient,
    BatchResult,
    CallOptions,
    Change,
    Chunked,
    Client,
    Collection,
    Enter,
    Lagged,
    Leave,
    ListResult,
    LiveQuery,
    Move,
    RecordEvent,
    Resync,
    Session,
    Snapshot,
)

if TYPE_CHECKING:
    from picobase import AuthEvent

T = TypeVar("T")


@dataclass
class Post:
    id: str


@dataclass
class Node(Generic[T]):
    held: T


class PostDict(TypedDict):
    id: str


class PostModel(pydantic.BaseModel):
    id: str


@attrs.define
class PostAttrs:
    id: str


def records(client: Client) -> None:
    assert_type(client.collection("posts"), Collection[dict[str, Any]])
    assert_type(client.collection("posts", PostDict).get_one("a"), PostDict)
    assert_type(client.collection("posts", PostModel).get_one("a"), PostModel)
    assert_type(client.collection("posts", PostAttrs).get_one("a"), PostAttrs)
    assert_type(client.collection("posts", Node[int]).get_one("a").held, int)
    posts = client.collection("posts", Post)
    assert_type(posts.get_list(), ListResult[Post])
    assert_type(posts.get_list()[0], Post)
    assert_type(posts.get_list()[1:], list[Post])
    assert_type(posts.get_full_list(), list[Post])
    assert_type(posts.get_many(["a"]).records, list[Post])
    assert_type([post for post in posts.iterate()], list[Post])  # noqa: C416  (the loop is what is asserted, too)
    batch = client.batch()
    assert_type(batch.send(), list[BatchResult])
    assert_type(batch.send_chunked(), Chunked)


def session(client: Client) -> None:
    assert_type(client.auth.session, Session | None)
    for event, now in client.auth.changes():
        told: AuthEvent = event
        assert_type(now, Session | None)
        assert told


def events(client: Client) -> None:
    with client.collection("posts", Post).subscribe("*") as subscription:
        assert_type(next(subscription), RecordEvent[Post] | Resync | Lagged)
        for event in subscription:
            if event.action == "delete":
                assert_type(event, RecordEvent[Post])
            match event:
                case RecordEvent("delete", id=gone):
                    assert_type(gone, str)
                case RecordEvent(_, record):
                    assert_type(record, Post)
                case Resync() | Lagged():
                    pass
    with client.collection("posts", Post).live() as live:
        assert_type(live, LiveQuery[Post])
        assert_type(live.records, list[Post])
        for change in live:
            assert_type(change, Snapshot[Post] | Enter[Post] | Change[Post] | Leave | Move)


async def asynchronous(client: AsyncClient) -> None:
    posts = client.collection("posts", Post)
    assert_type(await posts.get_one("a"), Post)
    async with aclosing(posts.iterate()) as walk:
        async for post in walk:
            assert_type(post, Post)

    async def callback(event: RecordEvent[Post] | Resync | Lagged) -> None: ...

    subscription = await posts.subscribe("*", callback)
    assert_type(await subscription.next(timeout=5), RecordEvent[Post] | Resync | Lagged)


def newest(client: Client, **options: Unpack[CallOptions]) -> Post:
    """Options can be handed on."""
    return client.collection("posts", Post).get_list(1, 1, sort="-created", **options)[0]
