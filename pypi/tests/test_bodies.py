"""What a record can be made of."""

from __future__ import annotations

import io
import json
from array import array
from collections import OrderedDict, UserDict, UserList, deque
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from picobase import Client, File, ValidationError
from support.world import World, failure, unique


class Status(Enum):
    DRAFT = "draft"


class Tag(str, Enum):
    A = "a"


class Number(IntEnum):
    SEVEN = 7


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not what it holds"


class Whole:
    def __index__(self) -> int:
        return 5


class Real:
    def __float__(self) -> float:
        return 2.5


class Row:
    """Like an array of numpy."""

    def tolist(self) -> list[int]:
        return [1, 2]


@dataclass
class Place:
    lon: float
    lat: float


@dataclass
class Post:
    title: str
    when: datetime | None = None
    tags: list[Tag] = field(default_factory=list)
    meta: dict[str, Any] | None = None
    _seen: int = 3
    kinds: ClassVar[int] = 2


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(populate_by_name=True)

    title: str
    number: int = pydantic.Field(default=5, alias="n")
    status: str = "draft"
    link: pydantic.HttpUrl | None = pydantic.Field(default=None, alias="url")


class Struct(msgspec.Struct, rename={"number": "n"}):
    title: str
    number: int | msgspec.UnsetType = msgspec.UNSET
    status: str | msgspec.UnsetType | None = msgspec.UNSET


class Lean(msgspec.Struct, omit_defaults=True, tag_field="body", tag="lean"):
    title: str
    n: int = 5
    tags: list[str] = msgspec.field(default_factory=list)
    status: str = "draft"


async def sent(world: World, body: Any) -> Any:
    """What goes over for a body."""
    proxy = world.proxy()
    await world.client(proxy.url).collection("noupdated").create(body)
    (request,) = proxy.requests("/records")
    return json.loads(request["body"])


VALUES = [
    (datetime(2027, 1, 2, 3, 4, 5, 6999, timezone(timedelta(hours=2))), "2027-01-02 01:04:05.006Z"),
    (datetime(2027, 1, 2, 3, 4, 5), "2027-01-02 03:04:05.000Z"),
    (datetime(1, 1, 1, tzinfo=timezone.utc), "0001-01-01 00:00:00.000Z"),
    (date(2027, 1, 2), "2027-01-02 00:00:00.000Z"),
    (time(3, 4, 5), "03:04:05"),
    (Decimal(7), 7),
    (Decimal("0.1"), 0.1),
    (Decimal("0.12345678901234567890"), "0.12345678901234567890"),
    (Decimal("1e400"), "1E+400"),
    (Fraction(1, 4), 0.25),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Status.DRAFT, "draft"),
    (Tag.A, "a"),
    (Number.SEVEN, 7),
    (Text("held"), "held"),
    (True, True),
    (None, None),
    (10**30, 10**30),
    (-(2**63), -(2**63)),
    (-1.5e-7, -1.5e-7),
    ((1, (2, 3)), [1, [2, 3]]),
    ({1}, [1]),
    (frozenset(), []),
    (deque([1, 2]), [1, 2]),
    (range(2), [0, 1]),
    (UserList([1]), [1]),
    ({"a": 1}.keys(), ["a"]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (UserDict({"a": [1]}), {"a": [1]}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (array("i", [1, 2]), [1, 2]),
    (Whole(), 5),
    (Real(), 2.5),
    (Row(), [1, 2]),
    (Place(1.5, 2), {"lon": 1.5, "lat": 2}),
    (Model(title="x", n=1), {"title": "x", "n": 1, "status": "draft", "url": None}),
    (Struct("x", 1), {"title": "x", "n": 1}),
    ('odd "\\\n\x01äöü🎉\u2028', 'odd "\\\n\x01äöü🎉\u2028'),
    ({"a_b": 1, "aB": 2, "": 3, "__proto__": 4}, {"a_b": 1, "aB": 2, "": 3, "__proto__": 4}),
]


async def test_values_as_json(world: World) -> None:
    body = {"title": "all", "values": [value for value, _ in VALUES]}
    got = (await sent(world, body))["values"]
    assert got == [expected for _, expected in VALUES]
    assert [type(one) for one in got] == [type(expected) for _, expected in VALUES]


async def test_a_date_reaches_the_server_in_its_form(world: World) -> None:
    posts = world.client().collection("posts")
    when = datetime(2027, 1, 2, 3, 4, 5, 6000, timezone.utc)
    made = await posts.create({"title": "date", "when": when, "meta": {"at": [when]}})
    assert (made["when"], made["meta"]) == ("2027-01-02 03:04:05.006Z", {"at": ["2027-01-02 03:04:05.006Z"]})
    assert (await posts.update(made["id"], {"when": None}))["when"] == ""


class Moody(UserDict[str, Any]):
    """Changes what it stands in while it is read."""

    def __init__(self, around: dict[str, Any]) -> None:
        super().__init__()
        self.around = around

    def keys(self) -> Any:
        self.around["more"] = 1
        return super().keys()

    def __iter__(self) -> Any:
        self.around.pop("last", None)
        return super().__iter__()


def cycle() -> list[Any]:
    around: list[Any] = []
    around.append({"again": (around, around)})
    return around


WRONG: list[tuple[Any, type[Exception], str]] = [
    (float("nan"), ValidationError, "no NaN"),
    (float("-inf"), ValidationError, "no NaN"),
    (Decimal("nan"), ValidationError, "no NaN"),
    (cycle(), ValidationError, "nested too deep"),
    ({1: 2}, TypeError, "names in JSON are str, not int"),
    ({"a": {None: 2}}, TypeError, "names in JSON are str, not NoneType"),
    ("\ud800", ValidationError, "lone surrogate"),
    ({"\udfff": 1}, ValidationError, "lone surrogate"),
    (object(), ValidationError, "object has no form in JSON"),
    (1j, ValidationError, "complex has no form in JSON"),
    ({"deep": b"bytes"}, ValidationError, "bytes stands where JSON is expected"),
    ({"deep": Path("cover.png")}, ValidationError, "Path stands where JSON is expected"),
    ({"deep": File(b"x")}, ValidationError, "File stands where JSON is expected"),
    ({"deep": io.BytesIO()}, ValidationError, "BytesIO stands where JSON is expected"),
    (timedelta(1), ValidationError, "timedelta has no form"),
    (10**5000, ValidationError, "too many digits"),
    (datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))), ValidationError, "no form on the server"),
]


@pytest.mark.parametrize(("value", "kind", "message"), WRONG, ids=[str(n) for n in range(len(WRONG))])
async def test_values_that_have_no_json(world: World, value: Any, kind: type[Exception], message: str) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    for body in ({"meta": value}, {"meta": [value]}, MappingProxyType({"meta": value})):
        with pytest.raises(kind, match=message):
            await posts.create(body)
    assert proxy.requests() == []


@pytest.mark.parametrize("body", [1, "text", b"bytes", [1], Post, object(), Status.DRAFT, float("nan")])
async def test_bodies_that_are_no_records(world: World, body: Any) -> None:
    error = await failure(world.client().collection("posts").create(body), "Validation")
    assert error.fix


async def test_a_body_that_changes_while_it_is_read(world: World) -> None:
    body: dict[str, Any] = {"title": "moody"}
    body |= {"moody": Moody(body), "last": 1}
    assert (await sent(world, body))["title"] == "moody"


async def test_dataclasses_are_sent_as_a_whole(world: World) -> None:
    posts = world.client().collection("posts")
    made = await posts.create(Post("whole", datetime(2027, 1, 2, tzinfo=timezone.utc), [Tag.A], {"place": Place(1, 2)}))
    assert (made["title"], made["when"], made["tags"]) == ("whole", "2027-01-02 00:00:00.000Z", ["a"])
    assert made["meta"] == {"place": {"lon": 1, "lat": 2}}
    assert (await posts.update(made["id"], Post("changed")))["tags"] == []
    assert await sent(world, Post("names")) == {"title": "names", "when": None, "tags": [], "meta": None}


@attrs.define
class Attrs:
    title: str
    when: datetime | None = None
    places: list[Place] = attrs.Factory(list)
    _seen: int = 3


async def test_classes_of_attrs(world: World) -> None:
    body = Attrs("attrs", datetime(2027, 1, 2, tzinfo=timezone.utc), [Place(1, 2)])
    assert await sent(world, body) == {
        "title": "attrs",
        "when": "2027-01-02 00:00:00.000Z",
        "places": [{"lon": 1, "lat": 2}],
    }
    posts = world.client().collection("posts", Attrs)
    made = await posts.create(Attrs("made"))
    assert made.title == "made" and made._seen == 3


async def test_models_of_pydantic(world: World) -> None:
    proxy = world.proxy()
    posts = world.client(proxy.url).collection("posts")
    link: Any = "https://example.com/a"
    made = await posts.create(Model(title="model", url=link))
    assert (made["n"], made["status"], made["url"]) == (5, "draft", "https://example.com/a")
    proxy.forget()
    # Of an update only what was set goes over.
    assert (await posts.update(made["id"], Model(title="set")))["n"] == 5
    assert json.loads(proxy.requests()[0]["body"]) == {"title": "set"}
    batch = world.client(proxy.url).batch()
    for add in (batch.collection("posts").update, lambda _, body: batch.collection("posts").upsert(body)):
        proxy.forget()
        add(made["id"], Model(title="set"))
    batch.collection("posts").create(Model(title="new"))
    results = await batch.send()
    requests = json.loads(proxy.requests()[0]["body"])["requests"]
    assert [one["body"] for one in requests[:2]] == [{"title": "set"}, {"title": "set"}]
    assert results[2].body["status"] == "draft"


async def test_structs_of_msgspec(world: World) -> None:
    assert await sent(world, Struct("unset")) == {"title": "unset"}
    assert await sent(world, Struct("set", 3, None)) == {"title": "set", "n": 3, "status": None}
    assert await sent(world, Lean("lean", tags=[])) == {"title": "lean", "body": "lean"}
    assert await sent(world, Lean("lean", 6, ["a"])) == {"title": "lean", "n": 6, "tags": ["a"], "body": "lean"}


async def test_modifiers_of_fields(world: World) -> None:
    posts = world.client().collection("posts")
    made = await posts.create({"title": unique("modifiers"), "n": 1, "tags": ["b"]})
    changed = await posts.update(made["id"], {"n+": 4, "tags+": Tag.A})
    assert (changed["n"], changed["tags"]) == (5, ["b", "a"])
    assert (await posts.update(made["id"], {"n-": 2, "tags-": ["b"]}, fields="n,tags")) == {"n": 3, "tags": ["a"]}
    assert (await posts.update(made["id"], {"+tags": ["c"]}))["tags"] == ["c", "a"]


async def test_files_and_names_of_files_in_one_list(world: World) -> None:
    posts = world.client().collection("posts")
    made = await posts.create({"title": "files", "n": 3, "attachments": (File(b"aaa", "a.txt"), File(b"bb", "b.txt"))})
    assert (made["n"], len(made["attachments"])) == (3, 2)
    kept = made["attachments"][1]
    changed = await posts.update(made["id"], {"attachments": [kept, File(b"c", "c.txt")]})
    assert changed["attachments"][0] == kept
    assert [name[:1] for name in changed["attachments"]] == ["b", "c"]
    more = await posts.update(made["id"], {"attachments+": File(b"d", "d.txt"), "attachments-": [kept]})
    assert [name[:1] for name in more["attachments"]] == ["c", "d"]
    assert (await posts.update(made["id"], {"attachments": []}))["attachments"] == []


async def test_json_is_the_same_beside_files(world: World) -> None:
    posts = world.client().collection("posts")
    body = {"title": 'odd "\\\n\x01äöü🎉', "n": -1.5e-7, "meta": {"a_b": 1, "aB": 2, "": 3}}
    for extra in ({}, {"attachments": File(b"a", "a.txt")}):
        made = await posts.create(body | extra)
        found = await posts.get_one(made["id"])
        assert {name: found[name] for name in body} == body


def test_bodies_are_read_by_many_threads_while_they_change(kit: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    body: dict[str, Any] = {"title": "threads"}
    with Client(kit.url) as client, ThreadPoolExecutor(8) as threads:

        def write(n: int) -> int:
            body[f"extra{n}"] = {Text("key"): UserDict({"n": n})}
            client.batch().collection("posts").create(body)
            body.pop(f"extra{n}", None)
            return n

        assert list(threads.map(write, range(400))) == list(range(400))
