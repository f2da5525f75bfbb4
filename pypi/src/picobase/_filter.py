"""Filters with values put in safely."""

from __future__ import annotations

from . import _native
from ._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def filter(template: str, params: Mapping[str, Any] | None = None, /) -> str:
    """Puts values into the `{:name}` placeholders of a filter, so that they can only ever be values.

    It writes filters for servers of version 0.39.9 and newer. `Client.filter` knows the client's `server_version`.

    ```python
    import picobase
    from picobase import Client

    def search(client: Client, word: str) -> None:
        wanted = picobase.filter("title ~ {:word} && n > {:n}", {"word": word, "n": 3})
        for post in client.collection("posts").get_list(filter=wanted):
            print(post["title"])
    ```

    Args:
        template: The filter. A placeholder stands without quotes: the value brings its own.
        params: The values by name: text, numbers, booleans, `None`, dates, enums, UUIDs.

    Raises:
        ValidationError: A placeholder has no value or stands inside quotes, or a value cannot be written.
    """
    return _native.filter(template, params)
