"""Records as objects of a type: dataclasses, TypedDicts, models of pydantic and msgspec."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, Optional, TypedDict, TypeVar, Union
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from picobase import DecodeError
from picobase._decode import decoder
from support.world import World, failure, unique

T = TypeVar("T")
WHEN = datetime(2027, 1, 2, 3, 4, 5, 6000, tzinfo=timezone.utc)
Slug = NewType("Slug", str)


class Status(str, Enum):
    DRAFT = "draft"
    PUBLISHED = "published"


@dataclass(frozen=True)
class User:
    id: str
    name: str = "nobody"


Named = NewType("Named", User)


@dataclass
class Expanded:
    author: User | None = None


@dataclass
class Post:
    id: str
    title: str
    n: int
    created: datetime
    when: Optional[datetime]  # noqa: UP045  (both forms are to be known)
    tags: list[Literal["a", "b"]] = field(default_factory=list)
    status: Status | None = None
    meta: dict[str, Any] | None = None
    expand: Expanded | None = None
    own: str = "default"
    kinds: ClassVar[int] = 0


class PostDict(TypedDict):
    id: str
    title: str


class UserModel(pydantic.BaseModel):
    id: str
    name: str
    born: date | None = None


class ExpandedModel(pydantic.BaseModel):
    author: UserModel | None = None


class PostModel(pydantic.BaseModel):
    id: str
    heading: str = pydantic.Field(alias="title")
    created: datetime
    when: datetime | None
    status: Status | None
    expand: ExpandedModel | None = None


class UserStruct(msgspec.Struct):
    id: str
    name: str


class ExpandedStruct(msgspec.Struct):
    author: UserStruct | None = None


class PostStruct(msgspec.Struct, rename={"heading": "title"}):
    id: str
    heading: str
    created: datetime
    when: datetime | None
    status: Literal["draft", "published"] | None
    expand: ExpandedStruct | None = None


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    title: str


class StrictModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    id: str
    collectionId: str  # noqa: N815  (the server's name)
    collectionName: str  # noqa: N815
    created: datetime


@pydantic.dataclasses.dataclass
class PydanticData:
    title: str
    when: datetime | None


@attrs.frozen
class UserAttrs:
    id: str
    name: str = "nobody"


@attrs.define
class ExpandedAttrs:
    author: UserAttrs | None = None


@attrs.define
class PostAttrs:
    id: str
    title: str
    created: datetime
    when: datetime | None
    status: Status | None = None
    expand: ExpandedAttrs | None = None
    _seen: int = 3


TYPES: list[type[Any]] = [Post, PostModel, PostStruct, PostAttrs]


@pytest.mark.parametrize("cls", TYPES)
async def test_every_way_to_read_gives_the_type(world: World, cls: type[Any]) -> None:
    client = await world.user()
    me = client.auth.get_user()
    title = unique("typed")
    posts = client.collection("posts", cls)
    made = await posts.create({"title": title, "author": me["id"], "when": WHEN, "status": "draft"}, expand="author")
    assert type(made) is cls
    assert getattr(made, "heading", None) == title or made.title == title
    assert (made.when, made.status, made.created.tzinfo) == (WHEN, "draft", timezone.utc)
    assert made.expand.author.id == me["id"]
    assert type(made.expand.author) is not dict
    filter = client.filter("title = {:t}", {"t": title})
    for found in (
        await posts.get_one(made.id, expand="author"),
        (await posts.get_list(filter=filter, expand="author"))[0],
        (await posts.get_list(filter=filter, expand="author", skip_total=True)).items[0],
        await posts.get_first_list_item(filter, expand="author"),
        (await posts.get_full_list(filter=filter, expand="author"))[0],
        (await posts.get_many([made.id], expand="author")).records[0],
        [post async for post in posts.iterate(filter=filter, expand="author")][0],  # noqa: RUF015  (it is no iterator of `next`)
    ):
        assert found == made
    bare = await posts.update(made.id, {"when": "", "status": None})
    assert (bare.when, bare.status, bare.expand) == (None, None, None)


@pytest.mark.parametrize("cls", TYPES)
async def test_a_typed_record_is_a_body_too(world: World, cls: type[Any]) -> None:
    client = world.client()
    posts = client.collection("posts", cls)
    made = await posts.create({"title": unique("body"), "when": WHEN})
    made.when = datetime(2028, 1, 1, tzinfo=timezone.utc)
    changed = await posts.update(made.id, made)
    assert changed.when == made.when
    raw = await client.collection("posts").get_one(made.id)
    assert raw["title"] == getattr(made, "title", None) or raw["title"] == made.heading


async def test_a_typed_dict_is_a_dict(world: World) -> None:
    posts = world.client().collection("posts", PostDict)
    made = await posts.create({"title": unique("dict")})
    assert type(made) is dict
    assert made["collectionName"] == "posts"
    assert (await posts.get_list(filter=f"id = '{made['id']}'")).items == [made]


async def test_names_that_a_type_does_not_have(world: World) -> None:
    posts = world.client().collection("posts")
    made = await posts.create({"title": unique("strict")})

    def typed(cls: type[Any]) -> Any:
        return world.client().collection("posts", cls)

    error = await failure(typed(Strict).get_one(made["id"]), "Decode")
    assert "unknown field" in str(error)
    assert (await typed(Strict).get_one(made["id"], fields="title")).title == made["title"]
    assert (await typed(StrictModel).get_one(made["id"], fields="id,collectionId,collectionName,created")).id == made["id"]
    await failure(typed(StrictModel).get_one(made["id"]), "Decode")
    assert (await typed(PydanticData).get_one(made["id"])).when is None
    # What `fields` leaves out takes its default, and is told where there is none.
    assert "created: it is missing" in str(await failure(typed(Post).get_one(made["id"], fields="id,title,n"), "Decode"))
    assert (await typed(User).get_one(made["id"], fields="id")).name == "nobody"


MISFITS = [
    (Post, {"n": "7"}, "n: expected int, not str", "_Misfit"),
    (Post, {"n": True}, "n: expected int, not bool", "_Misfit"),
    (Post, {"n": 1.5}, "n: expected int, not float", "_Misfit"),
    (Post, {"n": None}, "n: expected int, not null", "_Misfit"),
    (Post, {"tags": ["a", "x"]}, "tags[1]: expected one of 'a', 'b', not 'x'", "_Misfit"),
    (Post, {"tags": "a"}, "tags: expected a list, not str", "_Misfit"),
    (Post, {"created": ""}, "created: expected datetime, not an empty text", "_Misfit"),
    (Post, {"when": "tomorrow"}, "when: expected datetime, not str", "_Misfit"),
    (Post, {"status": "lost"}, "status: expected Status, not str", "_Misfit"),
    (Post, {"expand": {"author": {"id": 7}}}, "expand.author.id: expected str, not int", "_Misfit"),
    (Post, {"expand": []}, "expand: expected an object for Expanded, not list", "_Misfit"),
    (
        PostModel,
        {"expand": {"author": {"id": 7, "name": ""}}},
        "expand.author.id: Input should be a valid string",
        "ValidationError",
    ),
    (PostAttrs, {"title": 7}, "title: expected str, not int", "_Misfit"),
    (PostAttrs, {"expand": {"author": {"id": 7}}}, "expand.author.id: expected str, not int", "_Misfit"),
    (PostModel, {"title": 7}, "title: Input should be a valid string", "ValidationError"),
    (PostStruct, {"title": 7}, "Expected `str`, got `int` - at `$.title`", "ValidationError"),
    (PostStruct, {"expand": {"author": {"id": 7}}}, "at `$.expand.author.id`", "ValidationError"),
]


@pytest.mark.parametrize(("cls", "wrong", "message", "cause"), MISFITS)
def test_what_does_not_fit_is_named(cls: type[Any], wrong: Any, message: str, cause: str) -> None:
    record = {"id": "a", "title": "t", "n": 1, "created": "2027-01-02 03:04:05.006Z", "when": "", "status": "", **wrong}
    raw = msgspec.json.encode(record)
    decode = decoder(cls)
    assert decode
    with pytest.raises(DecodeError) as caught:
        decode(raw)
    assert message in str(caught.value)
    assert cls.__name__ in str(caught.value)
    assert type(caught.value.__cause__).__name__ == cause
    assert (caught.value.kind, caught.value.body) == ("Decode", raw.decode())
    assert caught.value.fix


def read(cls: Any, **record: Any) -> Any:
    decode = decoder(cls)
    assert decode
    return decode(msgspec.json.encode(record))


@dataclass
class Kinds(Generic[T]):
    decimal: Decimal
    text_decimal: Decimal
    uuid: UUID
    day: date
    path: Path
    many: tuple[int, ...]
    pair: tuple[str, float]
    unique: set[str]
    frozen: frozenset[int]
    sequence: Sequence[int]
    mapping: Mapping[str, list[date]]
    either: Union[int, str, None]  # noqa: UP007  (both forms are to be known)
    slug: Slug
    noted: Annotated[int, "a note"]
    anything: T
    plain: object
    inner: PostDict
    model: UserModel
    struct: UserStruct
    whole: int
    real: float
    nothing: None
    floats: list[float] = field(default_factory=list)
    hidden: int = field(default=9, init=False)


def test_kinds_of_fields() -> None:
    record = dict(  # noqa: C408  (names of fields)
        decimal=0.1, text_decimal="12.30", uuid=str(UUID(int=7)), day="2027-01-02 03:04:05.006Z", path="a/b", many=[1, 2],
        pair=["x", 1], unique=["a", "a"], frozen=[1], sequence=[1], mapping={"a": ["2027-01-02"]}, either="", slug="s",
        noted=1, anything=[{}], plain=None, inner={"id": "a", "title": "t"}, model={"id": "a", "name": "b"},
        struct={"id": "a", "name": "b"}, whole=7.0, real=7, nothing=None, floats=[1, 2.5], hidden=1,
    )  # fmt: skip
    made = read(Kinds, **record)
    assert (made.decimal, made.text_decimal) == (Decimal("0.1"), Decimal("12.30"))
    assert (made.uuid, made.day, made.path) == (UUID(int=7), date(2027, 1, 2), Path("a/b"))
    assert (made.many, made.pair, made.unique, made.frozen) == ((1, 2), ("x", 1.0), {"a"}, frozenset({1}))
    assert (made.sequence, made.mapping) == ([1], {"a": [date(2027, 1, 2)]})
    assert (made.either, made.slug, made.noted, made.anything) == ("", "s", 1, [{}])
    assert (made.model.name, made.struct.name, made.inner["title"]) == ("b", "b", "t")
    assert (made.whole, type(made.whole), type(made.real), made.floats) == (7, int, float, [1.0, 2.5])
    assert made.hidden == 9
    for name, wrong in {"decimal": True, "uuid": "x", "pair": ["x"], "either": 1.5, "model": {}, "nothing": 1}.items():
        with pytest.raises(DecodeError, match=name):
            read(Kinds, **(record | {name: wrong}))


@dataclass
class Box(Generic[T]):
    """Its members are of a type that is said later."""

    title: str
    held: T
    more: list[T] = field(default_factory=list)
    inner: Box[T] | None = None


@dataclass
class Inherited(Box[list[T]], Generic[T]):
    own: T | None = None


@dataclass
class Dated(Box[datetime]):
    pass


@dataclass
class Boxes:
    numbers: Box[int]
    texts: list[Box[str]]
    struct: BoxStruct[datetime | None]


class BoxStruct(msgspec.Struct, Generic[T]):
    title: str
    held: T


class StructOfBoxes(msgspec.Struct):
    box: BoxStruct[datetime | None]


@attrs.define
class BoxAttrs(Generic[T]):
    title: str
    held: T


class BoxModel(pydantic.BaseModel, Generic[T]):
    title: str
    held: T


@pytest.mark.parametrize("cls", [Box, BoxStruct, BoxAttrs, BoxModel])
def test_a_type_with_parameters_is_what_they_say(cls: Any) -> None:
    assert read(cls[int], title="a", held=1).held == 1
    assert read(cls[datetime], title="a", held="2027-01-02 03:04:05.006Z").held == WHEN
    assert read(cls[datetime | None], title="", held="").held is None
    assert read(cls[str], title="a", held="b").held == "b"
    assert type(read(cls, title="a", held=[1]).held) is list
    with pytest.raises(DecodeError, match=r"held.*[Ee]xpected.*int|held.*integer|int.*held"):
        read(cls[int], title="a", held="x")


def test_parameters_reach_what_is_inside() -> None:
    box = read(Box[int], title="a", held=1, more=[2], inner={"title": "b", "held": 3})
    assert (box.more, type(box.inner), box.inner.held) == ([2], Box, 3)
    for wrong, message in (
        ({"more": ["x"]}, r"Box\[int\]: more\[0\]: expected int"),
        ({"inner": {"title": "b"}}, r"inner\.held: it is"),
    ):
        with pytest.raises(DecodeError, match=message):
            read(Box[int], title="a", held=1, **wrong)
    boxes = read(
        Boxes,
        numbers={"title": "", "held": 1},
        texts=[{"title": "", "held": "b"}],
        struct={"title": "", "held": "2027-01-02T03:04:05.006Z"},
    )
    assert (boxes.numbers.held, boxes.texts[0].held, boxes.struct.held) == (1, "b", WHEN)
    with pytest.raises(DecodeError, match=r"numbers\.held: expected int"):
        read(Boxes, numbers={"title": "", "held": "x"}, texts=[], struct={"title": "", "held": None})
    # A base has its own parameters, also where they are called as those of the class.
    derived = read(Inherited[int], title="a", held=[1], more=[[2]], own=3)
    assert (derived.held, derived.more, derived.own) == ([1], [[2]], 3)
    with pytest.raises(DecodeError, match=r"held: expected a list, not int"):
        read(Inherited[int], title="a", held=1)
    assert read(Dated, title="a", held="2027-01-02 03:04:05.006Z").held == WHEN
    assert read(StructOfBoxes, box={"title": "", "held": ""}).box.held is None


NEW_FORM = """
type Pair[A] = tuple[A, A]

@dataclass
class Base[K, V]:
    key: K
    values: dict[str, list[V]]
    pair: Pair[V]

@dataclass
class Middle[X](Base[X, int]):
    more: X | None = None

@dataclass
class Low(Middle[str]): ...
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="types have no parameters of this form")
def test_parameters_in_their_new_form() -> None:
    names: dict[str, Any] = {"dataclass": dataclass}
    # Older versions cannot read it; and here its annotations are not text.
    exec(compile(NEW_FORM, "new_form", "exec", dont_inherit=True), names)
    made = read(names["Low"], key="a", values={"b": [1]}, pair=[1, 2], more="c")
    assert (made.key, made.values, made.pair, made.more) == ("a", {"b": [1]}, (1, 2), "c")
    for wrong, message in (({"key": 1}, "key: expected str"), ({"values": {"b": ["c"]}}, r"values.b\[0\]: expected int")):
        with pytest.raises(DecodeError, match=message):
            read(names["Low"], **({"key": "a", "values": {}, "pair": [1, 2]} | wrong))


def shout(text: str) -> str:
    return text.upper()


def day(text: str) -> datetime:
    return datetime.fromisoformat(text)


@attrs.define
class Converted:
    title: str = attrs.field(converter=shout)
    when: datetime = attrs.field(converter=day)
    _hidden: str = ""
    bare: Any = attrs.field(default=None, kw_only=True)
    named: int = attrs.field(default=1, alias="called")
    later: str = attrs.field(init=False, default="set")
    small: int = attrs.field(default=1, validator=attrs.validators.lt(10))


@attrs.define
class TreeAttrs:
    name: str
    children: list[TreeAttrs] = attrs.Factory(list)


def test_classes_of_attrs() -> None:
    made = read(Converted, title="a", when="2027-01-02", _hidden="h", bare=[1], named=2, later="x", small=3)
    assert (made.title, made.when, made._hidden, made.bare) == ("A", datetime(2027, 1, 2), "h", [1])
    assert (made.named, made.later, made.small) == (2, "set", 3)
    assert read(Converted, title="a", when="2027-01-02").named == 1
    with pytest.raises(DecodeError, match="small"):
        read(Converted, title="a", when="2027-01-02", small=30)
    with pytest.raises(DecodeError, match="when: it is missing"):
        read(Converted, title="a")
    tree = read(TreeAttrs, name="a", children=[{"name": "b"}])
    assert tree.children[0].name == "b"


@dataclass
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)
    factor: InitVar[int] = 2

    def __post_init__(self, factor: int) -> None:
        if not self.name:
            raise ValueError("a tree needs a name")


class TreeModel(pydantic.BaseModel):
    at: datetime | None = None
    children: list[TreeModel] = []


class Blank(msgspec.Struct):
    at: date | None
    text: str | None
    dates: list[date | None]
    named: dict[str, datetime | None]
    inner: TreeStruct | None = None


class TreeStruct(msgspec.Struct):
    at: datetime | None = None
    children: list[TreeStruct] = []


def test_types_that_hold_themselves() -> None:
    tree = read(Tree, name="a", children=[{"name": "b", "children": [{"name": "c"}]}])
    assert tree.children[0].children[0].name == "c"
    with pytest.raises(DecodeError, match=r"children\[0\].children\[0\].name: it is missing"):
        read(Tree, name="a", children=[{"name": "b", "children": [{}]}])
    with pytest.raises(DecodeError, match="ValueError: a tree needs a name") as caught:
        read(Tree, name="")
    assert isinstance(caught.value.__cause__, ValueError)
    model = read(TreeModel, at="", children=[{"at": "", "children": [{"at": "2027-01-02 03:04:05.006Z"}]}])
    assert (model.at, model.children[0].at, model.children[0].children[0].at) == (None, None, WHEN)


def test_an_empty_text_is_none_only_where_it_is_no_text() -> None:
    inner = {"at": "", "children": [{"at": "", "other": ""}]}
    made = read(Blank, at="", text="", dates=["", "2027-01-02"], named={"at": "", "b": ""}, inner=inner)
    assert (made.at, made.text) == (None, "")
    assert (made.dates, made.named) == ([None, date(2027, 1, 2)], {"at": None, "b": None})
    assert (made.inner.at, made.inner.children[0].at) == (None, None)


class Odd:
    pass


@dataclass
class Unfit:
    odd: dict[str, Odd]


@attrs.define
class OddAttrs:
    odd: Odd


async def test_types_that_records_cannot_become(world: World) -> None:
    client = world.client()
    for cls, message in (
        (Odd, "records cannot become Odd"),
        (int, "int"),
        (Unfit, r"Unfit.odd: .*Odd"),
        (OddAttrs, r"OddAttrs.odd: .*Odd"),
        (Box[Odd], r"Box\[Odd\].held: .*Odd"),
        (User("a"), "records cannot become User"),
        (Tree("a"), "records cannot become Tree"),
        (Post | None, "records cannot become .*Post"),
        (list[Post], r"records cannot become list\[Post\]"),
        ("Post", "Post"),
    ):
        with pytest.raises(TypeError, match=message):
            client.collection("posts", cls)
    for known in (Named, Annotated[User, "noted"]):
        posts = client.collection("posts", known)
        assert type(await posts.create({"title": unique("named")})) is User
    for plain in (dict, dict[str, Any], typing.Any, None):
        made = await client.collection("posts", plain).create({"title": unique("plain")})
        assert type(made) is dict


async def test_an_error_of_the_server_is_no_misfit(world: World) -> None:
    posts = world.client().collection("posts", Post)
    await failure(posts.get_one("aaaaaaaaaaaaaaa"), "NotFound")
    assert "title" in (await failure(posts.create({}), "Validation")).fields
