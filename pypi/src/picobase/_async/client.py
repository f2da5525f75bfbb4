"""The client: what it is made of and how it is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import _native
from .._decode import decoder
from .collection import AsyncCollection
from .realtime import AsyncRealtime

if TYPE_CHECKING:
    from datetime import timedelta
    from types import TracebackType

    from typing_extensions import Self

    from .._events import RealtimeOptions

T = TypeVar("T")


class AsyncClient:
    """A client of one PicoBase instance.

    ```python
    from picobase import AsyncClient

    async def main() -> None:
        async with AsyncClient("https://my-app.picobase.com", "pk_live_...") as client:
            for post in await client.collection("posts").get_list(1, 20, sort="-created"):
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

    Raises:
        ConfigurationError: An option is wrong; `fix` says what to do.
    """

    __slots__ = ("_native",)

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
    ) -> None:
        options: dict[str, Any] = locals().copy()
        del options["self"]
        self._native = _native.Native(False, options)

    @overload
    def collection(self, name: str, type: None = None, /) -> AsyncCollection[dict[str, Any]]: ...
    @overload
    def collection(self, name: str, type: type[T], /) -> AsyncCollection[T]: ...
    def collection(self, name: str, type: type[Any] | None = None, /) -> AsyncCollection[Any]:
        """The records of a collection, by its name or id: dicts, or objects of a type.

        Args:
            name: The name or id of the collection.
            type: What records become: a dataclass, a TypedDict, or a model of pydantic or msgspec.
        """
        return AsyncCollection(self._native.records(name, decoder(type)), name)

    @property
    def realtime(self) -> AsyncRealtime:
        """The event stream: its topics and its state."""
        return AsyncRealtime(self._native.realtime())

    async def close(self) -> None:
        """Ends what the client has open. Calls that are under way are cancelled."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        await self.close()
