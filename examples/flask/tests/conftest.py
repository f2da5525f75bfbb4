"""A server of the tests' own with the board's collections, and visitors with a browser each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from app import create_app
from helpers import Arrive, Visitor
from support.kit import Proxy, Server, Testkit


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    kit = Testkit()
    server = kit.server()
    # As on a new instance: no posts before.
    for name in ("posts_view", "posts"):
        server.admin("DELETE", f"/api/collections/{name}")
    for outcome in ("posts: made\nusers: authors can be seen\n", "posts: is there"):
        app = create_app({"PICOBASE_URL": server.url, "PICOBASE_API_KEY": ""})
        root = kit.info["superuser"]
        done = app.test_cli_runner().invoke(args=["setup", "--email", root["email"], "--password", root["password"]])
        assert done.exit_code == 0, done.output
        assert outcome in done.output
    yield server
    kit.end()


@pytest.fixture
def proxy(server: Server) -> Proxy:
    """What stands between board and instance, without faults and with an empty log."""
    server.proxy.faults()
    server.proxy.forget()
    return server.proxy


@pytest.fixture
def arrive(proxy: Proxy) -> Arrive:
    """Makes visitors of one board; `config` is that of the board, when the first comes."""
    made: list[Flask] = []

    def arrive(name: str = "", **config: Any) -> Visitor:
        if not made:
            made.append(create_app({"PICOBASE_URL": proxy.url, "PICOBASE_API_KEY": "", **config}))
        visitor = Visitor(made[0].test_client())
        if name:
            visitor.sign_up(name)
        return visitor

    return arrive
