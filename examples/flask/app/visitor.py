"""Who is asking: a client with the session of the visitor's own cookie, for each request."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from flask import Flask, Response, g, request
from picobase import Client, Session

COOKIE = "pb_auth"

P = ParamSpec("P")
R = TypeVar("R")


def init_app(app: Flask, client: Client) -> None:
    """Reads the session before each request, and writes it again after those that changed it."""

    @app.before_request
    def begin() -> None:
        if request.endpoint == "static":
            return
        g.came_with = Session.from_cookies(request.cookies, COOKIE)
        g.db = client.with_session(g.came_with)

    @app.after_request
    def keep(response: Response) -> Response:
        if "db" not in g:
            return response
        # Every page says who is signed in: nothing on the way may keep it for others.
        response.headers["Cache-Control"] = "private, no-cache"
        session = db().auth.session
        if session != g.came_with:
            for cookie in _cookies(session):
                response.headers.add("Set-Cookie", cookie)
        return response

    @app.context_processor
    def names() -> dict[str, Any]:
        return {"user": db().auth.get_user() if "db" in g else None}


def db() -> Client:
    """The client of this request: what it asks, it asks as the visitor."""
    return cast("Client", g.db)


def came_signed_in() -> bool:
    """Did the request bring a session, whatever has become of it?"""
    return "came_with" in g and g.came_with is not None


def signed_in(view: Callable[P, R]) -> Callable[P, R]:
    """A view for members only; others are sent to sign in.

    Whoever sends a cookie can write into it what they like, so the instance is asked: its answer is the session from
    then on, with the record that the instance has.
    """

    @wraps(view)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        db().auth.refresh()  # SessionExpiredError, which `errors` makes a way to the sign-in page
        return view(*args, **kwargs)

    return asked


def user_id() -> str:
    """The id of the member who is signed in; empty for guests."""
    session = db().auth.session
    return session.user_id if session else ""


def _cookies(session: Session | None) -> list[str]:
    # HttpOnly and SameSite=Lax by default. Browsers take a `Secure` cookie over HTTPS only.
    if session is None:
        return Session.removal_cookies(request.cookies, name=COOKIE, secure=request.is_secure)
    return session.to_cookies(request.cookies, name=COOKIE, secure=request.is_secure)
