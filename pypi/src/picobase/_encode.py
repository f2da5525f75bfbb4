"""What Python has and JSON has not: models, enums, identifiers, and the many things that can be a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from ._errors import ValidationError
from ._files import File

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def millis(value: date) -> int:
    """The moment in milliseconds since the Unix epoch. What has no time zone is in UTC, as on the server."""
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    return (value - _EPOCH) // timedelta(milliseconds=1)


def plain(value: Any) -> Any:
    """The value as what JSON has; what is inside it is made plain later."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    made = _model(value)
    if made is not _NOTHING:
        return made
    made = _scalar(value)
    if made is not _NOTHING:
        return made
    raise ValidationError(
        f"{type(value).__name__} has no form in JSON",
        fix="Pass a dict, a dataclass, a pydantic or msgspec model, or something simple.",
    )


_NOTHING: Any = object()


def _model(value: Any) -> Any:
    cls = type(value)
    if hasattr(cls, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in cls.__dataclass_fields__ if not name.startswith("_")}
    if hasattr(cls, "__struct_encode_fields__"):
        names = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
        found = {encoded: getattr(value, name) for name, encoded in names}
        unset = getattr(sys.modules.get("msgspec"), "UNSET", None)
        return {name: item for name, item in found.items() if item is not unset or unset is None}
    if hasattr(cls, "__pydantic_fields__") and hasattr(value, "model_dump"):
        return value.model_dump(by_alias=True, exclude_unset=True)
    return _NOTHING


def _scalar(value: Any) -> Any:
    from decimal import Decimal
    from enum import Enum
    from uuid import UUID

    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    for builtin in (str, bool, int, float):
        if isinstance(value, builtin):
            return builtin(value)
    return _NOTHING


def _decimal(value: Any) -> int | float | str:
    """A number where a double says it exactly, else text: the server's numbers are doubles."""
    if not value.is_finite():
        raise ValidationError("JSON has no NaN and no infinity", fix="Pass None, or a finite number.")
    if value == value.to_integral_value() and abs(value) < 2**53:
        return int(value)
    number = float(value)
    return number if type(value)(repr(number)) == value else str(value)


def file(value: Any, field: str) -> tuple[str, Any, str, str | None, int | None] | None:
    """The file that the value is: what kind of source, its data, name, type and length; none for anything else."""
    if isinstance(value, File):
        found = file(value.source, field)
        if found is None and isinstance(value.source, str):
            found = file(_Path(value.source), field)
        if found is None:
            found = _stream(value.source, field)
        kind, data, name, content_type, length = found
        return kind, data, value.filename or name, value.content_type or content_type, length
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes", bytes(value), field.strip("+-"), None, None
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return "path", path, os.path.basename(path), None, None
    if hasattr(value, "read"):
        return _stream(value, field)
    return None


class _Path(os.PathLike[str]):
    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


def _stream(value: Any, field: str) -> tuple[str, Any, str, str | None, int | None]:
    raise ValidationError(f"{type(value).__name__} is no file", fix="Pass bytes or a path.")
