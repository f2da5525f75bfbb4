"""The records as they are read, and what may be written of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints

T = TypeVar("T")

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]*$", max_length=120)]
Body = Annotated[str, StringConstraints(max_length=10_000)]


class Written(BaseModel):
    """What visitors send: a field that nobody knows is a mistake of theirs, and is told."""

    model_config = ConfigDict(extra="forbid")


class Note(BaseModel):
    """A note that only its owner sees; of the collection `private_notes`."""

    id: str
    owner: str
    body: str
    created: datetime
    updated: datetime


class NoteDraft(Written):
    """What is written into a note."""

    body: Annotated[Body, StringConstraints(min_length=1)]


class Post(BaseModel):
    """A post for all; of the collection `posts`.

    Attributes:
        slug: A readable name, which no two posts share; it may be empty.
        attachments: The names of its files.
        author: The id of whoever wrote it.
    """

    id: str
    title: str
    slug: str
    body: str
    attachments: list[str]
    author: str
    created: datetime
    updated: datetime


class PostDraft(Written):
    """A new post."""

    title: Title
    slug: Slug = ""
    body: Body = ""


class PostChange(Written):
    """What changes in a post: the fields that are given, and no others."""

    title: Title | None = None
    slug: Slug | None = None
    body: Body | None = None


class Page(BaseModel, Generic[T]):
    """One page of a list.

    Attributes:
        items: What is on it.
        page: Which one it is, counted from 1.
        per_page: How much a page has at most.
        total: How much there is on all pages.
    """

    items: list[T]
    page: int
    per_page: int
    total: int


class Refused(BaseModel):
    """Why a field was refused, in the form in which FastAPI itself says it."""

    type: str
    loc: tuple[str, ...]
    msg: str


class Problem(BaseModel):
    """What every answer is that is none: a sentence, or the fields that were refused."""

    detail: str | list[Refused]
