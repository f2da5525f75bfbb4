"""Where sessions are kept: in memory, in a file, or in an object of one's own."""

from __future__ import annotations

from os import fspath
from typing import TYPE_CHECKING, Protocol

from . import _native

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable

__all__ = ["AsyncStore", "FileStore", "MemoryStore", "Store"]


class Store(Protocol):
    """Keeps one session as text. Any object with these methods is one.

    What `load` raises fails the calls that need the session; what `save` and `clear` raise fails the sign-in or
    sign-out, or is told to `on_storage_error`. It comes out as `StorageError` with that exception as its cause.

    The client calls one method at a time. `AsyncClient` calls them on a thread of its own, which does nothing else
    meanwhile: give it an `AsyncStore` where they have to wait for something.

    ```python
    from collections.abc import MutableMapping
    from typing import Any

    from picobase import Client

    # In the session that a web framework keeps on the server, Django's for example.
    class InSession:
        def __init__(self, session: MutableMapping[str, str]) -> None:
            self.session = session

        def load(self) -> str | None:
            return self.session.get("picobase")

        def save(self, session: str) -> None:
            self.session["picobase"] = session

        def clear(self) -> None:
            self.session.pop("picobase", None)

    def visitor(client: Client, request: Any) -> Client:
        return client.with_session(InSession(request.session))
    ```
    """

    def load(self) -> str | None:
        """What was saved last; None if nothing was, or if it was cleared."""

    def save(self, session: str, /) -> object:
        """Keeps the session. It is a secret."""

    def clear(self) -> object:
        """Forgets the session."""


class AsyncStore(Protocol):
    """A `Store` for `AsyncClient`, whose methods may be coroutines. Those run on the loop that uses the client."""

    def load(self) -> str | Awaitable[str | None] | None:
        """What was saved last; None if nothing was, or if it was cleared."""

    def save(self, session: str, /) -> object:
        """Keeps the session. It is a secret."""

    def clear(self) -> object:
        """Forgets the session."""


class MemoryStore:
    """Keeps the session in memory: it ends with the process. The default, one for each client.

    A child process that was forked begins with the session that there was, and has its own from then on.
    """

    __slots__ = ("_native",)

    def __init__(self) -> None:
        """An empty store."""
        self._native = _native.NativeStore(None)

    def load(self) -> str | None:
        """What was saved last; None if nothing was, or if it was cleared."""
        return self._native.load()

    def save(self, session: str, /) -> None:
        """Keeps the session."""
        self._native.save(session)

    def clear(self) -> None:
        """Forgets the session."""
        self._native.clear()

    def __repr__(self) -> str:
        """Without the session."""
        return "MemoryStore()"


class FileStore:
    """Keeps the session in a JSON file that only its owner may read (mode 0600).

    The file is replaced as a whole: readers, and processes that write at the same time, see one session or the other,
    never a mixture. Symbolic links are not followed. A file that holds no session is renamed to `….corrupt-…` and told
    to `on_storage_error`, and the client starts signed out.

    ```python
    from picobase import Client
    from picobase.stores import FileStore

    client = Client("https://my-app.picobase.com", store=FileStore("session.json"))
    ```

    Args:
        path: The file. Missing folders are made at the first save.

    Attributes:
        path: The file.
    """

    __slots__ = ("_native", "path")

    path: str | os.PathLike[str]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """A store in the file at `path`."""
        self.path = path
        self._native = _native.NativeStore(fspath(path))

    def load(self) -> str | None:
        """What was saved last; None if nothing was, or if it was cleared.

        Raises:
            StorageError: The file cannot be read.
        """
        return self._native.load()

    def save(self, session: str, /) -> None:
        """Keeps the session.

        Raises:
            StorageError: The file cannot be written.
        """
        self._native.save(session)

    def clear(self) -> None:
        """Forgets the session.

        Raises:
            StorageError: The file cannot be removed.
        """
        self._native.clear()

    def __repr__(self) -> str:
        """The path."""
        return f"FileStore({self.path!r})"
