"""What realtime and live queries tell."""

from __future__ import annotations

from ._typing import Any, ClassVar, Generic, Literal, TypeVar

T = TypeVar("T")


class _Told:
    """Something that was told: its parts are those of `__match_args__`."""

    __slots__ = ()

    def _names(self) -> tuple[str, ...]:
        told: Any = self
        names: tuple[str, ...] = told.__match_args__
        return names

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._names())
        return f"{type(self).__name__}({parts})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._names())


class RecordEvent(_Told, Generic[T]):
    """A record was created, changed or deleted.

    Attributes:
        action: What happened. Where an `update` overtakes the creation, which the server may tell of later, no
            `create` comes.
        record: The record as the server sent it. A delete that was found out later (`origin` is `catchup`) has no
            more than `id` and `collectionName`; where the type of the collection cannot be made of that, it is None.
            Use `id` for deletes.
        origin: `live`, or `catchup` where it happened while the stream was down and was fetched afterwards: of
            several changes to one record only the last is known then.
        topic: The topic of the subscription, `posts/*` for example.
        id: The record's id.
    """

    __slots__ = ("action", "id", "origin", "record", "topic")
    __match_args__ = ("action", "record", "origin", "topic", "id")

    action: Literal["create", "update", "delete"]
    record: T
    origin: Literal["live", "catchup"]
    topic: str
    id: str

    def __init__(
        self,
        action: Literal["create", "update", "delete"],
        record: T,
        origin: Literal["live", "catchup"],
        topic: str,
        id: str,
    ) -> None:
        self.action = action
        self.record = record
        self.origin = origin
        self.topic = topic
        self.id = id


class Message(_Told):
    """A message on a topic of one's own.

    Attributes:
        topic: The topic.
        data: What the server sent; text that is no JSON is a string.
    """

    __slots__ = ("data", "topic")
    __match_args__ = ("topic", "data")

    action: ClassVar[Literal["message"]] = "message"
    record: ClassVar[None] = None
    topic: str
    data: Any

    def __init__(self, topic: str, data: Any) -> None:
        self.topic = topic
        self.data = data


class Resync(_Told):
    """Something may be missing that could not be fetched: list again what you show.

    Attributes:
        reason: Why: `no_history` (the records have no `updated`, or the topic is no collection), `no_list_access`,
            `too_much`, `auth_changed` (somebody else is signed in now), `unavailable`. More may come.
    """

    __slots__ = ("reason",)
    __match_args__ = ("reason",)

    action: ClassVar[Literal["resync"]] = "resync"
    record: ClassVar[None] = None
    reason: str

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Lagged(_Told):
    """The reader was too slow and the oldest events were dropped: list again what you show.

    Attributes:
        missed: How many events were dropped.
    """

    __slots__ = ("missed",)
    __match_args__ = ("missed",)

    action: ClassVar[Literal["lagged"]] = "lagged"
    record: ClassVar[None] = None
    missed: int

    def __init__(self, missed: int) -> None:
        self.missed = missed


class Snapshot(_Told, Generic[T]):
    """The whole list: the first that a live query tells.

    Attributes:
        records: The records in their order.
    """

    __slots__ = ("records",)
    __match_args__ = ("records",)

    action: ClassVar[Literal["snapshot"]] = "snapshot"
    records: list[T]

    def __init__(self, records: list[T]) -> None:
        self.records = records

    def apply(self, records: list[T]) -> list[T]:
        """Answers the list as it is after the change: another one."""
        return self.records


class Enter(_Told, Generic[T]):
    """A record belongs to the list now.

    Attributes:
        index: Where it stands from now on.
        id: Its id.
        record: The record.
    """

    __slots__ = ("id", "index", "record")
    __match_args__ = ("index", "id", "record")

    action: ClassVar[Literal["enter"]] = "enter"
    index: int
    id: str
    record: T

    def __init__(self, index: int, id: str, record: T) -> None:
        self.index = index
        self.id = id
        self.record = record

    def apply(self, records: list[T]) -> list[T]:
        """Answers the list as it is after the change: another one."""
        return [*records[: self.index], self.record, *records[self.index :]]


class Change(_Told, Generic[T]):
    """A record of the list has changed.

    Attributes:
        index: Where it stands.
        id: Its id.
        record: The record as it is now.
    """

    __slots__ = ("id", "index", "record")
    __match_args__ = ("index", "id", "record")

    action: ClassVar[Literal["change"]] = "change"
    index: int
    id: str
    record: T

    def __init__(self, index: int, id: str, record: T) -> None:
        self.index = index
        self.id = id
        self.record = record

    def apply(self, records: list[T]) -> list[T]:
        """Answers the list as it is after the change: another one."""
        return [*records[: self.index], self.record, *records[self.index + 1 :]]


class Leave(_Told):
    """A record does not belong to the list any more.

    It was deleted, no longer passes the filter, may not be seen, or stands behind the limit.

    Attributes:
        index: Where it stood.
        id: Its id.
    """

    __slots__ = ("id", "index")
    __match_args__ = ("index", "id")

    action: ClassVar[Literal["leave"]] = "leave"
    index: int
    id: str

    def __init__(self, index: int, id: str) -> None:
        self.index = index
        self.id = id

    def apply(self, records: list[T]) -> list[T]:
        """Answers the list as it is after the change: another one."""
        return [*records[: self.index], *records[self.index + 1 :]]


class Move(_Told):
    """A record stands elsewhere.

    Attributes:
        from_index: Where it stood.
        to_index: Where it stands once it has been taken out there.
        id: Its id.
    """

    __slots__ = ("from_index", "id", "to_index")
    __match_args__ = ("from_index", "to_index", "id")

    action: ClassVar[Literal["move"]] = "move"
    from_index: int
    to_index: int
    id: str

    def __init__(self, from_index: int, to_index: int, id: str) -> None:
        self.from_index = from_index
        self.to_index = to_index
        self.id = id

    def apply(self, records: list[T]) -> list[T]:
        """Answers the list as it is after the change: another one."""
        rest = [*records[: self.from_index], *records[self.from_index + 1 :]]
        rest[self.to_index : self.to_index] = records[self.from_index : self.from_index + 1]
        return rest


for _public in (RecordEvent, Message, Resync, Lagged, Snapshot, Enter, Change, Leave, Move):
    # Where users import them from: it is what pickles name.
    _public.__module__ = "picobase"
