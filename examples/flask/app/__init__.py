"""A picture board: visitors look and search, members sign in and pin pictures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Flask
from picobase import Client

from . import accounts, errors, posts, security, setup, visitor

DEFAULTS = {
    # None: the environment variables of the same names.
    "PICOBASE_URL": None,
    "PICOBASE_API_KEY": None,
    # How long a visitor waits for a sleeping instance before a page says so, in seconds.
    "COLD_START_TIMEOUT": 8.0,
    "PER_PAGE": 12,
    # A picture of 10 MB, and what is around it in the form.
    "MAX_CONTENT_LENGTH": 11 * 1024 * 1024,
}


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Makes the program.

    Args:
        config: What differs from `DEFAULTS`; the environment can say it too, as `BOARD_PER_PAGE=24`.

    Raises:
        RuntimeError: Nobody said where the instance is.
    """
    app = Flask(__name__)
    app.config.from_mapping(DEFAULTS)
    app.config.from_prefixed_env("BOARD")
    app.config.from_mapping(config or {})

    # One for the process and all its threads: it holds the connections, and nobody's session.
    client = Client(
        app.config["PICOBASE_URL"],
        app.config["PICOBASE_API_KEY"],
        cold_start_timeout=app.config["COLD_START_TIMEOUT"],
    )
    if client.url is None:
        raise RuntimeError("Set PICOBASE_URL to the address of your instance.")

    app.extensions["picobase"] = client
    app.add_template_filter(day)
    for part in (security, visitor, errors, setup):
        part.init_app(app, client)
    app.register_blueprint(posts.blueprint)
    app.register_blueprint(accounts.blueprint)
    return app


def day(moment: datetime) -> str:
    """A date as people write it: 5 May 2026."""
    return f"{moment.day} {moment:%B %Y}"
