"""Several writes in one request."""

from __future__ import annotations

from .._types import BatchResult, Chunked
from .._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .. import _native
    from .._aliases import CallOptions, WriteOptions


class AsyncBatch:
    """Writes that are sent together. See `AsyncClient.batch`.

    ```python
    from picobase import AsyncClient

    async def rename(client: AsyncClient, old: str) -> None:
        batch = client.batch()
        posts = batch.collection("posts")
        posts.create({"title": "new"})
        posts.update(old, {"title": "old"})
        created, updated = await batch.send()
        print(created.body["id"], updated.status)
    ```

    The server takes 50 writes at once by default, and batches must be enabled in its settings. A body is taken as it is
    when it is added; its files are read when the batch is sent.
    """

    __slots__ = ("_batch",)

    def __init__(self, batch: _native.NativeBatch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        """How many writes there are."""
        return len(self._batch)

    def collection(self, name: str, /) -> AsyncBatchCollection:
        """The writes to one collection, by its name or id."""
        return AsyncBatchCollection(self._batch, name)

    async def send(self, **options: Unpack[CallOptions]) -> list[BatchResult]:
        """Makes all writes, or none of them.

        Args:
            **options: See `CallOptions`.

        Raises:
            PicoBaseError: The error of the first write that failed: its `item` is the write's index, and its kind and
                fields are its own.
        """
        return [BatchResult(*result) for result in await self._batch.send(options)]

    async def send_chunked(self, *, size: int | None = None, **options: Unpack[CallOptions]) -> Chunked:
        """Makes the writes in batches of `size`, one after the other: each happens as a whole, all together do not.

        ```python
        from picobase import AsyncClient

        async def clear(client: AsyncClient, ids: list[str]) -> None:
            batch = client.batch()
            for id in ids:
                batch.collection("posts").delete(id)
            done = await batch.send_chunked()
            print(len(done.results), "deleted, then", done.error)
        ```

        Args:
            size: How many writes each request has; 50 by default, as servers take them.
            **options: See `CallOptions`; they are those of each request.
        """
        results, error = await self._batch.send_chunked(size, options)
        return Chunked([BatchResult(*result) for result in results], error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} writes>"


class AsyncBatchCollection:
    """Adds writes to one collection to a batch. See `AsyncBatch.collection`."""

    __slots__ = ("_batch", "name")

    name: str

    def __init__(self, batch: _native.NativeBatch, name: str) -> None:
        self._batch = batch
        self.name = name

    def create(
        self,
        body: Any = None,
        /,
        *,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> None:
        """Adds a create; `body` as for `AsyncCollection.create`.

        Args:
            body: The fields of the record.
            expand: Relations to put into `expand` of the result.
            fields: The fields of the result, separated by commas.
            **options: See `WriteOptions`.
        """
        self._batch.add("create", self.name, "", body, expand, fields, options)

    def update(
        self,
        id: str,
        body: Any = None,
        /,
        *,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> None:
        """Adds an update; `body` as for `AsyncCollection.update`.

        Args:
            id: The record's id.
            body: What changes.
            expand: Relations to put into `expand` of the result.
            fields: The fields of the result, separated by commas.
            **options: See `WriteOptions`.
        """
        self._batch.add("update", self.name, id, body, expand, fields, options)

    def upsert(
        self,
        body: Any = None,
        /,
        *,
        expand: str | None = None,
        fields: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> None:
        """Adds an update where a record of the body's `id` exists, else a create.

        Args:
            body: The fields of the record, its `id` among them. A model gives what was set, as for an update.
            expand: Relations to put into `expand` of the result.
            fields: The fields of the result, separated by commas.
            **options: See `WriteOptions`.
        """
        self._batch.add("upsert", self.name, "", body, expand, fields, options)

    def delete(self, id: str, /, **options: Unpack[WriteOptions]) -> None:
        """Adds a delete.

        Args:
            id: The record's id.
            **options: See `WriteOptions`.
        """
        self._batch.add("delete", self.name, id, None, None, None, options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"
