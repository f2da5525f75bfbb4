"""The records as the pages use them. What a record has beside these fields is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class Author:
    """Who pinned a picture; of the collection `users`."""

    id: str
    name: str = ""


@dataclass
class Expanded:
    """The records that a post refers to, as far as the visitor may see them."""

    author: Author | None = None


@dataclass
class Post:
    """A picture with words; of the collection `posts`."""

    id: str
    title: str
    created: datetime
    body: str = ""
    cover: str = ""
    status: str = ""
    author: str = ""
    expand: Expanded = field(default_factory=Expanded)

    @property
    def by(self) -> str:
        """The author's name; empty where it may not be seen."""
        return self.expand.author.name if self.expand.author else ""
