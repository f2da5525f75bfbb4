# Derived from _async/files.py by tools/derive.py. Change that one.
"""File URLs, uploads and downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._files import File, owner

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self, Unpack

    from .. import _native
    from .._aliases import CallOptions
    from .._files import FileOwner, FileSource


class Files:
    """File URLs, uploads and downloads: `Client.files`.

    Whose file it is, is said by its record: a dict, an object with `id` and `collectionId` or `collectionName` (or
    `collection_id`, `collection_name`), or the tuple of collection and id.
    """

    __slots__ = ("_files", "_native")

    def __init__(self, native: _native.Native) -> None:
        self._native = native
        self._files = native.files()

    def url(
        self, record: FileOwner, name: str, /, *, thumb: str | None = None, download: bool = False, token: str | None = None
    ) -> str:
        """The URL of a file. It carries no key and no session; a protected file needs a token in it.

        ```python
        from typing import Any

        from picobase import Client

        def cover(client: Client, post: dict[str, Any]) -> str:
            return client.files.url(post, post["cover"], thumb="100x100")
        ```

        Args:
            record: Whose file it is.
            name: The file's name, as it stands in the record.
            thumb: The size of a smaller picture, one that the field lists: `100x100` crops to the centre, `100x100t` to
                the top, `100x100b` to the bottom, `100x100f` fits it in, `0x100` and `100x0` keep the proportions.
            download: Should browsers save it instead of showing it?
            token: A token for a protected file, see `get_token`.

        Raises:
            NotFoundError: Id, collection or name is missing.
            ConfigurationError: The client has no URL.
        """
        return self._files.url(owner(record), name, thumb, download, token)

    def get_token(self) -> str:
        """A token that opens protected files for three minutes. It is kept and renewed in time.

        Raises:
            UnauthorizedError: Nobody is signed in.
        """
        return self._files.get_token()

    def upload(
        self,
        collection: str,
        file: File | FileSource,
        /,
        *,
        field: str = "file",
        data: Any = None,
        on_progress: Callable[[int], object] | None = None,
        safe_retry: bool = False,
        **options: Unpack[CallOptions],
    ) -> dict[str, Any]:
        """Creates a record with a file in it.

        ```python
        from picobase import Client

        def save(client: Client) -> None:
            with open("report.pdf", "rb") as report:
                document = client.files.upload("documents", report, data={"title": "Report"})
            print(document["file"])
        ```

        Open files and iterators are read as the file goes out, in constant memory; plain ones on a thread of the event
        loop's executor, async ones in a task of their own. What they raise is the cause of the error. What can be read
        again, open files that can seek for example, is sent again after a failure; an iterator is sent once.

        Args:
            collection: The collection's name or id.
            file: Bytes, a path, an open binary file, an iterator of bytes, an upload of a web framework, or `File`. For
                iterators say a name with `File`.
            field: The field that takes the file.
            data: The other fields of the record.
            on_progress: Called with the bytes since the last call; see `Collection.create`.
            safe_retry: May the upload be repeated when its answer is lost? See `Collection.create`.
            **options: See `CallOptions`. There is no time limit by default, as long as bytes go.

        Raises:
            ValidationError: The server refused fields; see its `fields`.
            StorageError: The file cannot be read.
        """
        source = file if isinstance(file, File) else File(file)
        body = {**_fields(data), field: source}
        records = self._native.records(collection, None)
        return records.create(body, None, None, safe_retry, on_progress, options)

    def download(
        self,
        record: FileOwner,
        name: str,
        /,
        *,
        thumb: str | None = None,
        protected: bool = False,
        token: str | None = None,
        on_progress: Callable[[int], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> bytes:
        """The whole file in memory. A broken download goes on where it broke off, and its size is checked.

        ```python
        from typing import Any

        from picobase import Client

        def read(client: Client, note: dict[str, Any]) -> str:
            return (client.files.download(note, note["text"], protected=True)).decode()
        ```

        Args:
            record: Whose file it is.
            name: The file's name, as it stands in the record.
            thumb: The size of a smaller picture, see `url`.
            protected: Is it protected? Then a token is fetched for it.
            token: A token of your own for a protected file.
            on_progress: Called with the bytes since the last call, so that the `update` of a progress bar fits. What it
                raises ends the download.
            **options: See `CallOptions`. There is no time limit by default, as long as bytes come.

        Raises:
            NotFoundError: There is no such file, or it is protected and the token is missing or not good for it.
            DecodeError: The file changed while it was downloaded.
        """
        wish = ("files.download", [*owner(record), name], thumb, protected, token, options)
        return self._files.download(wish, on_progress)

    def download_to(
        self,
        record: FileOwner,
        name: str,
        path: str | os.PathLike[str],
        /,
        *,
        thumb: str | None = None,
        protected: bool = False,
        token: str | None = None,
        on_progress: Callable[[int], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> int:
        """Downloads into a file, in constant memory; answers its size in bytes.

        The file appears when it is complete: until then the bytes go into a temporary file beside it.

        ```python
        from typing import Any

        from picobase import Client

        def save(client: Client, film: dict[str, Any]) -> None:
            size = client.files.download_to(film, film["video"], "film.mp4")
            print(size, "bytes")
        ```

        Args:
            record: Whose file it is.
            name: The file's name, as it stands in the record.
            path: Where it goes. What is there is replaced.
            thumb: The size of a smaller picture, see `url`.
            protected: Is it protected? Then a token is fetched for it.
            token: A token of your own for a protected file.
            on_progress: Called with the bytes since the last call. What it raises ends the download.
            **options: See `CallOptions`. There is no time limit by default, as long as bytes come.

        Raises:
            NotFoundError: There is no such file, or it is protected and the token is missing or not good for it.
            StorageError: The file cannot be written.
        """
        wish = ("files.download", [*owner(record), name], thumb, protected, token, options)
        return self._files.download_to(wish, path, on_progress)

    def stream(
        self,
        record: FileOwner,
        name: str,
        /,
        *,
        thumb: str | None = None,
        protected: bool = False,
        token: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Download:
        """The file piece by piece, in constant memory.

        ```python
        from typing import Any

        from picobase import Client

        def count(client: Client, film: dict[str, Any]) -> None:
            with client.files.stream(film, film["video"]) as pieces:
                print(pieces.size)
                for piece in pieces:
                    print(len(piece))
        ```

        Args:
            record: Whose file it is.
            name: The file's name, as it stands in the record.
            thumb: The size of a smaller picture, see `url`.
            protected: Is it protected? Then a token is fetched for it.
            token: A token of your own for a protected file.
            **options: See `CallOptions`. There is no time limit by default, as long as bytes come.
        """
        wish = ("files.download", [*owner(record), name], thumb, protected, token, options)
        return Download(self._files, wish)


class Download:
    """A download that is read piece by piece; see `Files.stream`.

    It begins with the first piece, or with `with`, which also ends it.
    """

    __slots__ = ("_files", "_open", "_wish")

    def __init__(self, files: _native.NativeFiles, wish: Any) -> None:
        self._files = files
        self._wish = wish
        self._open: _native.NativeDownload | None = None

    @property
    def size(self) -> int | None:
        """The size of the whole file in bytes, once the download has begun; none where the server did not say it."""
        return self._open.size if self._open else None

    def _begun(self) -> _native.NativeDownload:
        if (download := self._open) is None:
            download = self._open = self._files.stream(self._wish)
        return download

    def close(self) -> None:
        """Ends the download, wherever it is."""
        if self._open is not None:
            self._open.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        piece = (self._open or self._begun()).next()
        if piece is None:
            raise StopIteration
        return piece

    def __enter__(self) -> Self:
        self._begun()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()


def _fields(data: Any) -> dict[str, Any]:
    if data is None:
        return {}
    from .._encode import plain

    return plain(data)
