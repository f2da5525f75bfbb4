"""Runs the service: `python -m app`."""

from __future__ import annotations

import os
import socket
import sys

import uvicorn
from fastapi import FastAPI

from .main import create_app


class Server(uvicorn.Server):
    """A uvicorn that ends its feeds first.

    It waits for its connections before it ends the lifespan, and a feed goes on until somebody ends it.
    """

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        super().__init__(uvicorn.Config(app, host, port))
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the feeds, and then all else."""
        self._app.state.feed.close()
        await super().shutdown(sockets)


def main() -> None:
    """Runs the service until it is told to end."""
    server = Server(create_app(), os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000")))
    try:
        server.run()
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
