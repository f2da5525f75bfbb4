"""What keeps other sites out: forms come from our own pages, and pages load nothing that is not ours."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, abort, request
from picobase import Client


def init_app(app: Flask, client: Client) -> None:
    """Refuses what other sites send, and says in each answer what a page may do."""
    instance = urlsplit(client.url or "")
    policy = "; ".join(
        [
            "default-src 'none'",
            "style-src 'self'",
            # Pictures come from the instance itself.
            f"img-src 'self' {instance.scheme}://{instance.netloc}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    )

    @app.before_request
    def refuse_other_sites() -> None:
        if request.method not in ("GET", "HEAD", "OPTIONS") and not comes_from_here():
            abort(403, "This form was sent by another site.")

    @app.after_request
    def restrict(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Not `no-referrer`: with it browsers would hide from us where our own forms come from.
        response.headers["Referrer-Policy"] = "same-origin"
        return response


def comes_from_here() -> bool:
    """Was the request made by one of our own pages?

    Browsers say it with every form. It is what makes forms safe here, without tokens in them: SameSite alone would let
    other hosts of the same domain send them.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    # Browsers say that one to HTTPS and localhost only, this one always. Without the scheme: a proxy may end HTTPS.
    return urlsplit(request.headers.get("Origin", "")).netloc == request.host
