"""What a user meets beside the calls: names, documentation, and what is said about mistakes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import pydantic
import pytest

import picobase
from picobase import (
    AuthChange,
    BatchResult,
    Chunked,
    Enter,
    FieldError,
    File,
    ListResult,
    Many,
    NotFoundError,
    OtpRequest,
    RecordEvent,
    Resync,
    Session,
    _native,
)
from support.world import World, failure


def test_the_version_is_that_of_the_module() -> None:
    assert picobase.__version__ == _native.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", picobase.__version__)


def test_editors_are_offered_what_is_public() -> None:
    offered = [name for name in dir(picobase) if not name.startswith("__")]
    assert [name for name in offered if name.startswith("_") or name == "TYPE_CHECKING"] == []
    assert {"Client", "filter", "TimeoutError", "stores"} <= set(offered)


def test_a_star_leaves_the_builtins_alone() -> None:
    names: dict[str, Any] = {}
    exec("from picobase import *", names)
    assert "Client" in names
    assert not {"filter", "TimeoutError"} & set(names)


def test_everything_public_is_documented_for_its_reader() -> None:
    told = []
    for name in picobase.__all__:
        public = getattr(picobase, name)
        # Python 3.10 takes aliases for classes.
        if not inspect.isclass(public) or hasattr(public, "__origin__"):
            continue
        members = [(name, public)] + [(f"{name}.{key}", value) for key, value in vars(public).items() if key[0] != "_"]
        for where, member in members:
            said = inspect.getdoc(member)
            if callable(member) or isinstance(member, (property, classmethod, staticmethod)):
                assert said, where
            told.append((where, said or ""))
    assert len(told) > 300
    marks = [where for where, said in told if re.search(r"# (async only|sync only|end)\b", said)]
    assert marks == []
    # The documentation of the blocking client knows no coroutines of its own.
    blocking = [(where, said) for where, said in told if not where.startswith("Async")]
    assert [where for where, said in blocking if re.search(r"\bawait |\basync (def|with|for)\b", said)] == []


async def test_what_is_no_callback_is_told_at_once(world: World) -> None:
    posts: Any = world.client().collection("posts")
    wrong: Any = "status = 'published'"
    with pytest.raises(TypeError, match="a callback must be a function, not str"):
        await posts.live(wrong)
    with pytest.raises(TypeError, match="a callback must be a function, not str"):
        await posts.subscribe("*", wrong)
    with pytest.raises(TypeError, match="a callback must be a function, not int"):
        await posts.subscribe("*", on_error=5)


async def test_the_topic_comes_before_the_callback(world: World) -> None:
    posts: Any = world.client().collection("posts")
    with pytest.raises(TypeError, match="the topic comes before the callback: `\\*` for all records"):
        await posts.subscribe(lambda event: None)


def test_a_client_names_the_option_that_is_wrong(world: World) -> None:
    wrong: Any = pydantic.SecretStr("pk_secret")
    for name in ("url", "api_key", "accept_language", "auth_collection", "server_version"):
        with pytest.raises(TypeError, match=f"^{name} must be a str, not SecretStr$"):
            world.client(**{"url": "http://127.0.0.1:1", name: wrong})


async def test_what_is_no_session_is_told(world: World) -> None:
    client = world.client()
    wrong: Any = {"token": "t"}
    with pytest.raises(TypeError, match="a token, a Session, a store or None, not from dict"):
        client.with_session(wrong)
    wrong = "token"
    with pytest.raises(TypeError, match="expected a Session, not str; of a token alone it is"):
        await client.auth.set_session(wrong)


PICKLED = [
    Session("token", {"id": "a"}),
    AuthChange("SIGNED_OUT", None),
    OtpRequest("id"),
    ListResult([{"id": "a"}], 1, 30, 1, 1),
    Many([{"id": "a"}], ["b"]),
    BatchResult(200, {"id": "a"}),
    Chunked([], None),
    RecordEvent("create", {"id": "a"}, "live", "posts/*", "a"),
    Enter(0, "a", {"id": "a"}),
    Resync("unavailable"),
    File(b"bytes", "a.txt"),
]


@pytest.mark.parametrize("value", PICKLED, ids=lambda value: type(value).__name__)
def test_what_is_pickled_has_the_name_that_users_import(value: Any) -> None:
    pickled = pickle.dumps(value)
    assert b"picobase._" not in pickled
    again = pickle.loads(pickled)
    assert (type(again), repr(again)) == (type(value), repr(value))
    assert repr(copy.deepcopy(value)) == repr(value)


def test_a_change_of_the_session_is_a_tuple_of_two() -> None:
    change = AuthChange("SIGNED_IN", Session("token"))
    event, session = change
    assert (event, session) == (change.event, change.session) == change
    match change:
        case AuthChange(named, Session(token)):
            assert (named, token) == ("SIGNED_IN", "token")


def test_the_options_of_calls_have_a_name() -> None:
    assert set(picobase.CallOptions.__annotations__) == {"query", "headers", "timeout"}
    assert set(picobase.WriteOptions.__annotations__) == {"query", "headers"}


async def test_objects_say_how_it_stands_with_them(world: World) -> None:
    client = await world.user()
    assert re.search(rf"<(Async)?Auth of {client.auth.session.user_id}>", repr(client.auth))
    assert re.search(r"<(Async)?Auth of a guest>", repr(world.client().auth))
    assert re.search(r"<(Async)?Realtime disconnected>", repr(client.realtime))
    async with client.collection("posts").subscribe("*") as events:
        assert re.search(r"<(Async)?Subscription>", repr(events))
    assert re.search(r"<(Async)?Subscription, closed>", repr(events))
    async with client.collection("noupdated").live(filter="id = 'none'") as live:
        assert re.search(r"<(Async)?LiveQuery of 0 records>", repr(live))
    auth, realtime = client.auth, client.realtime
    await client.close()
    assert re.search(r"<(Async)?Auth, closed>", repr(auth))
    assert re.search(r"<(Async)?Realtime, closed>", repr(realtime))


@pytest.mark.parametrize("name", ["sort", "expand", "fields"])
async def test_names_are_text_with_commas(world: World, name: str) -> None:
    posts: Any = world.client().collection("posts")
    with pytest.raises(TypeError, match=f"{name} must be a str, not list: names with commas between them"):
        await posts.get_list(**{name: ["author"]})


async def test_a_filter_is_text(world: World) -> None:
    posts: Any = world.client().collection("posts")
    with pytest.raises(TypeError, match="filter must be a str, not dict"):
        await posts.get_list(filter={"title": "x"})


async def test_errors_have_the_name_that_users_import(world: World) -> None:
    error = await failure(world.client().collection("posts").get_one("nope"), "NotFound")
    assert (type(error).__module__, type(error).__qualname__) == ("picobase", "NotFoundError")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is NotFoundError and again.fix == error.fix


def test_what_was_added_to_an_error_goes_along() -> None:
    error: Any = NotFoundError("gone", status=404)
    error.__notes__ = ["while the page was shown"]  # As `add_note` of Python 3.11 does.
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert again.__dict__ == error.__dict__


@pytest.mark.parametrize("record", ["r1", None, {"id": "r1"}, FieldError("a", "b")])
def test_a_file_needs_its_record_and_collection(world: World, record: Any) -> None:
    files = world.client().files
    with pytest.raises(NotFoundError, match=f"{type(record).__name__} has no `collectionId`") as caught:
        files.url(record, "a.png")
    assert "the tuple of collection and id" in caught.value.fix
    assert files.url(("posts", "r1"), "a.png").endswith("/api/files/posts/r1/a.png")


def test_a_collection_says_which(world: World) -> None:
    assert re.search(r"<(Async)?Collection 'posts'>", repr(world.client().collection("posts")))
