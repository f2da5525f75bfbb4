"""Functions that are told of changes of a session.

Only the client of Python holds them, in a set, and the core knows them weakly: where such a function refers to its
client, the two are one circle, which is collected as such.
"""

from __future__ import annotations

from ._session import maybe
from ._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from . import _native
    from ._aliases import AuthEvent, AuthListener
    from ._session import Session


class Listener:
    """A listener of the blocking client: called on the thread that makes the change."""

    __slots__ = ("__weakref__", "_all", "_handle", "function")

    def __init__(self, all: set[Any], function: AuthListener) -> None:
        if not callable(function):
            raise TypeError(f"a listener must be a function, not {type(function).__name__}")
        self._all = all
        self._handle: _native.NativeListener | None = None
        self.function = function
        all.add(self)

    def start(self, native: _native.NativeAuth) -> Callable[[], None]:
        """Answers how to stop."""
        from weakref import ref

        this = ref(self)

        def tell(event: AuthEvent, parts: tuple[Any, ...] | None) -> None:
            listener = this()
            if listener is not None and listener in listener._all:
                listener.tell(event, maybe(parts))

        self._handle = native.on_change(tell)
        return self.stop

    def stop(self) -> None:
        """It is told nothing from now on."""
        self._all.discard(self)
        self._handle = None

    def tell(self, event: AuthEvent, session: Session | None) -> None:
        """Called by the core."""
        self.function(event, session)


class AsyncListener(Listener):
    """A listener of the client for asyncio: called on the event loop that ran when it was added."""

    __slots__ = ("_context", "_loop", "_tasks")

    def __init__(self, all: set[Any], function: AuthListener) -> None:
        from asyncio import get_running_loop
        from contextvars import copy_context

        self._loop = get_running_loop()
        self._context = copy_context()
        self._tasks: set[Any] = set()
        super().__init__(all, function)

    def tell(self, event: AuthEvent, session: Session | None) -> None:
        """Called by the core, on the client's thread."""
        try:
            self._loop.call_soon_threadsafe(self._deliver, event, session, context=self._context)
        except RuntimeError:
            # The loop was closed: nobody is there to be told.
            self.stop()

    def _deliver(self, event: AuthEvent, session: Session | None) -> None:
        if self not in self._all:
            return
        told: Any = self.function(event, session)
        if hasattr(told, "__await__"):
            task = self._loop.create_task(_finished(told))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: Any) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            what = {"message": "a listener of the session failed", "exception": task.exception(), "task": task}
            self._loop.call_exception_handler(what)


async def _finished(told: Awaitable[object]) -> None:
    await told
