# Derived from _async/client.py by tools/derive.py. Change that one.
"""The client: what it is made of and how it is set up."""

from __future__ import annotations

from .. import _native
from .._session import Session
from .._typing import TYPE_CHECKING, Any, TypeVar, overload
from .collection import Collection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta
    from types import TracebackType
    from typing import NoReturn

    from typing_extensions import Self, Unpack

    from .._aliases import CallOptions, InstanceState, RealtimeOptions
    from .._errors import PicoBaseError
    from .._hooks import CallReport, OutgoingCall
    from .._native import Native
    from ..stores import Store
    from .auth import Auth
    from .batch import Batch
    from .files import Files
    from .realtime import Realtime
    from .services import Backups, Collections, Crons, Logs, Settings, Sql

T = TypeVar("T")


class Client:
    """A client of one PicoBase instance.

    ```python
    from picobase import Client

    def main() -> None:
        with Client("https://my-app.picobase.com", "pk_live_...") as client:
            for post in client.collection("posts").get_list(1, 20, sort="-created"):
                print(post["title"])
    ```

    Args:
        url: The instance's URL; by default the environment variable PICOBASE_URL. It can be set later with `set_url`.
        api_key: The instance's API key; by default PICOBASE_API_KEY.
        timeout: How long each call may take, in seconds, retries and cold starts included. By default 30 s a call (a
            cold start may take longer), and no limit for transfers that make progress.
        cold_start_timeout: How long to wait for a sleeping instance, in seconds; 60 by default.
        transfer_idle_timeout: How long a transfer may make no progress, in seconds; 30 by default.
        max_retries: How often a call is repeated after a lost answer or a 429; 5 by default.
        accept_language: The language of the server's messages; `en-US` by default.
        auth_collection: The collection that `auth` signs in to; `users` by default.
        credentials: Identity and password, and perhaps the collection, for services: the client signs in by itself, at
            first need and when its session ends.
        store: Where the session is kept: one of `picobase.stores`, or an object with the methods `load`, `save` and
            `clear`. In memory by default.
        server_version: The server's version, which decides how filters are written; the newest by default.
        realtime: When event streams are replaced, and how much is remembered; see `RealtimeOptions`.
        before_call: Called before each call; it may change headers and query parameters. What it raises fails the call,
            which is not sent, and is the error's cause. A plain function; it must not block.
        after_call: Called after each call, also after one that failed or was cancelled.
        on_state: Called when the instance falls asleep, wakes up, or does not wake up in time. See `on_state` below.
        on_storage_error: Called when a session store fails at a moment when no call can report it, or had a corrupt
            file: that of this client and of those made of it.

    Raises:
        ConfigurationError: An option is wrong; `fix` says what to do.

    With asyncio `before_call` runs on the client's own thread, with the context variables of whoever calls; the other
    functions run on the event loop: the one where they were added, or else the one that the call was made on. With the
    blocking client all run on the thread that makes the call, where a blocking call would wait for itself and is an
    error. What all but `before_call` raise goes to the loop's exception handler, or to `sys.unraisablehook`, and breaks
    no call.

    A client may be used by several threads and event loops. Close it, or use `with`: its connections then end at
    once, and its threads. One that is forgotten ends when it is collected.

    A client that was made before a fork works in the child too, on connections of its own and with the session that it
    had.
    """

    __slots__ = ("__weakref__", "_listeners", "_native")

    _native: _native.Native
    # Who is told of the session; held here, so that listeners and client are collected together.
    _listeners: set[Any]

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float | timedelta | None = None,
        cold_start_timeout: float | timedelta | None = None,
        transfer_idle_timeout: float | timedelta | None = None,
        max_retries: int | None = None,
        accept_language: str | None = None,
        auth_collection: str | None = None,
        credentials: tuple[str, str] | tuple[str, str, str] | None = None,
        store: Store | None = None,
        server_version: str | None = None,
        realtime: RealtimeOptions | None = None,
        before_call: Callable[[OutgoingCall], object] | None = None,
        after_call: Callable[[CallReport], object] | None = None,
        on_state: Callable[[InstanceState], object] | None = None,
        on_storage_error: Callable[[PicoBaseError], object] | None = None,
    ) -> None:
        options: dict[str, Any] = locals().copy()
        del options["self"]
        self._native = _native.Native(True, options)
        self._listeners = set()

    @staticmethod
    def _of(native: Native) -> Client:
        client = object.__new__(Client)
        client._native = native
        client._listeners = set()
        return client

    @overload
    def collection(self, name: str, type: None = None, /) -> Collection[dict[str, Any]]: ...
    @overload
    def collection(self, name: str, type: type[T], /) -> Collection[T]: ...
    def collection(self, name: str, type: type[Any] | None = None, /) -> Collection[Any]:
        """The records of a collection, by its name or id: dicts, or objects of a type.

        Args:
            name: The name or id of the collection.
            type: What records become: a dataclass, a class of attrs, a TypedDict, or a model of pydantic or msgspec. The
                names of fields are the records', or the model's aliases for them. What a dataclass or a class of attrs
                does not name is ignored; other models may forbid it, and then have to name `collectionId` and
                `collectionName` too. Relations that were expanded are in the field `expand`. An empty text, as of a date
                that is not set, is `None` where the type allows `None` and no text. A TypedDict is not checked.

        Raises:
            TypeError: Records cannot become that type.
        """
        if type is None:
            return Collection(self._native.records(name, None), name, self)
        from .._decode import decoder

        return Collection(self._native.records(name, decoder(type)), name, self)

    @property
    def auth(self) -> Auth:
        """Sign-up, sign-in and the session, with the collection `auth_collection`."""
        from .auth import Auth

        return Auth(self)

    def with_session(self, source: str | Session | Store | None = None, /) -> Client:
        """A client with a session of its own, on the same connections and options: servers use one for each visitor.

        It costs little, needs no closing, and cannot see the session of another.

        ```python
        from typing import Any

        from picobase import Client, Session

        client = Client("https://my-app.picobase.com", "pk_live_...")

        def notes(request: Any) -> list[dict[str, Any]]:
            visitor = client.with_session(Session.from_cookies(request.cookies))
            return visitor.collection("notes").get_full_list()
        ```

        Args:
            source: A token; a session; a store, whose session it takes and where it is kept; None for a guest.
        """
        if source is None or isinstance(source, str):
            return Client._of(self._native.with_session(source or "", None))
        if isinstance(source, Session):
            return Client._of(self._native.with_session(source.token, source.record or None))
        if not hasattr(source, "load"):
            raise TypeError(f"a session comes from a token, a Session, a store or None, not from {type(source).__name__}")
        return Client._of(self._native.with_store(source))

    @property
    def realtime(self) -> Realtime:
        """The event stream: its topics and its state."""
        from .realtime import Realtime

        return Realtime(self._native.realtime())

    @property
    def url(self) -> str | None:
        """The instance's URL; None where none was given yet."""
        return self._native.url

    def set_url(self, url: str, /, *, keep_session: bool = False) -> None:
        """Sets another URL, for this client and those made of it, for apps that learn it at run time.

        Before the first call that only configures. After it, another origin is another instance: streams begin anew and
        the session is signed out.

        Args:
            url: The instance's URL.
            keep_session: Keep the session: the new origin serves the same users and must be trusted with the token.

        Raises:
            ConfigurationError: It is no URL of an instance.
        """
        self._native.set_url(url, keep_session)

    def on_state(self, listener: Callable[[InstanceState], object], /) -> Callable[[], None]:
        """Calls `listener` when the instance falls asleep, wakes up, or does not wake up in time.

        ```python
        from picobase import Client

        def watch(client: Client) -> None:
            client.on_state(lambda state: print("waking up …" if state == "starting" else state))
        ```

        Args:
            listener: Called with `starting`, `ready` or `unreachable`.

        Returns:
            A function that stops it.
        """
        return self._native.on_state(listener)

    def on_storage_error(self, listener: Callable[[PicoBaseError], object], /) -> Callable[[], None]:
        """Calls `listener` with errors of this client's own session store that no call can report.

        Args:
            listener: Called with the error.

        Returns:
            A function that stops it.
        """
        return self._native.on_storage_error(listener)

    def batch(self) -> Batch:
        """Writes that are sent together: all of them happen, or none. See `Batch`."""
        from .batch import Batch

        return Batch(self._native.batch())

    def filter(self, template: str, params: Mapping[str, Any] | None = None, /) -> str:
        """Puts values into the `{:name}` placeholders of a filter, so that they can only ever be values.

        ```python
        from picobase import Client

        def search(client: Client, word: str) -> None:
            wanted = client.filter("title ~ {:word} && n > {:n}", {"word": word, "n": 3})
            for post in client.collection("posts").get_list(filter=wanted):
                print(post["title"])
        ```

        Args:
            template: The filter. A placeholder stands without quotes: the value brings its own.
            params: The values by name: text, numbers, booleans, `None`, dates, enums, UUIDs.

        Raises:
            ValidationError: A placeholder has no value or stands inside quotes, or a value cannot be written.
        """
        return self._native.filter(template, params)

    @property
    def files(self) -> Files:
        """File URLs, uploads and downloads."""
        from . import files

        return files.Files(self._native)

    @property
    def collections(self) -> Collections:
        """Collections and their schema, for superusers."""
        from . import services

        return services.Collections(self._native)

    @property
    def settings(self) -> Settings:
        """The instance's settings, for superusers."""
        from . import services

        return services.Settings(self._native)

    @property
    def logs(self) -> Logs:
        """Request logs, for superusers."""
        from . import services

        return services.Logs(self._native)

    @property
    def backups(self) -> Backups:
        """Backups, for superusers."""
        from . import services

        return services.Backups(self._native)

    @property
    def crons(self) -> Crons:
        """Scheduled jobs, for superusers."""
        from . import services

        return services.Crons(self._native)

    @property
    def sql(self) -> Sql:
        """SQL, for superusers (server 0.39 and newer)."""
        from . import services

        return services.Sql(self._native)

    def health(self, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """Asks whether the instance is awake, without waiting for it: `code`, `message` and, for superusers, `data`.

        Raises:
            InstanceUnavailableError: It is not awake.
        """
        return self._native.health(options)

    def send(
        self, path: str, /, *, method: str = "GET", body: Any = None, safe: bool = False, **options: Unpack[CallOptions]
    ) -> Any:
        """Calls any other route of the instance, and answers its JSON.

        ```python
        from picobase import Client

        def hello(client: Client) -> None:
            print(client.send("/api/hello", method="POST", body={"name": "Ada"}))
            table = b"title,n"
            client.send("/api/import", method="POST", body=table, headers={"Content-Type": "text/csv"})
        ```

        Args:
            path: The route. It begins with a slash and may have a query.
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            body: Anything that has a form in JSON. Bytes and text go as they are: say what they are with the header
                `Content-Type`; text without it is JSON.
            safe: May the call be repeated when its answer is lost? GET and HEAD always may.
            **options: See `CallOptions`.
        """
        if type(body) in (bytearray, memoryview):
            body = bytes(body)
        raw = body if isinstance(body, (bytes, str)) else None
        return self._native.send(method, path, body, raw, safe, options)

    def rpc(self, name: str, data: Any = None, /, **options: Unpack[CallOptions]) -> Any:
        """Calls the function `name` of the instance: POST `/api/rpc/{name}` with `data` as JSON.

        ```python
        from picobase import Client

        def add(client: Client) -> int:
            total: int = client.rpc("add", {"a": 1, "b": 2})
            return total
        ```

        Args:
            name: The function's name.
            data: What it is given: anything that has a form in JSON.
            **options: See `CallOptions`.
        """
        return self._native.rpc(name, data, options)

    def close(self) -> None:
        """Closes the client: its subscriptions end, and calls that are under way fail with kind `Cancelled`.

        Clients that were made of it, or that it was made of, go on; connections end with the last of them.
        """
        self._native.close()
        self._listeners.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.url}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client cannot be pickled or copied: it holds connections. Make one in each process.")
