"""`/posts`: everyone reads them, members write them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, UploadFile
from fastapi.responses import RedirectResponse

from ..models import Page, Post, PostChange, PostDraft
from ..repositories import PostRepository
from ..repositories.on_picobase import PicoBasePosts
from ..visitors import AnyVisitor, member
from . import PageNumber, PerPage, Words

router = APIRouter(prefix="/posts", tags=["posts"])
members_only = [Depends(member)]


async def posts(visitor: AnyVisitor) -> PostRepository:
    """Where posts are kept, with what the visitor may do."""
    return PicoBasePosts(visitor.client, visitor.id)


Posts = Annotated[PostRepository, Depends(posts)]


@router.get("")
async def list_posts(posts: Posts, page: PageNumber = 1, per_page: PerPage = 20, q: Words = "") -> Page[Post]:
    """A page of posts, the newest first."""
    return await posts.page(page, per_page, q)


@router.post("", status_code=201, dependencies=members_only)
async def add_post(posts: Posts, draft: PostDraft) -> Post:
    """Writes a post."""
    return await posts.add(draft)


@router.get("/{id}")
async def get_post(posts: Posts, id: str) -> Post:
    """One post."""
    return await posts.get(id)


@router.patch("/{id}", dependencies=members_only)
async def change_post(posts: Posts, id: str, change: PostChange) -> Post:
    """Changes the fields that are given."""
    return await posts.change(id, change)


@router.delete("/{id}", status_code=204, dependencies=members_only)
async def remove_post(posts: Posts, id: str) -> None:
    """Deletes a post and its files."""
    await posts.remove(id)


@router.post("/{id}/attachments", status_code=201, dependencies=members_only)
async def attach(posts: Posts, id: str, file: UploadFile) -> Post:
    """Adds a file to a post."""
    return await posts.attach(id, file)


@router.get("/{id}/attachments/{name}", status_code=307)
async def get_attachment(posts: Posts, id: str, name: str) -> RedirectResponse:
    """Sends the reader to the instance, which has the file."""
    return RedirectResponse(posts.file_url(id, name))
