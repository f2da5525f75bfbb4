"""Where notes and posts are kept, as the routes see it: what can be asked of it, not how it is done.

What goes wrong is said by the errors of `picobase`, whatever does the work: `errors.py` makes answers of them.
"""

from __future__ import annotations

from typing import Protocol

from fastapi import UploadFile

from ..models import Note, NoteDraft, Page, Post, PostChange, PostDraft


class NoteRepository(Protocol):
    """The notes of one member. Those of others are not found."""

    async def page(self, page: int, per_page: int, words: str) -> Page[Note]:
        """The newest notes that have these words in them; all, where there are none."""

    async def get(self, id: str) -> Note:
        """One note."""

    async def add(self, draft: NoteDraft) -> Note:
        """Writes a new one."""

    async def change(self, id: str, draft: NoteDraft) -> Note:
        """Writes another text into a note."""

    async def remove(self, id: str) -> None:
        """Deletes a note."""


class PostRepository(Protocol):
    """The posts, as one visitor may read and change them."""

    async def page(self, page: int, per_page: int, words: str) -> Page[Post]:
        """The newest posts that have these words in title or text; all, where there are none."""

    async def get(self, id: str) -> Post:
        """One post."""

    async def add(self, draft: PostDraft) -> Post:
        """Writes a new one, with the visitor as its author."""

    async def change(self, id: str, change: PostChange) -> Post:
        """Changes a post."""

    async def remove(self, id: str) -> None:
        """Deletes a post and its files."""

    async def attach(self, id: str, file: UploadFile) -> Post:
        """Adds a file to those of a post."""

    def file_url(self, id: str, name: str) -> str:
        """Where a file of a post can be fetched."""
