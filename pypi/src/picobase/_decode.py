"""How the bytes of a record become an object of the type that a collection was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Decoder = Callable[[bytes], Any]


def decoder(cls: type[Any] | None) -> Decoder | None:
    """What makes a `cls` of a record's bytes; none where records are plain dicts."""
    return None
