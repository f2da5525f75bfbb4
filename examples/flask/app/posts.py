"""The board, and the pages of a post."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from picobase import Collection, ConflictError, ValidationError

from .forms import Form, Page
from .models import Post
from .visitor import db, signed_in, user_id

blueprint = Blueprint("posts", __name__)

MOST_WORDS = 8
LAST_PAGE = 10_000


@blueprint.get("/")
def index() -> str:
    """A page of the board, newest first, perhaps of what has certain words in it."""
    sought = request.args.get("q", "")[:100].strip()
    page = request.args.get("page", 1, type=int)
    found = posts().get_list(
        min(max(page, 1), LAST_PAGE),
        current_app.config["PER_PAGE"],
        filter=having(sought.split()[:MOST_WORDS]),
        sort="-created,id",
        expand="author",
    )
    return render_template("index.html", found=found, sought=sought)


@blueprint.get("/posts/<id>")
def show(id: str) -> str:
    """One post."""
    return render_template("post.html", post=posts().get_one(id, expand="author"), me=user_id())


@blueprint.route("/posts/new", methods=["GET", "POST"])
@signed_in
def new() -> Page:
    """A form for a new post."""
    form = Form.sent("title", "body", "status", "cover")
    if request.method == "POST":
        try:
            # Should its answer be lost on the way, it can be sent again without making a second post.
            made = posts().create(written(form) | {"author": user_id()}, safe_retry=True)
            return redirect(url_for(".show", id=made.id), 303)
        except (ValidationError, ConflictError) as error:
            form.refuse(error)
    return form.page("write.html", post=None)


@blueprint.route("/posts/<id>/edit", methods=["GET", "POST"])
@signed_in
def edit(id: str) -> Page:
    """A form to change one's own post."""
    post = own(id)
    form = Form({"title": post.title, "body": post.body, "status": post.status, "cover": ""})
    if request.method == "POST":
        form = Form.sent("title", "body", "status", "cover")
        try:
            posts().update(id, written(form))
            return redirect(url_for(".show", id=id), 303)
        except (ValidationError, ConflictError) as error:
            form.refuse(error)
    return form.page("write.html", post=post)


@blueprint.route("/posts/<id>/delete", methods=["GET", "POST"])
@signed_in
def delete(id: str) -> Page:
    """A page that asks once more before one's own post is gone."""
    post = own(id)
    if request.method == "POST":
        posts().delete(id)
        return redirect(url_for(".index"), 303)
    return render_template("delete.html", post=post)


@blueprint.app_template_global()
def picture(post: Post, thumb: str | None = None) -> str:
    """The address of a post's picture, at the instance itself."""
    return db().files.url(("posts", post.id), post.cover, thumb=thumb)


def posts() -> Collection[Post]:
    """The posts that the visitor may see."""
    return db().collection("posts", Post)


def having(words: list[str]) -> str | None:
    """A filter for posts that have all these words. What visitors write goes into placeholders and nowhere else."""
    places = [f"(title ~ {{:w{n}}} || body ~ {{:w{n}}})" for n in range(len(words))]
    return db().filter(" && ".join(places), {f"w{n}": word for n, word in enumerate(words)}) if words else None


def own(id: str) -> Post:
    """The post, if it is the visitor's. This is for the pages: it is the instance's rules that keep posts safe."""
    post = posts().get_one(id)
    if post.author != user_id():
        abort(403, "This post is somebody else's.")
    return post


def written(form: Form) -> dict[str, Any]:
    """What a form says of a post. A picture goes on to the instance as it came, in constant memory."""
    body: dict[str, Any] = {name: form.values[name] for name in ("title", "body")}
    body["status"] = "draft" if form.values["status"] == "draft" else "published"
    picture = request.files.get("cover")
    if picture:
        body["cover"] = picture
    elif "remove_cover" in request.form:
        body["cover"] = None
    return body
