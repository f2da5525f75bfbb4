"""What the server pushes: events of records, messages, and how the client stands with the stream."""

from __future__ import annotations

from .._errors import CancelledError, ConfigurationError
from .._typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    # async only
    from collections.abc import Callable, Generator, Iterator

    # end
    # sync only
    # from collections.abc import Callable, Iterator
    # end
    from datetime import timedelta
    from types import TracebackType
    from typing import Literal

    from typing_extensions import Self, Unpack

    from .. import _native
    from .._aliases import CallOptions, RealtimeState, TopicEvent

E = TypeVar("E")
# async only

_delivering: set[Any] = set()
"""The tasks that call callbacks; asyncio itself does not hold on to them."""
# end


class AsyncFeed(Generic[E]):
    """Something that is listened to: a subscription, a live query, the states of the stream.

    It is read by one reader: a loop, `next`, or the callback that it was given. It ends with `close`, with the
    `with` block that it stands in, with the client, or when nobody holds on to it any more; one with a callback goes
    on until it is closed.
    """

    __slots__ = (
        "__weakref__",
        "_batch",
        "_callback",
        "_error",
        "_has_begun",
        "_is_open",
        "_items",
        "_native",
        "_on_error",
    )

    def __init__(
        self,
        native: _native.NativeFeed,
        callback: Callable[[E], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        self._native = native
        self._callback: Callable[[E], object] | None = None
        self._has_begun = False
        for function in (callback, on_error):
            if function is not None and not callable(function):
                raise TypeError(f"a callback must be a function, not {type(function).__name__}")
        self._callback = callback
        self._on_error = on_error
        self._is_open = True
        self._error: Exception | None = None
        self._items: list[E] = []
        self._batch: Iterator[E] = iter(self._items)
        # sync only
        # self._start()
        # end

    # async only
    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    def __del__(self) -> None:
        if self._callback is not None and not self._has_begun:
            import warnings

            warnings.warn(f"{type(self).__name__} with a callback was never awaited", RuntimeWarning, source=self, stacklevel=2)

    # end
    async def _start(self) -> Self:
        if not self._has_begun:
            self._has_begun = True
            await self._begin()
            if self._callback is not None:
                self._deliver_to(self._callback)
        return self

    async def _begin(self) -> None:
        """Waits until it is there, and takes what is there at once."""
        await self._native.begin()

    async def __aenter__(self) -> Self:
        return await self._start()

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        # No generator: one that is left in the middle would have to be closed by the loop.
        while True:
            for event in self._batch:
                return event
            self._raise()
            if not await self._fill():
                raise StopAsyncIteration

    async def next(self, timeout: float | timedelta | None = None) -> E:
        """What comes next.

        Args:
            timeout: How many seconds to wait for it; without end by default.

        Raises:
            TimeoutError: Nothing came in time. What comes later is not lost: the next call has it.
            CancelledError: It has ended.
            PicoBaseError: What the server or the session says.
        """
        while True:
            for event in self._batch:
                return event
            self._raise()
            if not await self._fill(timeout):
                raise CancelledError("it has ended, nothing comes any more", fix="Subscribe again.")

    def close(self) -> None:
        """Ends it: from now on nothing comes."""
        self._is_open = False
        self._error = None
        self._items.clear()
        self._native.close()

    async def _fill(self, timeout: float | timedelta | None = None) -> bool:
        """Takes what is there, and waits where there is nothing; False at the end."""
        while True:
            self._items, self._error, over = self._native.take()
            if self._items or self._error is not None:
                break
            if over or not await self._native.ready(timeout):
                return False
        if not self._is_open:
            self._items.clear()
        self._batch = self._read(self._items)
        return True

    def _read(self, items: list[E]) -> Iterator[E]:
        return iter(items)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _deliver_to(self, callback: Callable[[E], object]) -> None:
        # async only
        import asyncio

        task = asyncio.get_running_loop().create_task(self._deliver(callback), name="picobase-callback")
        _delivering.add(task)
        task.add_done_callback(_delivering.discard)
        # end
        # sync only
        # from threading import Thread
        # Thread(target=self._deliver, args=(callback,), name="picobase-callback", daemon=True).start()
        # end

    async def _deliver(self, callback: Callable[[E], object]) -> None:
        try:
            while True:
                for event in self._batch:
                    await _call(callback, event)
                error, self._error = self._error, None
                if error is not None:
                    await _call(self._on_error or _report, error)
                if not await self._fill():
                    return
        except Exception as error:
            await _call(self._on_error or _report, error)
        finally:
            self.close()


async def _call(function: Callable[[Any], object], about: Any) -> None:
    """Calls a callback. What it raises is its own, and the next event is delivered all the same."""
    try:
        # async only
        done: Any = function(about)
        if done is not None and hasattr(done, "__await__"):
            await done
        # end
        # sync only
        # function(about)
        # end
    except Exception as error:
        _report(error)


def _report(error: Exception) -> None:
    """An error that nobody takes goes where such errors go."""
    # async only
    import asyncio

    message = "a callback of realtime failed, or nobody takes the errors of what it listens to"
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
    # end
    # sync only
    # import threading
    # about = (type(error), error, error.__traceback__, threading.current_thread())
    # threading.excepthook(threading.ExceptHookArgs(about))
    # end


class AsyncSubscription(AsyncFeed[E], Generic[E]):
    """The events of a topic. See `AsyncCollection.subscribe`.

    A loop over it raises where the session has ended; it can be read again, and goes on after the next sign-in or
    sign-out. It ends when it is unsubscribed, or after an error that nothing can mend.
    """

    __slots__ = ()

    def unsubscribe(self) -> None:
        """Ends it: from now on nothing comes."""
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{'' if self._is_open else ', closed'}>"


class AsyncRealtime:
    """The client's event stream, its topics and its state. See `AsyncClient.realtime`."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.NativeRealtime) -> None:
        self._native = native

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self.state}>"
        except ConfigurationError:
            return f"<{type(self).__name__}, closed>"

    def subscribe(
        self,
        topic: str,
        callback: Callable[[TopicEvent], object] | None = None,
        *,
        filter: str | None = None,
        expand: str | None = None,
        fields: str | None = None,
        queue_max: int | None = None,
        on_error: Callable[[Exception], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncSubscription[TopicEvent]:
        """Subscribes to any topic.

        One of one's own, `posts/*` for all records of a collection, or `posts/RECORD_ID` for one.

        ```python
        from picobase import AsyncClient, Message

        async def listen(client: AsyncClient) -> None:
            async for event in client.realtime.subscribe("news"):
                if isinstance(event, Message):
                    print(event.data)
        ```

        Args:
            topic: The topic.
            callback: What is called with each event; see `AsyncCollection.subscribe`.
            filter: Which records' events to send, for topics of records.
            expand: Relations to put into `expand`, for topics of records.
            fields: The fields to send, for topics of records.
            queue_max: How many events may wait for a slow reader before the oldest are dropped; 1,000 by default.
            on_error: What is called with the errors that a loop would raise.
            **options: See `CallOptions`; `timeout` is for the server's acknowledgement.

        Raises:
            ValidationError: There are 1,000 topics already, or this one is longer than 2,500 characters.
            TimeoutError: The server did not acknowledge it in time.
        """
        native = self._native.subscribe(topic, filter, expand, fields, queue_max, options)
        return AsyncSubscription(native, callback, on_error)

    def unsubscribe(self, topic: str) -> None:
        """Ends all subscriptions of a topic, whatever their options."""
        self._native.unsubscribe(topic)

    def unsubscribe_prefix(self, prefix: str) -> None:
        """Ends all subscriptions whose topic begins so."""
        self._native.unsubscribe_prefix(prefix)

    def unsubscribe_all(self) -> None:
        """Ends all subscriptions of this client."""
        self._native.unsubscribe_all()

    @property
    def state(self) -> RealtimeState:
        """How it stands with the stream."""
        state: Any = self._native.state
        return state

    @property
    def is_connected(self) -> bool:
        """Is the stream there?"""
        return self._native.state == "connected"

    def hint(self, hint: Literal["online", "hidden", "visible"], /) -> None:
        """Tells what the program knows of its network, for programs on desktops and devices.

        A dead stream is noticed sooner then, and a program that nobody looks at does not keep its instance awake.

        ```python
        from picobase import AsyncClient

        def woken_up(client: AsyncClient) -> None:
            client.realtime.hint("online")
        ```

        Args:
            hint: `online`: the network is there again, or is another one; the stream is replaced now. `hidden`: nobody
                looks for long; the stream is closed. `visible`: somebody looks again; the stream comes back, and what was
                missed is fetched.

        Raises:
            ValueError: It is none of them.
        """
        self._native.hint(hint)

    def states(self) -> AsyncFeed[RealtimeState]:
        """The state now, and then whenever it is another one. A slow reader sees the latest.

        ```python
        from picobase import AsyncClient

        async def show(client: AsyncClient) -> None:
            async for state in client.realtime.states():
                print(state)
        ```
        """
        return AsyncFeed(self._native.states())
