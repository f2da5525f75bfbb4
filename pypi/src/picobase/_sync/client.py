# Derived from _async/client.py by tools/derive.py. Change that one.
"""The client: what it is made of and how it is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import _native
from .._decode import decoder
from .collection import Collection
from .realtime import Realtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from types import TracebackType
    from typing import NoReturn

    from typing_extensions import Self

    from .._errors import PicoBaseError
    from .._events import RealtimeOptions
    from .._hooks import CallReport, InstanceState, OutgoingCall

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

    These functions run on the thread that makes the call, where a blocking call would wait for itself and is an
    error. What all but `before_call` raise goes to `sys.unraisablehook` and breaks no call.

    A client may be used by several threads. Close it, or use `with`: its connections then end at once. One that is
    forgotten ends when it is collected.

    A client that was made before a fork works in the child too, on connections of its own and with the session that it
    had.
    """

    __slots__ = ("__weakref__", "_native")

    _native: _native.Native

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

    @overload
    def collection(self, name: str, type: None = None, /) -> Collection[dict[str, Any]]: ...
    @overload
    def collection(self, name: str, type: type[T], /) -> Collection[T]: ...
    def collection(self, name: str, type: type[Any] | None = None, /) -> Collection[Any]:
        """The records of a collection, by its name or id: dicts, or objects of a type.

        Args:
            name: The name or id of the collection.
            type: What records become: a dataclass, a TypedDict, or a model of pydantic or msgspec.
        """
        return Collection(self._native.records(name, decoder(type)), name)

    @property
    def realtime(self) -> Realtime:
        """The event stream: its topics and its state."""
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

    def close(self) -> None:
        """Closes the client: its subscriptions end, and calls that are under way fail with kind `Cancelled`.

        Clients that were made of it, or that it was made of, go on; connections end with the last of them.
        """
        self._native.close()

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
