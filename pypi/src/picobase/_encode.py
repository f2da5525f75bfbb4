"""What Python has and JSON has not: models, enums, identifiers, and the many things that can be a file."""

# A value of any type is taken apart here, by what it turns out to be.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from ._errors import ValidationError
from ._files import File

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def millis(value: date) -> int:
    """The moment in milliseconds since the Unix epoch. What has no time zone is in UTC, as on the server."""
    try:
        if not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=timezone.utc)
        elif value.tzinfo is None:
            value = value.replace(tzinfo=timezone.utc)
        return (value - _EPOCH) // timedelta(milliseconds=1)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValidationError(f"{value!r} is no moment", fix="Pass None for no date.") from error


def plain(value: Any, is_partial: bool = False) -> Any:
    """The value as what JSON has; what is inside it is made plain later.

    With `is_partial` a model gives only what was set: the record is there already.
    """
    made = _scalar(value)
    if made is _NOTHING:
        made = _model(value, is_partial)
    if made is _NOTHING:
        made = _container(value)
    if made is _NOTHING:
        made = _number(value)
    if made is _NOTHING:
        raise _formless(value)
    return made


_NOTHING: Any = object()


def _formless(value: Any) -> ValidationError:
    name = type(value).__name__
    if isinstance(value, (bytes, bytearray, memoryview, os.PathLike, File)) or hasattr(value, "read"):
        fix = "Put files into fields of the record itself, not deeper; pass a path as text with str()."
        return ValidationError(f"{name} stands where JSON is expected", fix=fix)
    fix = "Pass a dict, a dataclass, a model of attrs, pydantic or msgspec, or something simple."
    return ValidationError(f"{name} has no form in JSON", fix=fix)


def _model(value: Any, is_partial: bool) -> Any:
    cls = type(value)
    if hasattr(cls, "__pydantic_fields__") and hasattr(value, "model_dump"):
        return value.model_dump(by_alias=True, exclude_unset=is_partial)
    if hasattr(cls, "__struct_encode_fields__"):
        return _struct(value)
    if hasattr(cls, "__dataclass_fields__"):
        from dataclasses import fields

        return {field.name: getattr(value, field.name) for field in fields(value) if not field.name.startswith("_")}
    if hasattr(cls, "__attrs_attrs__"):
        return {field.name: getattr(value, field.name) for field in cls.__attrs_attrs__ if not field.name.startswith("_")}
    return _NOTHING


def _struct(value: Any) -> dict[str, Any]:
    """A struct of msgspec as msgspec would write it: renamed, tagged, without what is unset or its config omits."""
    import msgspec

    cls, config = type(value), value.__struct_config__
    found = {} if config.tag_field is None else {config.tag_field: config.tag}
    for field in msgspec.structs.fields(cls):
        item = getattr(value, field.name)
        if item is not msgspec.UNSET and not (config.omit_defaults and _is_default(item, field)):
            found[field.encode_name] = item
    return found


def _is_default(item: Any, field: Any) -> bool:
    # Of factories msgspec knows only those of empty collections.
    if field.default_factory in (list, dict, set):
        return type(item) is field.default_factory and not item
    return item is field.default or (type(item) in (str, int, float) and item == field.default)


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
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return _NOTHING


def _container(value: Any) -> Any:
    from collections import deque

    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _NOTHING
    if isinstance(value, (Sequence, AbstractSet, deque)):
        return list(value)
    # Arrays and scalars of numpy, and whatever is like them.
    return value.tolist() if hasattr(value, "tolist") else _NOTHING


def _number(value: Any) -> Any:
    """What says itself that it stands for a number."""
    if hasattr(type(value), "__index__"):
        return value.__index__()
    if hasattr(type(value), "__float__"):
        return value.__float__()
    # A URL of pydantic's is no str.
    if type(value).__module__.startswith("pydantic") and hasattr(value, "unicode_string"):
        return str(value)
    return _NOTHING


def _decimal(value: Any) -> int | float | str:
    """A number where a double says it exactly, else text: the server's numbers are doubles."""
    if not value.is_finite():
        raise ValidationError("JSON has no NaN and no infinity", fix="Pass None, or a finite number.")
    if value == value.to_integral_value() and abs(value) < 2**53:
        return int(value)
    number = float(value)
    return number if type(value)(repr(number)) == value else str(value)


def file(value: Any) -> tuple[str, Any, str, str | None, int | None] | None:
    """The file that the value is, none for anything else: kind of source, data, name (empty where it has none), type, length."""
    if isinstance(value, File):
        source = value.source
        if isinstance(source, str):
            source = _Path(source)
        kind, data, name, content_type, length = file(source) or _stream(source)
        return kind, data, value.filename or name, value.content_type or content_type, length
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes", bytes(value), "", None, None
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return "path", path, os.path.basename(os.fsdecode(path)), None, None
    if callable(getattr(value, "read", None)) or hasattr(value, "__next__") or hasattr(value, "__anext__"):
        return _stream(value)
    return None


class _Path(os.PathLike[str]):
    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


def _stream(value: Any) -> tuple[str, Any, str, str | None, int | None]:
    from ._sources import described

    return described(value)
