# Derived from _async/collection.py by tools/derive.py. Change that one.
"""The records of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._types import ListResult
from .live import LiveQuery
from .realtime import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from typing_extensions import Unpack

    from .. import _native
    from .._events import Event, LiveChange
    from .._types import CallOptions

T = TypeVar("T")


class Collection(Generic[T]):
    """The records of a collection, as dicts or as objects of a type. See `Client.collection`."""

    __slots__ = ("_records", "name")

    name: str

    def __init__(self, records: _native.NativeRecords, name: str) -> None:
        self._records = records
        self.name = name

    def get_one(
        self, id: str, /, *, expand: str | None = None, fields: str | None = None, **options: Unpack[CallOptions]
    ) -> T:
        """The record of that id.

        ```python
        from picobase import Client

        def show(client: Client) -> None:
            post = client.collection("posts").get_one("abc123", expand="author")
            print(post["title"])
        ```

        Args:
            id: The record's id.
            expand: Relations to put into `expand`, separated by commas; up to six levels with dots.
            fields: The fields to answer, separated by commas.
            **options: See `CallOptions`.

        Raises:
            NotFoundError: There is no such record, or a rule hides it.
        """
        return self._records.get_one(id, expand, fields, options)

    def get_list(
        self,
        page: int = 1,
        per_page: int = 30,
        *,
        filter: str | None = None,
        sort: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        skip_total: bool = False,
        **options: Unpack[CallOptions],
    ) -> ListResult[T]:
        """One page of records.

        ```python
        from picobase import Client

        def show(client: Client) -> None:
            posts = client.collection("posts")
            for post in posts.get_list(1, 20, filter="status = 'published'", sort="-created"):
                print(post["title"])
        ```

        Args:
            page: Which page, counted from 1.
            per_page: How many records, at most 1,000.
            filter: Which records, in the server's filter language. Put values in with `Client.filter`.
            sort: The fields to sort by, separated by commas; `-` for descending.
            expand: Relations to put into `expand`, separated by commas; up to six levels with dots.
            fields: The fields to answer, separated by commas.
            skip_total: Leave the counting out: the totals are -1, and the answer comes sooner.
            **options: See `CallOptions`.
        """
        page_ = self._records.get_list(page, per_page, filter, sort, expand, fields, skip_total, options)
        return ListResult._of(page_)

    def create(
        self,
        body: Any = None,
        /,
        *,
        expand: str | None = None,
        fields: str | None = None,
        safe_retry: bool = False,
        **options: Unpack[CallOptions],
    ) -> T:
        """Creates a record.

        ```python
        from pathlib import Path

        from picobase import Client

        def publish(client: Client) -> None:
            post = client.collection("posts").create({"title": "Hello", "cover": Path("cover.png")})
            print(post["id"])
        ```

        Args:
            body: Its fields: a dict, a dataclass, or a model of pydantic or msgspec. Files are bytes, paths, open
                files, or `File`.
            expand: Relations to put into `expand` of the answer.
            fields: The fields to answer, separated by commas.
            safe_retry: May the create be repeated when its answer is lost? It then happens once all the same: the
                client makes the id.
            **options: See `CallOptions`.

        Raises:
            ValidationError: The server refused fields; see its `fields`.
        """
        return self._records.create(body, expand, fields, safe_retry, options)

    def delete(self, id: str, /, **options: Unpack[CallOptions]) -> None:
        """Deletes the record of that id.

        Raises:
            NotFoundError: There is no such record, or a rule hides it.
        """
        self._records.delete(id, options)

    def subscribe(
        self,
        topic: str,
        callback: Callable[[Event[T]], object] | None = None,
        *,
        filter: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        queue_max: int | None = None,
        on_error: Callable[[Exception], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> Subscription[Event[T]]:
        """The events of a record, by its id, or of all records, `*`, from the server's acknowledgement on. What
        happens while the stream is down is fetched when it is there again; where that cannot be, `Resync` says so.

        ```python
        from picobase import Client

        def listen(client: Client) -> None:
            with client.collection("posts").subscribe("*") as events:
                for event in events:
                    print(event.action, event.record)
        ```

        With a callback one event after the other is handed to it until it is unsubscribed: for asyncio on the event
        loop, where it may be a coroutine function; else by a thread of its own, in which other calls may be made,
        and which does not keep the program from ending. What the callback raises goes to the loop's exception
        handler, or to `threading.excepthook`.

        Args:
            topic: `*`, or the id of a record.
            callback: What is called with each event.
            filter: Which records' events to send, in the server's filter language. Of a record that no longer passes
                it the server says nothing; `live` does.
            expand: Relations to put into `expand`, separated by commas.
            fields: The fields to send, separated by commas; `id` and `updated` come along.
            queue_max: How many events may wait for a slow reader before the oldest are dropped; 1,000 by default.
            on_error: What is called with the errors that a loop would raise.
            **options: See `CallOptions`; `timeout` is for the server's acknowledgement.

        Raises:
            ValidationError: The server refused the options, or there are 1,000 topics already.
            TimeoutError: The server did not acknowledge it in time.
        """
        native = self._records.subscribe(topic, filter, expand, fields, queue_max, options)
        return Subscription(native, callback, on_error)

    def unsubscribe(self, topic: str | None = None) -> None:
        """Ends all subscriptions of a topic, `*` or an id, whatever their options; without one, all of this
        collection."""
        self._records.unsubscribe(topic)

    def live(
        self,
        callback: Callable[[LiveChange[T]], object] | None = None,
        *,
        filter: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        recheck_every: float | timedelta | None = None,
        expand: str | None = None,
        fields: str | None = None,
        on_error: Callable[[Exception], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> LiveQuery[T]:
        """A list that stays as a fresh one would be, whoever writes and whatever breaks: a snapshot, then its changes.

        ```python
        from picobase import Client

        def show(client: Client) -> None:
            with client.collection("posts").live(filter="status = 'published'", sort="-created,id", limit=20)
            as live:
                for change in live:
                    print(change.action, [post["title"] for post in live.records])
        ```

        Args:
            callback: What is called with each change, as for `subscribe`.
            filter: Which records, in the server's filter language. Put values in with `Client.filter`.
            sort: The fields to sort by, separated by commas; `-` for descending. End with `id` where the order of
                equals matters.
            limit: How many records the list may have: 1 to 1,000, 500 by default.
            recheck_every: How often the whole list is asked for although nothing was heard, in seconds; by default
                as often as the client's `liveness` says. What changes without a write of its own (a rule, a related
                record, a view) is noticed then.
            expand: Relations to put into `expand`, separated by commas.
            fields: The fields to answer, separated by commas; `id` and `updated` come along.
            on_error: What is called with the errors that a loop would raise.
            **options: See `CallOptions`; `timeout` is for the first list, and for each call after it.

        Raises:
            ValidationError: The server refused filter or sort, or the limit is out of its bounds.
            TimeoutError: The server did not acknowledge it in time.
        """
        native = self._records.live(filter, sort, limit, recheck_every, expand, fields, options)
        return LiveQuery(native, callback, on_error)
