# Derived from _async/realtime.py by tools/derive.py. Change that one.
"""What the server pushes: events of records, messages, and how the client stands with the stream."""

from __future__ import annotations

from .._errors import CancelledError, ConfigurationError
from .._typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta
    from types import TracebackType
    from typing import Literal

    from typing_extensions import Self, Unpack

    from .. import _native
    from .._aliases import CallOptions, RealtimeState, TopicEvent

E = TypeVar("E")


class Feed(Generic[E]):
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
        self._start()

    def _start(self) -> Self:
        if not self._has_begun:
            self._has_begun = True
            self._begin()
            if self._callback is not None:
                self._deliver_to(self._callback)
        return self

    def _begin(self) -> None:
        """Waits until it is there, and takes what is there at once."""
        self._native.begin()

    def __enter__(self) -> Self:
        return self._start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> E:
        # No generator: one that is left in the middle would have to be closed by the loop.
        while True:
            for event in self._batch:
                return event
            self._raise()
            if not self._fill():
                raise StopIteration

    def next(self, timeout: float | timedelta | None = None) -> E:
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
            if not self._fill(timeout):
                raise CancelledError("it has ended, nothing comes any more", fix="Subscribe again.")

    def close(self) -> None:
        """Ends it: from now on nothing comes."""
        self._is_open = False
        self._error = None
        self._items.clear()
        self._native.close()

    def _fill(self, timeout: float | timedelta | None = None) -> bool:
        """Takes what is there, and waits where there is nothing; False at the end."""
        while True:
            self._items, self._error, over = self._native.take()
            if self._items or self._error is not None:
                break
            if over or not self._native.ready(timeout):
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
        from threading import Thread
        Thread(target=self._deliver, args=(callback,), name="picobase-callback", daemon=True).start()

    def _deliver(self, callback: Callable[[E], object]) -> None:
        try:
            while True:
                for event in self._batch:
                    _call(callback, event)
                error, self._error = self._error, None
                if error is not None:
                    _call(self._on_error or _report, error)
                if not self._fill():
                    return
        except Exception as error:
            _call(self._on_error or _report, error)
        finally:
            self.close()


def _call(function: Callable[[Any], object], about: Any) -> None:
    """Calls a callback. What it raises is its own, and the next event is delivered all the same."""
    try:
        function(about)
    except Exception as error:
        _report(error)


def _report(error: Exception) -> None:
    """An error that nobody takes goes where such errors go."""
    import threading
    about = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(about))


class Subscription(Feed[E], Generic[E]):
    """The events of a topic. See `Collection.subscribe`.

    A loop over it raises where the session has ended; it can be read again, and goes on after the next sign-in or
    sign-out. It ends when it is unsubscribed, or after an error that nothing can mend.
    """

    __slots__ = ()

    def unsubscribe(self) -> None:
        """Ends it: from now on nothing comes."""
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{'' if self._is_open else ', closed'}>"


class Realtime:
    """The client's event stream, its topics and its state. See `Client.realtime`."""

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
    ) -> Subscription[TopicEvent]:
        """Subscribes to any topic.

        One of one's own, `posts/*` for all records of a collection, or `posts/RECORD_ID` for one.

        ```python
        from picobase import Client, Message

        def listen(client: Client) -> None:
            for event in client.realtime.subscribe("news"):
                if isinstance(event, Message):
                    print(event.data)
        ```

        Args:
            topic: The topic.
            callback: What is called with each event; see `Collection.subscribe`.
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
        return Subscription(native, callback, on_error)

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
        from picobase import Client

        def woken_up(client: Client) -> None:
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

    def states(self) -> Feed[RealtimeState]:
        """The state now, and then whenever it is another one. A slow reader sees the latest.

        ```python
        from picobase import Client

        def show(client: Client) -> None:
            for state in client.realtime.states():
                print(state)
        ```
        """
        return Feed(self._native.states())
