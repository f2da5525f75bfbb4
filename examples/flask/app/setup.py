"""`flask --app app setup`: makes what the board needs in an instance."""

from __future__ import annotations

from typing import Any

import click
from flask import Flask
from picobase import Client, NotFoundError

OWN = '@request.auth.id != "" && author = @request.auth.id'
SEEN = f'status = "published" || ({OWN})'
USERS = "_pb_users_auth_"  # the id of `users` in every instance

POSTS: dict[str, Any] = {
    "name": "posts",
    "type": "base",
    "listRule": SEEN,
    "viewRule": SEEN,
    "createRule": OWN,
    "updateRule": f"{OWN} && @request.body.author:changed = false",
    "deleteRule": OWN,
    "fields": [
        {"name": "title", "type": "text", "required": True, "max": 120},
        {"name": "body", "type": "text", "max": 5000},
        {"name": "status", "type": "select", "values": ["draft", "published"], "maxSelect": 1},
        {
            "name": "cover",
            "type": "file",
            "maxSelect": 1,
            "maxSize": 10 * 1024 * 1024,
            "mimeTypes": ["image/jpeg", "image/png", "image/gif", "image/webp"],
            "thumbs": ["100x100"],
        },
        {"name": "author", "type": "relation", "collectionId": USERS, "maxSelect": 1},
        {"name": "created", "type": "autodate", "onCreate": True},
        {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
    ],
}

# Lets the names of authors be seen. Addresses are not: members show theirs only if they say so.
ONLY_ONESELF = "id = @request.auth.id"
AUTHORS = f'{ONLY_ONESELF} || posts_via_author.status ?= "published"'


def init_app(app: Flask, client: Client) -> None:
    """Registers the command."""

    @app.cli.command("setup")
    @click.option("--email", prompt="Superuser's email", envvar="SUPERUSER_EMAIL")
    @click.option("--password", prompt=True, hide_input=True, envvar="SUPERUSER_PASSWORD")
    def setup(email: str, password: str) -> None:
        """Makes the collection `posts`, and lets authors be seen. What is there stays as it is."""
        root = client.with_session(None)
        root.collection("_superusers").auth.sign_in(email, password)
        try:
            root.collections.get_one("posts")
            click.echo("posts: is there, and stays as it is")
        except NotFoundError:
            root.collections.create(POSTS)
            click.echo("posts: made")
        users = root.collections.get_one(USERS)
        if users["viewRule"] == ONLY_ONESELF:
            root.collections.update(USERS, {"viewRule": AUTHORS})
            click.echo("users: authors can be seen")
        else:
            click.echo(f"users: has a view rule of its own, and keeps it: {users['viewRule']}")
