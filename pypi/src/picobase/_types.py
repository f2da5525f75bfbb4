"""The public types that belong to no one module."""

from __future__ import annotations

from ._typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._errors import DecodeError, PicoBaseError
else:
    # `collections.abc` without `collections`, which nothing here needs.
    from _collections_abc import Sequence

T = TypeVar("T")


class ListResult(Sequence[T], Generic[T]):
    """One page of a list. It is a sequence of its records.

    Attributes:
        page: Which page this is, counted from 1.
        per_page: How many records a page has.
        total_items: How many records there are in all; -1 with `skip_total`.
        total_pages: How many pages there are; -1 with `skip_total`.
        items: The records.
    """

    __slots__ = ("items", "page", "per_page", "total_items", "total_pages")

    page: int
    per_page: int
    total_items: int
    total_pages: int
    items: list[T]

    def __init__(self, items: list[T], page: int, per_page: int, total_items: int, total_pages: int) -> None:
        self.items = items
        self.page = page
        self.per_page = per_page
        self.total_items = total_items
        self.total_pages = total_pages

    @classmethod
    def _of(cls, answer: Any) -> ListResult[Any]:
        try:
            items, page, per_page = answer["items"], answer["page"], answer["perPage"]
        except (KeyError, TypeError):
            raise _no_list(answer) from None
        if type(answer["items"]) is not list:
            raise _no_list(answer)
        return cls(items, page, per_page, answer.get("totalItems", -1), answer.get("totalPages", -1))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self.items[index]

    def __repr__(self) -> str:
        return f"<ListResult page {self.page} of {self.total_pages}, {len(self.items)} of {self.total_items} items>"


def _no_list(answer: Any) -> DecodeError:
    from json import dumps

    from ._errors import DecodeError

    fix = "Check that the URL is that of the instance, and that nothing on the way changes answers."
    return DecodeError("the answer is no list", fix=fix, body=dumps(answer, ensure_ascii=False)[:200])


class Many(Generic[T]):
    """The records of several ids.

    Attributes:
        records: Those that were found, in the order of the ids.
        missing: The ids that do not exist or are hidden.
    """

    __slots__ = ("missing", "records")
    __match_args__ = ("records", "missing")

    records: list[T]
    missing: list[str]

    def __init__(self, records: list[T], missing: list[str]) -> None:
        self.records = records
        self.missing = missing

    def __repr__(self) -> str:
        return f"<Many {len(self.records)} found, {len(self.missing)} missing>"


class BatchResult:
    """What became of one write of a batch.

    Attributes:
        status: The HTTP status: 200, or 204 for a delete.
        body: The record as it is now; `None` for a delete.
    """

    __slots__ = ("body", "status")
    __match_args__ = ("status", "body")

    status: int
    body: Any

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body

    def __repr__(self) -> str:
        return f"BatchResult(status={self.status!r}, body={self.body!r})"


class Chunked:
    """What became of a batch that was sent in chunks.

    Attributes:
        results: What became of the writes that were made, from the first on.
        error: What ended it, if anything; its `item` is the index of the write that failed. The writes of its chunk
            were not made, nor any behind it.
    """

    __slots__ = ("error", "results")
    __match_args__ = ("results", "error")

    results: list[BatchResult]
    error: PicoBaseError | None

    def __init__(self, results: list[BatchResult], error: PicoBaseError | None) -> None:
        self.results = results
        self.error = error

    def __repr__(self) -> str:
        return f"<Chunked {len(self.results)} done, error {self.error!r}>"


for _public in (ListResult, Many, BatchResult, Chunked):
    # Where users import them from: it is what pickles name.
    _public.__module__ = "picobase"
