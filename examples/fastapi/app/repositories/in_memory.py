"""Notes that live as long as the process: for tests, and to try the API without an instance."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from picobase import NotFoundError

from ..models import Note, NoteDraft, Page


class MemoryNotes:
    """The notes of one member.

    Args:
        notes: All notes by id, shared by all members.
        owner: The member's id.
    """

    def __init__(self, notes: dict[str, Note], owner: str) -> None:
        self._notes = notes
        self._owner = owner

    async def page(self, page: int, per_page: int, words: str) -> Page[Note]:
        """See `NoteRepository`."""
        own = [note for note in self._notes.values() if note.owner == self._owner]
        found = [note for note in reversed(own) if words.lower() in note.body.lower()]
        start = (page - 1) * per_page
        return Page(items=found[start : start + per_page], page=page, per_page=per_page, total=len(found))

    async def get(self, id: str) -> Note:
        """See `NoteRepository`."""
        note = self._notes.get(id)
        if note is None or note.owner != self._owner:
            raise NotFoundError("There is no such note.", status=404)
        return note

    async def add(self, draft: NoteDraft) -> Note:
        """See `NoteRepository`."""
        now = datetime.now(UTC)
        note = Note(id=uuid4().hex[:15], owner=self._owner, body=draft.body, created=now, updated=now)
        self._notes[note.id] = note
        return note

    async def change(self, id: str, draft: NoteDraft) -> Note:
        """See `NoteRepository`."""
        changed = {"body": draft.body, "updated": datetime.now(UTC)}
        self._notes[id] = (await self.get(id)).model_copy(update=changed)
        return self._notes[id]

    async def remove(self, id: str) -> None:
        """See `NoteRepository`."""
        await self.get(id)
        del self._notes[id]
