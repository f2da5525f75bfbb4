"""Sign-up, sign-in, sign-out."""

from __future__ import annotations

import re

from flask import Blueprint, redirect, render_template, request, url_for
from picobase import ConflictError, ForbiddenError, MfaRequiredError, UnauthorizedError, ValidationError
from werkzeug.wrappers import Response

from .forms import Form, Page
from .visitor import db

blueprint = Blueprint("accounts", __name__)


@blueprint.route("/sign-up", methods=["GET", "POST"])
def sign_up() -> Page:
    """A form for a new member."""
    form = Form.sent("name", "email", "password")
    if request.method == "POST":
        email = form.values["email"]
        try:
            session = db().auth.sign_up(email, request.form.get("password", ""), {"name": form.values["name"]})
        except (ValidationError, ConflictError) as error:
            form.refuse(error)
        else:
            if session:
                return redirect(url_for("posts.index"), 303)
            db().auth.request_verification(email)
            return render_template("message.html", title="Look into your mail", advice=f"We have written to {email}.")
    return form.page("sign_up.html")


@blueprint.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Page:
    """A form for members; afterwards they are where they wanted to go."""
    form = Form.sent("email", "password")
    if request.method == "POST":
        try:
            db().auth.sign_in(form.values["email"], request.form.get("password", ""))
            return redirect(next_page(), 303)
        except (ValidationError, UnauthorizedError):
            form.error = "This address and this password do not belong together."
        except ForbiddenError as error:  # The rule of the collection: an address that is not verified, for example.
            form.refuse(error)
        except MfaRequiredError:
            form.error = "This account has a second step to sign in, which this board does not know."
    return form.page("sign_in.html", next=next_page(), ended="ended" in request.args)


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """Forgets the session: the cookie goes with the answer."""
    db().auth.sign_out()
    return redirect(url_for("posts.index"), 303)


def next_page() -> str:
    """Where to go after signing in: a page of ours, whatever the address says."""
    wanted = request.values.get("next", "")
    return wanted if re.fullmatch(r"/(?![/\\])[!-~]*", wanted) else url_for("posts.index")
