"""The records of a collection."""

from __future__ import annotations

from .._types import ListResult, Many
from .._typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    # async only
    from collections.abc import AsyncGenerator, Callable, Iterable

    # end
    # sync only
    # from collections.abc import Callable, Generator, Iterable
    # end
    from datetime import timedelta

    from typing_extensions import Unpack

    from .. import _native
    from .._aliases import CallOptions, Event, LiveChange
    from .auth import AsyncAuth
    from .client import AsyncClient
    from .live import AsyncLiveQuery
    from .realtime import AsyncSubscription

T = TypeVar("T")


class AsyncCollection(Generic[T]):
    """The records of a collection, as dicts or as objects of a type. See `AsyncClient.collection`."""

    __slots__ = ("_client", "_records", "name")

    name: str

    def __init__(self, records: _native.NativeRecords, name: str, client: AsyncClient) -> None:
        self._records = records
        self.name = name
        self._client = client

    @property
    def auth(self) -> AsyncAuth:
        """Sign-up and sign-in with this collection, and the session."""
        from .auth import AsyncAuth

        return AsyncAuth(self._client, self.name)

    async def get_one(
        self, id: str, /, *, expand: str | None = None, fields: str | None = None, **options: Unpack[CallOptions]
    ) -> T:
        """The record of that id.

        ```python
        from picobase import AsyncClient

        async def show(client: AsyncClient) -> None:
            post = await client.collection("posts").get_one("abc123", expand="author")
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
        return await self._records.get_one(id, expand, fields, options)

    async def get_list(
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
        from picobase import AsyncClient

        async def show(client: AsyncClient) -> None:
            posts = client.collection("posts")
            for post in await posts.get_list(1, 20, filter="status = 'published'", sort="-created"):
                print(post["title"])
        ```

        Args:
            page: Which page, counted from 1.
            per_page: How many records, at most 1,000.
            filter: Which records, in the server's filter language. Put values in with `AsyncClient.filter`.
            sort: The fields to sort by, separated by commas; `-` for descending.
            expand: Relations to put into `expand`, separated by commas; up to six levels with dots.
            fields: The fields to answer, separated by commas.
            skip_total: Leave the counting out: the totals are -1, and the answer comes sooner.
            **options: See `CallOptions`.
        """
        page_ = await self._records.get_list(page, per_page, filter, sort, expand, fields, skip_total, options)
        return ListResult._of(page_)

    async def get_first_list_item(
        self,
        filter: str,
        /,
        *,
        sort: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[CallOptions],
    ) -> T:
        """The first record that a filter finds.

        ```python
        from picobase import AsyncClient

        async def newest(client: AsyncClient) -> None:
            post = await client.collection("posts").get_first_list_item("status = 'published'", sort="-created")
            print(post["title"])
        ```

        Args:
            filter: Which records, in the server's filter language. Put values in with `AsyncClient.filter`.
            sort: The fields to sort by, separated by commas; `-` for descending.
            expand: Relations to put into `expand`, separated by commas; up to six levels with dots.
            fields: The fields to answer, separated by commas.
            **options: See `CallOptions`.

        Raises:
            NotFoundError: The filter finds nothing, or a rule hides it.
        """
        return await self._records.get_first_list_item(filter, sort, expand, fields, options)

    async def get_full_list(
        self,
        *,
        filter: str | None = None,
        sort: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        batch_size: int | None = None,
        **options: Unpack[CallOptions],
    ) -> list[T]:
        """All records, in one list.

        Without a sort the walk goes by id: records that exist during the whole walk appear exactly once, in the order
        of their ids, however many are written meanwhile. With a sort, or a filter of nearly 3,500 characters, it goes
        by page numbers: records that move between pages meanwhile can be missed; doubles are dropped.

        ```python
        from picobase import AsyncClient

        async def drafts(client: AsyncClient) -> None:
            for post in await client.collection("posts").get_full_list(filter="status = 'draft'"):
                print(post["title"])
        ```

        Args:
            filter: Which records, in the server's filter language. Put values in with `AsyncClient.filter`.
            sort: The fields to sort by, separated by commas; `-` for descending.
            expand: Relations to put into `expand`, separated by commas; up to six levels with dots.
            fields: The fields to answer, separated by commas.
            batch_size: How many records each request asks for, at most 1,000, which is the default.
            **options: See `CallOptions`; they are those of each request.
        """
        return await self._records.get_full_list(batch_size, filter, sort, expand, fields, options)

    async def iterate(
        self,
        *,
        filter: str | None = None,
        sort: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        batch_size: int | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[T]:
        """All records, one after the other; the next ones are fetched while these are worked on.

        The order and the promise are those of `get_full_list`. Nothing is sent before the first record is asked for.

        ```python
        from picobase import AsyncClient

        async def titles(client: AsyncClient) -> None:
            async for post in client.collection("posts").iterate(filter="status = 'published'"):
                print(post["title"])
        ```

        Args:
            filter: Which records, in the server's filter language. Put values in with `AsyncClient.filter`.
            sort: The fields to sort by, separated by commas; `-` for descending.
            expand: Relations to put into `expand`, separated by commas; up to six levels with dots.
            fields: The fields to answer, separated by commas.
            batch_size: How many records each request asks for, at most 1,000, which is the default.
            **options: See `CallOptions`; they are those of each request.
        """
        walk = self._records.iterate(batch_size, filter, sort, expand, fields, options)
        while (page := await walk.next()) is not None:
            # async only
            for record in page:
                yield record
            # end
            # sync only
            # yield from page
            # end

    async def get_many(
        self,
        ids: Iterable[str],
        /,
        *,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Many[T]:
        """The records of these ids, in their order, and which of them are missing. There may be any number of ids.

        ```python
        from picobase import AsyncClient

        async def show(client: AsyncClient) -> None:
            many = await client.collection("posts").get_many(["abc123", "def456"])
            print(len(many.records), "found, missing:", many.missing)
        ```

        Args:
            ids: The ids. One that comes twice gives the record twice.
            expand: Relations to put into `expand`, separated by commas; up to six levels with dots.
            fields: The fields to answer, separated by commas.
            **options: See `CallOptions`; they are those of each request.
        """
        return Many(*await self._records.get_many(ids, expand, fields, options))

    async def create(
        self,
        body: Any = None,
        /,
        *,
        expand: str | None = None,
        fields: str | None = None,
        safe_retry: bool = False,
        on_progress: Callable[[int], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> T:
        """Creates a record.

        ```python
        from pathlib import Path

        from picobase import AsyncClient

        async def publish(client: AsyncClient) -> None:
            post = await client.collection("posts").create({"title": "Hello", "cover": Path("cover.png")})
            print(post["id"])
        ```

        Args:
            body: Its fields: a dict, a dataclass, or a model of attrs, pydantic or msgspec. Files are bytes, paths, open
                files, or `File`. Dates without a time zone are in UTC.
            expand: Relations to put into `expand` of the answer.
            fields: The fields to answer, separated by commas.
            safe_retry: May the create be repeated when its answer is lost? It then happens once all the same: the
                client makes the id.
            on_progress: Called while files go out, with the bytes since the last call, as `tqdm.update` takes them; an
                upload that begins anew takes back what it had told, with a negative number. With asyncio it is called
                on the event loop. What it raises ends the upload and is raised here.
            **options: See `CallOptions`.

        Raises:
            ValidationError: The server refused fields; see its `fields`. Or the body cannot be sent.
            ConflictError: A value that must be unique is taken.
        """
        return await self._records.create(body, expand, fields, safe_retry, on_progress, options)

    async def update(
        self,
        id: str,
        body: Any = None,
        /,
        *,
        expand: str | None = None,
        fields: str | None = None,
        safe_retry: bool = False,
        on_progress: Callable[[int], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> T:
        """Changes a record: the fields that are in `body` and no others.

        `field+`, `+field` and `field-` add to and take from lists and numbers. Of a pydantic model only what was set is
        sent, of a msgspec struct what is not `UNSET`; a dataclass or a class of attrs is sent as a whole. A record that is
        the session's own changes the session too.

        ```python
        from picobase import AsyncClient

        async def read(client: AsyncClient, id: str) -> None:
            await client.collection("posts").update(id, {"views+": 1, "tags-": "new", "attachments+": b"..."})
        ```

        Args:
            id: The record's id.
            body: What changes, as for `create`.
            expand: Relations to put into `expand` of the answer.
            fields: The fields to answer, separated by commas.
            safe_retry: May the update be repeated when its answer is lost? Not with `field+`: it could count twice.
            on_progress: As for `create`.
            **options: See `CallOptions`.

        Raises:
            NotFoundError: There is no such record, or a rule hides it.
            ValidationError: The server refused fields; see its `fields`. Or the body cannot be sent.
        """
        return await self._records.update(id, body, expand, fields, safe_retry, on_progress, options)

    async def delete(self, id: str, /, **options: Unpack[CallOptions]) -> None:
        """Deletes the record of that id. One that is the session's own signs out.

        Raises:
            NotFoundError: There is no such record, or a rule hides it.
        """
        await self._records.delete(id, options)

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
    ) -> AsyncSubscription[Event[T]]:
        """The events of a record, by its id, or of all records, `*`.

        What happens while the stream is down is fetched when it is there again; where that cannot be, `Resync` says so.

        ```python
        from picobase import AsyncClient

        async def listen(client: AsyncClient) -> None:
            async with client.collection("posts").subscribe("*") as events:
                async for event in events:
                    print(event.action, event.record)
        ```

        The blocking client returns when the server has acknowledged. With asyncio the subscription waits for that when
        it is awaited, entered, or first read; one with a callback has to be awaited.

        With a callback one event after the other is handed to it until it is unsubscribed: with asyncio on the event
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
            NotFoundError: The id is empty.
            ValidationError: The server refused the options, or there are 1,000 topics already.
            TimeoutError: The server did not acknowledge it in time.
        """
        from .realtime import AsyncSubscription

        if callable(topic):
            raise TypeError("the topic comes before the callback: `*` for all records, or the id of one")
        native = self._records.subscribe(topic, filter, expand, fields, queue_max, options)
        return AsyncSubscription(native, callback, on_error)

    def unsubscribe(self, topic: str | None = None) -> None:
        """Ends all subscriptions of a topic, `*` or an id, whatever their options; without one, of all topics here."""
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
    ) -> AsyncLiveQuery[T]:
        """A list that stays as a fresh one would be, whoever writes and whatever breaks: a snapshot, then its changes.

        ```python
        from picobase import AsyncClient

        async def show(client: AsyncClient) -> None:
            posts = client.collection("posts")
            async with posts.live(filter="status = 'published'", sort="-created,id", limit=20) as live:
                async for change in live:
                    print(change.action, [post["title"] for post in live.records])
        ```

        Args:
            callback: What is called with each change, as for `subscribe`.
            filter: Which records, in the server's filter language. Put values in with `AsyncClient.filter`.
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
        from .live import AsyncLiveQuery

        native = self._records.live(filter, sort, limit, recheck_every, expand, fields, options)
        return AsyncLiveQuery(native, callback, on_error)

    def __repr__(self) -> str:
        return f"<AsyncCollection {self.name!r}>"
