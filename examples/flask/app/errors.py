"""Pages for what went wrong. Visitors read what they can do; the log says what the developer can."""

from __future__ import annotations

from math import ceil

import picobase
from flask import Flask, make_response, redirect, render_template, request, url_for
from picobase import Client, PicoBaseError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from .visitor import came_signed_in

# By the class of the error: our status, what happened, what to do.
PAGES: dict[type[PicoBaseError], tuple[int, str, str]] = {
    picobase.NotFoundError: (404, "There is nothing here", "It may have been taken down, or it is not for everyone."),
    picobase.ForbiddenError: (403, "That is not allowed", "Sign in as someone who may do that."),
    picobase.ValidationError: (400, "That cannot be understood", "Go back and write it in another way."),
    picobase.RateLimitedError: (429, "That was a bit much", "Wait for a moment, then try it again."),
    picobase.NetworkError: (502, "The board cannot be reached", "Try it again in a minute."),
    picobase.TimeoutError: (504, "That took too long", "Try it again in a minute."),
}
OTHERWISE = (500, "Something went wrong", "It is not your fault, and it is noted. Try it again later.")

# By the status of what Flask itself refuses.
ADVICE = {
    404: "Look for it on the board.",
    405: "Begin on the board.",
    413: "A picture may have 10 MB. Make it smaller and try it again.",
}


def init_app(app: Flask, client: Client) -> None:
    """Registers the pages."""

    @app.errorhandler(picobase.SessionExpiredError)
    def sign_in(error: picobase.SessionExpiredError) -> Response:
        # Every address that takes a form shows one as well, so that it is a place to come back to.
        here = request.full_path.rstrip("?")
        return redirect(url_for("accounts.sign_in", next=here, ended=1 if came_signed_in() else None), 303)

    @app.errorhandler(picobase.InstanceUnavailableError)
    def waking(error: picobase.InstanceUnavailableError) -> Response:
        seconds = max(2, ceil(error.retry_after or 0))
        again = request.method in ("GET", "HEAD")
        response = make_response(render_template("waking.html", seconds=seconds, again=again), 503)
        response.headers["Retry-After"] = str(seconds)
        return response

    @app.errorhandler(PicoBaseError)
    def failed(error: PicoBaseError) -> Response:
        status, title, advice = next((PAGES[kind] for kind in type(error).__mro__ if kind in PAGES), OTHERWISE)
        log = app.logger.error if status == 500 else app.logger.info
        log("%s %s: %s: %s %s", request.method, request.path, error.kind, error, error.fix)
        response = page(status, title, advice)
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(ceil(error.retry_after))
        return response

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        status = error.code or 500
        if status < 400:
            return error.get_response()
        return page(status, error.name, ADVICE.get(status) or error.description or OTHERWISE[2])


def page(status: int, title: str, advice: str) -> Response:
    """A page that says what happened and what to do."""
    return make_response(render_template("message.html", title=title, advice=advice), status)
