"""Notes and posts on a PicoBase instance. The rules of its collections decide who may see and change what."""

from __future__ import annotations

from fastapi import UploadFile
from picobase import AsyncClient, ListResult

from ..models import Note, NoteDraft, Page, Post, PostChange, PostDraft, T

# The newest first. Those of the same moment need an order too, or pages would share some and miss others.
NEWEST = "-created,id"


class PicoBaseNotes:
    """The notes of the member whose client this is.

    Args:
        client: A client with the member's session.
        owner: The member's id.
    """

    def __init__(self, client: AsyncClient, owner: str) -> None:
        self._client = client
        self._notes = client.collection("private_notes", Note)
        self._owner = owner

    async def page(self, page: int, per_page: int, words: str) -> Page[Note]:
        """See `NoteRepository`."""
        # What visitors write goes into placeholders: there it can only ever be a value.
        having = self._client.filter("body ~ {:words}", {"words": words}) if words else None
        return _page(await self._notes.get_list(page, per_page, filter=having, sort=NEWEST))

    async def get(self, id: str) -> Note:
        """See `NoteRepository`."""
        return await self._notes.get_one(id)

    async def add(self, draft: NoteDraft) -> Note:
        """See `NoteRepository`."""
        # Should its answer be lost on the way, it is sent again without making a second note.
        return await self._notes.create({**draft.model_dump(), "owner": self._owner}, safe_retry=True)

    async def change(self, id: str, draft: NoteDraft) -> Note:
        """See `NoteRepository`."""
        return await self._notes.update(id, draft, safe_retry=True)

    async def remove(self, id: str) -> None:
        """See `NoteRepository`."""
        await self._notes.delete(id)


class PicoBasePosts:
    """The posts, with what the visitor whose client this is may do.

    Args:
        client: A client with the visitor's session, or a guest's.
        author: The visitor's id; empty for guests.
    """

    def __init__(self, client: AsyncClient, author: str) -> None:
        self._client = client
        self._posts = client.collection("posts", Post)
        self._author = author

    async def page(self, page: int, per_page: int, words: str) -> Page[Post]:
        """See `PostRepository`."""
        having = self._client.filter("title ~ {:words} || body ~ {:words}", {"words": words}) if words else None
        return _page(await self._posts.get_list(page, per_page, filter=having, sort=NEWEST))

    async def get(self, id: str) -> Post:
        """See `PostRepository`."""
        return await self._posts.get_one(id)

    async def add(self, draft: PostDraft) -> Post:
        """See `PostRepository`."""
        return await self._posts.create({**draft.model_dump(), "author": self._author}, safe_retry=True)

    async def change(self, id: str, change: PostChange) -> Post:
        """See `PostRepository`."""
        # Of a model only what was set is sent.
        return await self._posts.update(id, change, safe_retry=True)

    async def remove(self, id: str) -> None:
        """See `PostRepository`."""
        await self._posts.delete(id)

    async def attach(self, id: str, file: UploadFile) -> Post:
        """See `PostRepository`."""
        # It is read as it goes out, in constant memory.
        return await self._posts.update(id, {"attachments+": file})

    def file_url(self, id: str, name: str) -> str:
        """See `PostRepository`."""
        return self._client.files.url(("posts", id), name)


def _page(found: ListResult[T]) -> Page[T]:
    return Page(items=found.items, page=found.page, per_page=found.per_page, total=found.total_items)
