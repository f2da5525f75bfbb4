"""`/notes`: the notes of the member who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from ..models import Note, NoteDraft, Page
from ..repositories import NoteRepository
from ..repositories.on_picobase import PicoBaseNotes
from ..visitors import Member
from . import PageNumber, PerPage, Words

router = APIRouter(prefix="/notes", tags=["notes"])


async def notes(member: Member) -> NoteRepository:
    """Where the member's notes are kept. This is the line to change, or to override, for another place."""
    return PicoBaseNotes(member.client, member.id)


Notes = Annotated[NoteRepository, Depends(notes)]


@router.get("")
async def list_notes(notes: Notes, page: PageNumber = 1, per_page: PerPage = 20, q: Words = "") -> Page[Note]:
    """A page of notes, the newest first."""
    return await notes.page(page, per_page, q)


@router.post("", status_code=201)
async def add_note(notes: Notes, draft: NoteDraft) -> Note:
    """Writes a note."""
    return await notes.add(draft)


@router.get("/{id}")
async def get_note(notes: Notes, id: str) -> Note:
    """One note."""
    return await notes.get(id)


@router.put("/{id}")
async def change_note(notes: Notes, id: str, draft: NoteDraft) -> Note:
    """Writes another text into a note."""
    return await notes.change(id, draft)


@router.delete("/{id}", status_code=204)
async def remove_note(notes: Notes, id: str) -> None:
    """Deletes a note."""
    await notes.remove(id)
