"""The routes. They know repositories by what they can do, and nothing of what is behind them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

PageNumber = Annotated[int, Query(ge=1, le=10_000)]
PerPage = Annotated[int, Query(ge=1, le=100)]
Words = Annotated[str, Query(max_length=100, description="Words that must be in it.")]
