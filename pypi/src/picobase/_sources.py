"""What the bytes of an upload are read from: open files and iterators, for both clients."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from ._errors import ValidationError

PIECE = 256 * 1024
"""How much of an open file is read at a time, in bytes."""
ENOUGH = 64 * 1024
"""How much of an iterator is gathered, in bytes."""
PATIENCE = 0.1
"""For how long, in seconds."""


def described(value: Any) -> tuple[str, Any, str, str | None, int | None]:
    """An open file or an iterator: can it be sent `once` or `again`, its pieces, name, type and length in bytes."""
    name, content_type = _name(value), _content_type(value)
    if callable(getattr(value, "read", None)):
        # An upload of starlette's is a file with async methods around it; this one both clients can read.
        file = getattr(value, "file", None) if _is_async(value.read) else value
        if not hasattr(file, "read"):
            return "once", _AsyncFile(value), name, content_type, None
        start, length = _span(file)
        return "once" if start is None else "again", _OpenFile(file, start), name, content_type, length
    if hasattr(value, "__aiter__"):
        return _how_often(value, "__anext__"), _AsyncItems(value), name, content_type, None
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return _how_often(value, "__next__"), _Items(value), name, content_type, None
    raise ValidationError(f"{type(value).__name__} is no file", fix="Pass bytes, a path, an open file or an iterator.")


class _OpenFile:
    """A file that was opened for reading; it is sent from where it stands."""

    def __init__(self, file: Any, start: int | None) -> None:
        self._file, self._start = file, start

    def read(self, is_first: bool) -> bytes:
        if is_first and self._start is not None:
            self._file.seek(self._start)
        return _bytes(self._file.read(PIECE))

    async def read_async(self, is_first: bool) -> bytes:
        import asyncio

        return await asyncio.to_thread(self.read, is_first)


class _AsyncFile:
    """A file whose `read` is a coroutine."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, is_first: bool) -> bytes:
        raise _needs_async(self._file)

    async def read_async(self, is_first: bool) -> bytes:
        return _bytes(await self._file.read(PIECE))


class _Items:
    """An iterable of bytes. Small pieces go together, lines of a table for example."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def read(self, is_first: bool) -> bytes:
        if is_first:
            self._iterator = iter(self._items)
        gathered = _Gathered()
        for piece in self._iterator:
            if gathered.add(_bytes(piece)):
                break
        return gathered.joined()

    async def read_async(self, is_first: bool) -> bytes:
        import asyncio

        return await asyncio.to_thread(self.read, is_first)


class _AsyncItems:
    """An async iterable of bytes."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def read(self, is_first: bool) -> bytes:
        raise _needs_async(self._items)

    async def read_async(self, is_first: bool) -> bytes:
        if is_first:
            self._iterator = self._items.__aiter__()
        gathered = _Gathered()
        async for piece in self._iterator:
            if gathered.add(_bytes(piece)):
                break
        return gathered.joined()


class _Gathered:
    """Pieces until they are worth sending, or the first of them has waited for a moment."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._end = monotonic() + PATIENCE

    def add(self, piece: bytes) -> bool:
        self._pieces.append(piece)
        self._size += len(piece)
        return self._size >= ENOUGH or (self._size > 0 and monotonic() >= self._end)

    def joined(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


def _bytes(piece: Any) -> bytes:
    if type(piece) is bytes:
        return piece
    if isinstance(piece, bytes) or type(piece) in (bytearray, memoryview):
        return bytes(piece)
    if isinstance(piece, str):
        raise ValidationError("the file gives text, not bytes", fix='Open it with mode "rb", or encode the text.')
    if piece is None:
        raise ValidationError("the file has nothing to read yet", fix="Open it in blocking mode.")
    raise ValidationError(f"the file gives {type(piece).__name__}, not bytes", fix="Give bytes.")


def _needs_async(source: Any) -> ValidationError:
    fix = "Use AsyncClient, or pass a plain iterator or an open file."
    return ValidationError(f"a blocking client cannot read {type(source).__name__}, which is async", fix=fix)


def _span(file: Any) -> tuple[int | None, int | None]:
    """Where the file stands and how long it is from there; none where it cannot be told."""
    _bytes(file.read(0))
    try:
        if hasattr(file, "seekable") and not file.seekable():
            return None, None
        start = file.tell()
        # What `seek` answers is not the position everywhere, in `tempfile` before Python 3.11 for example.
        file.seek(0, 2)
        end = file.tell()
        file.seek(start)
    except (AttributeError, OSError):
        return None, None
    return start, max(end - start, 0)


def _how_often(items: Any, step: str) -> str:
    """An iterator can be gone through once; what makes a new one each time, a list for example, again."""
    return "once" if hasattr(items, step) else "again"


def _name(value: Any) -> str:
    for attribute in ("filename", "name"):
        name = getattr(value, attribute, None)
        if isinstance(name, (str, bytes)) and name:
            import os

            return os.path.basename(os.fsdecode(name))
    return ""


def _content_type(value: Any) -> str | None:
    for attribute in ("content_type", "mimetype"):
        content_type = getattr(value, attribute, None)
        if isinstance(content_type, str) and content_type:
            return content_type
    return None


def _is_async(function: Any) -> bool:
    # Who has coroutines has imported this already.
    inspect = sys.modules.get("inspect")
    return inspect is not None and inspect.iscoroutinefunction(function)
