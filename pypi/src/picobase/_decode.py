"""How the bytes of a record become an object of the type that a collection was asked for.

Models of pydantic and msgspec are decoded by their library, in one pass, and by its rules. Dataclasses and classes of attrs
are filled here: types are compiled once to functions that check a value and convert it. Two things are the server's own: dates are
`YYYY-MM-DD HH:MM:SS.mmmZ`, and what is not set is an empty text, which becomes `None` where the type allows `None` and
no text.
"""

# A value of any type is taken apart here, by what it turns out to be.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import typing
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ._errors import DecodeError

Decoder = Callable[[bytes], Any]
_Convert = Callable[[Any], Any]


def decoder(cls: Any) -> Decoder | None:
    """What makes a `cls` of a record's bytes; none where records are plain dicts."""
    if cls is None:
        return None
    try:
        hash(cls)
    except TypeError:
        raise _unfit(cls) from None
    return _decoder(cls)


@lru_cache(maxsize=256)
def _decoder(cls: Any) -> Decoder | None:
    cls = _bare(cls)
    origin = typing.get_origin(cls) or cls
    if origin in (dict, Any, object) or typing.is_typeddict(origin):
        return None
    inner = _library(cls)
    if inner is None and isinstance(origin, type) and _is_filled(origin):
        from ._native import loads

        fill = _object(cls, {})
        return _guarded(cls, lambda raw: fill(loads(raw)))
    if inner is None:
        raise _unfit(cls)
    members = _unset(cls, {})
    return _guarded(cls, inner if not isinstance(members, dict) else _without_unset(inner, members))


def _unfit(cls: Any) -> TypeError:
    fitting = "a dataclass, a class of attrs, a TypedDict, or a model of pydantic or msgspec"
    return TypeError(f"records cannot become {_name(cls)}: pass {fitting}")


def _library(cls: Any) -> Decoder | None:
    """What pydantic or msgspec decode a record with, if the type is theirs."""
    if hasattr(cls, "model_validate_json"):
        return cls.model_validate_json
    if hasattr(cls, "__pydantic_validator__"):
        return lambda raw: cls.__pydantic_validator__.validate_json(raw)
    if _is_struct(cls):
        import msgspec

        return msgspec.json.Decoder(cls).decode
    return None


def _without_unset(inner: Decoder, members: dict[str, Any]) -> Decoder:
    from ._native import without_unset

    return lambda raw: inner(without_unset(raw, members) or raw)


def _guarded(cls: Any, inner: Decoder) -> Decoder:
    def decode(raw: bytes) -> Any:
        try:
            return inner(raw)
        except Exception as error:
            fix = "Make the type as the server's records are. Where `fields` leaves some out, give them defaults."
            message = f"the record is no {_name(cls)}: {_why(error)}"
            raise DecodeError(message, fix=fix, body=raw.decode(errors="replace")) from error

    return decode


def _why(error: Any) -> str:
    if isinstance(error, _Misfit):
        return str(error)
    if hasattr(error, "errors") and hasattr(error, "title"):
        # Of pydantic. The inputs are left out: they may be anything.
        first: dict[str, Any] = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"{_path(first['loc'])}{first['msg']}"
    return f"{error}" if type(error).__module__ == "msgspec" else f"{type(error).__name__}: {error}"


class _Misfit(Exception):  # noqa: N818  (it never leaves this module as it is)
    """A value that does not fit its type, and where it stands."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.path: list[str | int] = []

    def __str__(self) -> str:
        return _path(self.path) + str(self.args[0])


def _path(parts: typing.Iterable[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.lstrip(".") + ": " if text else ""


def _name(cls: Any) -> str:
    name = str(getattr(cls, "__name__", None) or cls)
    args = typing.get_args(cls) if isinstance(typing.get_origin(cls), type) else ()
    return f"{name}[{', '.join(map(_name, args))}]" if args else name


def _expected(what: str, value: Any) -> _Misfit:
    if value is None:
        return _Misfit(f"expected {what}, not null")
    return _Misfit(f"expected {what}, not {'an empty text' if value == '' else _name(type(value))}")


# Dataclasses, and classes of attrs.


def _is_filled(cls: Any) -> bool:
    return hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")


def _object(cls: Any, memo: dict[Any, _Convert]) -> _Convert:
    """What makes one of an object. `memo` has those that are being compiled: a type may hold itself."""
    if cls in memo:
        return memo[cls]
    make = typing.get_origin(cls) or cls
    fields: list[tuple[str, str, _Convert | None, bool]] = []

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise _expected(f"an object for {_name(cls)}", value)
        given, name = {}, ""
        try:
            for name, argument, each, is_required in fields:
                if name in value:
                    given[argument] = value[name] if each is None else each(value[name])
                elif is_required:
                    raise _Misfit("it is missing")
        except _Misfit as misfit:
            misfit.path.insert(0, name)
            raise
        return make(**given)

    memo[cls] = convert
    arguments = _arguments_of_attrs if hasattr(make, "__attrs_attrs__") else _arguments
    for name, argument, hint, is_required in arguments(make, _hints(cls)):
        try:
            fields.append((name, argument, _converter(hint, memo), is_required))
        except TypeError as error:
            raise TypeError(f"{_name(cls)}.{name}: {error}") from None
    return convert


_Argument = tuple[str, str, Any, bool]
"""A field's name, what the class is given it as, its type, and whether it has to be there."""


def _arguments(cls: Any, hints: dict[str, Any]) -> list[_Argument]:
    from dataclasses import MISSING, fields

    return [
        (field.name, field.name, hints[field.name], field.default is MISSING and field.default_factory is MISSING)
        for field in fields(cls)
        if field.init
    ]


def _arguments_of_attrs(cls: Any, hints: dict[str, Any]) -> list[_Argument]:
    from attr import NOTHING

    def hint(field: Any) -> Any:
        # A converter of the class's own wants what the server sent.
        return Any if field.converter else hints.get(field.name, field.type or Any)

    return [
        (field.name, getattr(field, "alias", None) or field.name.lstrip("_"), hint(field), field.default is NOTHING)
        for field in cls.__attrs_attrs__
        if field.init
    ]


def _hints(cls: Any) -> dict[str, Any]:
    """The types of the members of a class, with what its type variables stand for: those of `Page[int]`."""
    origin = typing.get_origin(cls) or cls
    given: dict[Any, Any] = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(cls), strict=False))
    hints = {name: _given(hint, given) for name, hint in typing.get_type_hints(origin).items()}
    # A base has its own variables, also where they are named as those here.
    for base in reversed(vars(origin).get("__orig_bases__", origin.__bases__)):
        of = typing.get_origin(base) or base
        if isinstance(of, type) and of not in (typing.Generic, typing.Protocol):
            hints |= {name: hint for name, hint in _hints(_given(base, given)).items() if name not in origin.__annotations__}
    return hints


def _given(hint: Any, given: dict[Any, Any]) -> Any:
    if isinstance(hint, typing.TypeVar):
        return given.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ()) if typing.get_origin(hint) is not None else ()
    return hint[tuple(given.get(one, one) for one in parameters)] if parameters else hint


def _converter(hint: Any, memo: dict[Any, _Convert]) -> _Convert | None:
    """What checks and converts a value for this type; none where any value will do."""
    hint = _bare(hint)
    origin = typing.get_origin(hint) or hint
    if origin in (Any, object, None.__class__) or isinstance(origin, typing.TypeVar):
        return None if origin is not None.__class__ else _null
    if _members(hint):
        return _union(hint, memo)
    if origin is typing.Literal:
        return _one_of(typing.get_args(hint))
    if typing.is_typeddict(origin):
        return _exact(dict)
    if isinstance(origin, type):
        found = _of_class(hint, origin, memo)
        if found is not None:
            return found
    raise TypeError(f"records have nothing that fits {hint!r}")


def _of_class(hint: Any, cls: type[Any], memo: dict[Any, _Convert]) -> _Convert | None:
    from enum import Enum

    if cls in (str, bool):
        return _exact(cls)
    if cls is int:
        return _int
    if cls is float:
        return _float
    if issubclass(cls, Enum):
        return _parsed(cls, cls)
    special = _specials().get(cls)
    if special is not None:
        return _parsed(cls, special)
    library = _nested_library(hint if _is_struct(hint) else cls)
    if library is not None:
        return _parsed(cls, library)
    if _is_filled(cls):
        return _object(hint, memo)
    if issubclass(cls, (str, int, float)):
        return _parsed(cls, cls)
    return _collection(hint, cls, memo)


def _nested_library(cls: Any) -> _Convert | None:
    if hasattr(cls, "model_validate"):
        return cls.model_validate
    if hasattr(cls, "__pydantic_validator__"):
        return lambda value: cls.__pydantic_validator__.validate_python(value)
    if _is_struct(cls):
        import msgspec

        return lambda value: msgspec.convert(value, cls)
    return None


@lru_cache(maxsize=1)
def _specials() -> dict[type[Any], _Convert]:
    from datetime import date, datetime, time
    from decimal import Decimal
    from pathlib import Path
    from uuid import UUID

    def moment(value: str) -> datetime:
        # Before Python 3.11 `fromisoformat` knows no Z.
        return datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith(("Z", "z")) else value)

    def number(value: Any) -> Decimal:
        if isinstance(value, bool):
            raise TypeError
        return Decimal(str(value))

    return {
        datetime: moment,
        date: lambda value: moment(value).date(),
        time: time.fromisoformat,
        Decimal: number,
        UUID: UUID,
        Path: Path,
    }


def _exact(cls: type[Any]) -> _Convert:
    def convert(value: Any) -> Any:
        if type(value) is cls:
            return value
        raise _expected(cls.__name__, value)

    return convert


def _int(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    raise _expected("int", value)


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    raise _expected("float", value)


def _null(value: Any) -> None:
    if value is not None:
        raise _expected("null", value)


def _one_of(values: tuple[Any, ...]) -> _Convert:
    def convert(value: Any) -> Any:
        for known in values:
            if known == value and type(known) is type(value):
                return value
        raise _Misfit(f"expected one of {', '.join(map(repr, values))}, not {value!r}")

    return convert


def _parsed(cls: type[Any], parse: _Convert) -> _Convert:
    def convert(value: Any) -> Any:
        try:
            return parse(value)
        except _Misfit:
            raise
        except Exception as error:
            raise _expected(cls.__name__, value) from error

    return convert


def _collection(hint: Any, cls: type[Any], memo: dict[Any, _Convert]) -> _Convert | None:
    from collections import abc

    args = typing.get_args(hint)
    if issubclass(cls, abc.Mapping):
        made = dict if cls in (abc.Mapping, abc.MutableMapping, dict) else None
        return made and _map(_converter(args[1], memo) if args else None)
    if cls is tuple and args and args[-1] is not Ellipsis:
        return _tuple([_converter(arg, memo) for arg in args])
    kinds: dict[Any, type[Any]] = {list: list, tuple: tuple, set: set, frozenset: frozenset, abc.Set: set, abc.MutableSet: set}
    kinds |= dict.fromkeys((abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable), list)
    made = kinds.get(cls)
    return made and _list(made, _converter(args[0], memo) if args else None)


def _list(cls: type[Any], each: _Convert | None) -> _Convert:
    def convert(value: Any) -> Any:
        if type(value) is not list:
            raise _expected("a list", value)
        if each is None:
            return value if cls is list else cls(value)
        out: list[Any] = []
        try:
            for item in value:
                out.append(each(item))  # noqa: PERF401  (its length says where an error is)
        except _Misfit as misfit:
            misfit.path.insert(0, len(out))
            raise
        return out if cls is list else cls(out)

    return convert


def _tuple(each: list[_Convert | None]) -> _Convert:
    def convert(value: Any) -> Any:
        if type(value) is not list or len(value) != len(each):
            raise _expected(f"a list of {len(each)}", value)
        return tuple(item if one is None else one(item) for one, item in zip(each, value, strict=True))

    return convert


def _map(each: _Convert | None) -> _Convert:
    def convert(value: Any) -> Any:
        if type(value) is not dict:
            raise _expected("an object", value)
        if each is None:
            return value
        out, name = {}, ""
        try:
            for name, item in value.items():
                out[name] = each(item)
        except _Misfit as misfit:
            misfit.path.insert(0, name)
            raise
        return out

    return convert


def _union(hint: Any, memo: dict[Any, _Convert]) -> _Convert | None:
    members = _members(hint)
    has_none, is_blank = type(None) in members, _is_blank(members)
    kinds = [member for member in members if member is not type(None)]
    as_they_are = {kind for kind in kinds if kind in (str, int, float, bool)}
    converters = [_converter(kind, memo) for kind in kinds]
    if None in converters:
        return None
    only = converters[0] if len(converters) == 1 else None

    def convert(value: Any) -> Any:
        if type(value) in as_they_are:
            return value
        if has_none and (value is None or (is_blank and value == "")):
            return None
        if only is not None:
            return only(value)
        for each in converters:
            try:
                return each and each(value)
            except _Misfit:
                continue
        raise _expected(" or ".join(map(_name, kinds)), value)

    return convert


# Types.


def _bare(hint: Any) -> Any:
    """The type without its names and notes."""
    while True:
        if typing.get_origin(hint) in (typing.Annotated, typing.Final):
            hint = typing.get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif type(typing.get_origin(hint)).__name__ == "TypeAliasType":
            alias = typing.get_origin(hint)
            hint = _given(alias.__value__, dict(zip(alias.__type_params__, typing.get_args(hint), strict=False)))
        else:
            return hint


def _members(hint: Any) -> tuple[Any, ...]:
    """What a union is of; nothing where it is none."""
    from types import UnionType

    return tuple(map(_bare, typing.get_args(hint))) if typing.get_origin(hint) in (typing.Union, UnionType) else ()


def _is_blank(members: tuple[Any, ...]) -> bool:
    """Does an empty text stand for no value of this union? It does where `None` is allowed and no empty text."""
    from enum import Enum

    def takes_no_blank(member: Any) -> bool:
        if typing.get_origin(member) is typing.Literal:
            return "" not in typing.get_args(member)
        if not isinstance(member, type):
            return False
        if issubclass(member, Enum):
            return all(known.value != "" for known in member)
        return member in _specials()

    others = [member for member in members if member is not type(None)]
    return len(others) < len(members) and all(map(takes_no_blank, others))


def _unset(hint: Any, memo: dict[Any, dict[str, Any]]) -> Any:
    """Where an empty text is no value.

    True for the value itself, the members of an object, or in a tuple those of each item; none where it is nowhere so.
    """
    hint = _bare(hint)
    members = _members(hint)
    if members:
        inside = (_unset(member, memo) for member in members)
        return _is_blank(members) or next((found for found in inside if found), None)
    args = typing.get_args(hint)
    fields = _fields(hint)
    if fields is None:
        found = _unset(args[-1] if args[-1] is not Ellipsis else args[0], memo) if args else None
        return (found,) if found else None
    if hint not in memo:
        memo[hint] = {}
        for name, of in fields:
            found = _unset(of, memo)
            if found:
                memo[hint][name] = found
    return memo[hint] or None


def _fields(cls: Any) -> list[tuple[str, Any]] | None:
    """The members of a model's JSON, and their types; none where it is no model."""
    if _is_struct(cls):
        import msgspec

        return [(field.encode_name, field.type) for field in msgspec.structs.fields(cls)]
    found = getattr(cls, "__pydantic_fields__", None)
    if found is not None:
        return [(name, field.annotation) for key, field in found.items() for name in _aliases(key, field)]
    origin = typing.get_origin(cls) or cls
    if _is_filled(origin) or typing.is_typeddict(origin):
        return list(_hints(cls).items())
    return None


def _is_struct(cls: Any) -> bool:
    """Is it of msgspec? `Struct[int]` is."""
    return hasattr(typing.get_origin(cls) or cls, "__struct_fields__")


def _aliases(name: str, field: Any) -> list[str]:
    alias = field.validation_alias or field.alias
    choices = getattr(alias, "choices", [alias])
    return [name, *(choice for choice in choices if isinstance(choice, str))]
