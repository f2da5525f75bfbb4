"""Live queries: lists that stay as fresh ones would be."""

from __future__ import annotations

from .._typing import TYPE_CHECKING, Generic, TypeVar
from .realtime import AsyncFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .. import _native
    from .._aliases import LiveChange
else:
    # What is in the brackets is for type checkers.
    LiveChange = Generic

T = TypeVar("T")


class AsyncLiveQuery(AsyncFeed[LiveChange[T]], Generic[T]):
    """A list that stays as a fresh one would be, whoever writes and whatever breaks. See `AsyncCollection.live`.

    `records` is the list as far as the changes were read: by a loop, by `next`, or by the callback. A loop raises
    where the session has ended; it can be read again, and goes on after the next sign-in or sign-out. It ends when
    it is closed, or after an error that nothing can mend.
    """

    __slots__ = ("_records",)

    def __init__(
        self,
        native: _native.NativeFeed,
        callback: Callable[[LiveChange[T]], object] | None = None,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        self._records: list[T] = []
        super().__init__(native, callback, on_error)

    @property
    def records(self) -> list[T]:
        """The list: another one whenever something in it has changed, and never changed itself."""
        return self._records

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._records)} records{'' if self._is_open else ', closed'}>"

    async def _begin(self) -> None:
        await super()._begin()
        if await self._fill():
            for snapshot in self._items[:1]:
                self._records = snapshot.apply(self._records)
        self._raise()

    def _read(self, items: list[LiveChange[T]]) -> Iterator[LiveChange[T]]:
        for change in items:
            self._records = change.apply(self._records)
            yield change
