# Derived from _async/collection.py by tools/derive.py. Change that one.
"""The records of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._types import ListResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .. import _native
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
            body: Its fields: a dict, a dataclass, or a model of pydantic or msgspec. Files are bytes, paths, open files,
                or `File`.
            expand: Relations to put into `expand` of the answer.
            fields: The fields to answer, separated by commas.
            safe_retry: May the create be repeated when its answer is lost? It then happens once all the same: the client
                makes the id.
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
