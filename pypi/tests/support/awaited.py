"""The blocking client behind the face of the one for asyncio, so that one scenario proves both.

Each call is made on a thread; what it answers is wrapped again where it is an object of the blocking client's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

_END = object()


def awaited(value: Any) -> Any:
    """The value, wrapped if it is of the blocking client."""
    if isinstance(value, list):
        return [awaited(item) for item in value]
    is_ours = isinstance(value, Generator) or type(value).__module__.startswith("picobase._sync")
    return Awaited(value) if is_ours else value


def plain(value: Any) -> Any:
    """What is under the wrapping."""
    return value._wrapped if isinstance(value, Awaited) else value


class Awaited:
    """An object of the blocking client. Plain methods answer at once; those that the other client awaits are awaited."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if not callable(value) or isinstance(value, type):
            return awaited(value)
        if not _is_awaited(self._wrapped, name):
            return lambda *args, **named: awaited(value(*map(plain, args), **{k: plain(v) for k, v in named.items()}))

        async def call(*args: Any, **named: Any) -> Any:
            named = {key: plain(item) for key, item in named.items()}
            return awaited(await asyncio.to_thread(value, *map(plain, args), **named))

        return call

    def __len__(self) -> int:
        return len(self._wrapped)

    async def __aenter__(self) -> Any:
        return awaited(await asyncio.to_thread(self._wrapped.__enter__))

    async def __aexit__(self, *error: object) -> Any:
        return await asyncio.to_thread(self._wrapped.__exit__, *error)

    def __aiter__(self) -> Any:
        return Awaited(iter(self._wrapped))

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self._wrapped, _END)
        if item is _END:
            raise StopAsyncIteration
        return awaited(item)

    def __await__(self) -> Any:
        async def itself() -> Any:
            return self

        return itself().__await__()

    def __repr__(self) -> str:
        return f"Awaited({self._wrapped!r})"


def _is_awaited(wrapped: Any, name: str) -> bool:
    """Is the method of that name a coroutine in the client for asyncio?"""
    import importlib
    import inspect

    cls = type(wrapped)
    module = importlib.import_module(cls.__module__.replace("picobase._sync", "picobase._async"))
    twin = getattr(module, f"Async{cls.__name__}", None) or getattr(module, cls.__name__, None)
    return inspect.iscoroutinefunction(getattr(twin, name, None))
