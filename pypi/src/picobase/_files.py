"""A file to upload."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import IO, Any, Union, cast

FileSource = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]", IO[bytes], Iterable[bytes], AsyncIterable[bytes]]
"""Where the bytes of a file come from: memory, a path, an open file, or an iterator."""


FileOwner = Union["Mapping[str, Any]", "tuple[str, str]", Any]
"""Whose file it is: a record as a dict or an object, or the tuple of collection and id."""


class File:
    """A file to upload, where its name or type is to be said. Bytes, paths and open files can be passed as they are.

    ```python
    from picobase import Client, File

    def save(client: Client) -> None:
        cover = File(b"...", filename="cover.png", content_type="image/png")
        client.collection("posts").create({"title": "Hello", "cover": cover})
    ```

    Args:
        source: Bytes, a path, an open binary file, or an iterator of bytes; for `AsyncClient` also an async iterator.
        filename: Its name; by default that of the source, or `file` where it has none.
        content_type: Its media type; by default what its name says.
    """

    __slots__ = ("content_type", "filename", "source")

    source: FileSource | Any
    filename: str | None
    content_type: str | None

    def __init__(self, source: FileSource | Any, filename: str | None = None, content_type: str | None = None) -> None:
        self.source = source
        self.filename = filename
        self.content_type = content_type

    def __repr__(self) -> str:
        return f"File(filename={self.filename!r}, content_type={self.content_type!r})"


# Where users import it from: it is what pickles name.
File.__module__ = "picobase"


def owner(record: Any) -> tuple[str, str]:
    """Collection and id of the record that a file belongs to."""
    if isinstance(record, tuple):
        return cast("tuple[str, str]", record)
    names = ("collectionId", "collection_id", "collectionName", "collection_name")
    collection = next((value for name in names if (value := _member(record, name))), "")
    if not collection:
        from ._errors import NotFoundError

        message = f"whose file it is cannot be told: {type(record).__name__} has no `collectionId` and no `collectionName`"
        raise NotFoundError(message, fix="Pass the record with one of them, or the tuple of collection and id.")
    return str(collection), str(_member(record, "id") or "")


def _member(record: Any, name: str) -> Any:
    if isinstance(record, Mapping):
        return cast("Mapping[str, Any]", record).get(name)
    return getattr(record, name, None)
