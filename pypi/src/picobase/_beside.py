"""Reads the pieces of an upload while its call is under way: on the thread that calls, or in a task of the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import PicoBaseError

if TYPE_CHECKING:
    from asyncio import Future

    from . import _native


def serve(wanted: _native.NativeWanted) -> Exception | None:
    """Reads a piece on this thread; answers what its source raised."""
    try:
        wanted.give(wanted.pieces.read(wanted.is_first))
    except PicoBaseError:
        raise
    except Exception as error:
        wanted.fail(_told(error))
        return error
    return None


async def attended(call: Future[Any], errands: _native.NativeErrands) -> Any:
    """The result of the call. All pieces are read in one task, beside the one that awaits this."""
    import asyncio

    raised: list[Exception] = []
    reading = asyncio.ensure_future(_read(errands, raised))
    try:
        await asyncio.wait((call, reading), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            reading.result()
        return await call
    except PicoBaseError as error:
        if raised and error is not raised[0] and error.__cause__ is None:
            raise error from raised[0]
        raise
    finally:
        call.cancel()
        reading.cancel()
        # What the source does when it is cancelled is over when the call is.
        await asyncio.wait((reading,))


async def _read(errands: _native.NativeErrands, raised: list[Exception]) -> None:
    while (wanted := await errands.next()) is not None:
        try:
            wanted.give(await wanted.pieces.read_async(wanted.is_first))
        except PicoBaseError:
            raise
        except Exception as error:
            raised[:] = [error]
            wanted.fail(_told(error))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
