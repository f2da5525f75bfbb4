# Derived from _async/services.py by tools/derive.py. Change that one.
"""What superusers may do: collections, settings, logs, backups, scheduled jobs, SQL.

Each method calls one row of the core's endpoint table, by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._types import ListResult
from .files import Download

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from typing_extensions import Unpack

    from .. import _native
    from .._aliases import CallOptions
    from .._files import File, FileSource


class Collections:
    """Collections and their schema, for superusers: `Client.collections`.

    What a collection holds differs by its type and from one server version to the next; it is a dict.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.Native) -> None:
        self._native = native

    def get_list(
        self,
        page: int = 1,
        per_page: int = 30,
        *,
        filter: str | None = None,
        sort: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ListResult[dict[str, Any]]:
        """One page of collections.

        ```python
        from picobase import Client

        def show(client: Client) -> None:
            for collection in client.collections.get_list(1, 20, filter="type = 'auth'"):
                print(collection["name"])
        ```
        """
        given = _listed(options, page=page, perPage=per_page, filter=filter, sort=sort)
        return ListResult._of(self._native.row("collections.get_list", [], None, given))

    def get_full_list(
        self, *, filter: str | None = None, sort: str | None = None, **options: Unpack[CallOptions]
    ) -> list[dict[str, Any]]:
        """All collections, fetched page by page. A `timeout` holds for all of them."""
        return self._native.collections(_listed(options, filter=filter, sort=sort))

    def get_first_list_item(
        self, filter: str, /, *, sort: str | None = None, **options: Unpack[CallOptions]
    ) -> dict[str, Any]:
        """The first collection that the filter finds.

        Raises:
            NotFoundError: It finds none.
        """
        return self._native.first_collection(filter, _listed(options, sort=sort))

    def get_one(self, name: str, /, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """One collection, by its name or id.

        Raises:
            NotFoundError: There is none.
        """
        return self._native.row("collections.get_one", [name], None, options)

    def create(self, body: Any, /, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """Creates a collection.

        ```python
        from picobase import Client

        def set_up(client: Client) -> None:
            title = {"name": "title", "type": "text", "required": True}
            client.collections.create({"name": "posts", "type": "base", "listRule": "", "fields": [title]})
        ```

        Raises:
            ValidationError: The server refused a value; see its `fields`.
        """
        return self._native.row("collections.create", [], body, options)

    def update(self, name: str, body: Any, /, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """Changes a collection: what is in `body` and nothing else.

        Where `fields` is in it, it is the whole list: fields that it leaves out are deleted, with their values.

        Raises:
            ValidationError: The server refused a value; see its `fields`.
        """
        return self._native.row("collections.update", [name], body, options)

    def delete(self, name: str, /, **options: Unpack[CallOptions]) -> None:
        """Deletes a collection and all its records and files.

        Raises:
            ValidationError: Another collection refers to it.
        """
        self._native.row_nothing("collections.delete", [name], None, options)

    def truncate(self, name: str, /, **options: Unpack[CallOptions]) -> None:
        """Deletes all records of a collection, with their files, and what cascades from them. The collection stays."""
        self._native.row_nothing("collections.truncate", [name], None, options)

    def import_(self, collections: Sequence[Any], /, *, delete_missing: bool = False, **options: Unpack[CallOptions]) -> None:
        """Creates and changes collections to be as in this list.

        ```python
        from picobase import Client

        def copy(source: Client, target: Client) -> None:
            target.collections.import_(source.collections.get_full_list())
        ```

        Args:
            collections: The collections.
            delete_missing: Delete all others, and all fields that the list leaves out, with their data.
            **options: See `CallOptions`.

        Raises:
            ValidationError: A value is refused; then nothing has changed.
        """
        body = {"collections": list(collections), "deleteMissing": delete_missing}
        self._native.row_nothing("collections.import", [], body, options)

    def get_scaffolds(self, **options: Unpack[CallOptions]) -> dict[str, dict[str, Any]]:
        """An empty collection of each type, by the name of the type: what a new one starts from."""
        return self._native.row("collections.get_scaffolds", [], None, options)

    def get_oauth2_providers(self, **options: Unpack[CallOptions]) -> list[dict[str, Any]]:
        """The OAuth2 providers that the server knows (0.37 and newer): `name`, `displayName`, `logo`."""
        return self._native.row("collections.get_oauth2_providers", [], None, options)

    def dry_run_view(self, query: str, /, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """The fields and some records that a view with this query would have (server 0.37 and newer).

        Raises:
            ValidationError: The query is wrong.
        """
        return self._native.row("collections.dry_run_view", [], {"query": query}, options)


class Settings:
    """The instance's settings, for superusers: `Client.settings`."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Native) -> None:
        self._native = native

    def get_all(self, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """All settings. Passwords and keys in them are left out."""
        return self._native.row("settings.get_all", [], None, options)

    def update(self, body: Any, /, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """Changes the settings that are in `body` and answers all of them.

        ```python
        from picobase import Client

        def rename(client: Client) -> None:
            client.settings.update({"meta": {"appName": "Acme"}})
        ```

        Raises:
            ValidationError: The server refused a value; see its `fields`.
        """
        return self._native.row("settings.update", [], body, options)

    def test_s3(self, filesystem: str, /, **options: Unpack[CallOptions]) -> None:
        """Tries the S3 connection of `storage` or `backups`.

        Raises:
            ValidationError: It does not work; the message says why.
        """
        self._native.row_nothing("settings.test_s3", [], {"filesystem": filesystem}, options)

    def test_email(self, collection: str, to: str, template: str, /, **options: Unpack[CallOptions]) -> None:
        """Sends a mail of an auth collection as a test.

        Args:
            collection: The collection whose mail it is.
            to: Who gets it.
            template: `verification`, `password-reset`, `email-change`, `otp` or `login-alert`.
            **options: See `CallOptions`.

        Raises:
            ValidationError: It cannot be sent; the message says why.
        """
        body = {"collection": collection, "email": to, "template": template}
        self._native.row_nothing("settings.test_email", [], body, options)

    def generate_apple_client_secret(
        self,
        client_id: str,
        team_id: str,
        key_id: str,
        private_key: str,
        duration: float | timedelta,
        /,
        **options: Unpack[CallOptions],
    ) -> dict[str, Any]:
        """Makes the client secret that Apple's OAuth2 wants; the answer has it as `secret`.

        Args:
            client_id: The id of the service.
            team_id: The id of the team.
            key_id: The id of the key.
            private_key: The text of the `.p8` file.
            duration: How long it lives, in whole seconds, at most six months.
            **options: See `CallOptions`.

        Raises:
            ValidationError: The server refused a value; see its `fields`.
        """
        seconds = duration if isinstance(duration, (int, float)) else duration.total_seconds()
        body = {
            "clientId": client_id,
            "teamId": team_id,
            "keyId": key_id,
            "privateKey": private_key,
            "duration": int(seconds),
        }
        return self._native.row("settings.generate_apple_client_secret", [], body, options)


class Logs:
    """Request logs, for superusers: `Client.logs`.

    An entry is a dict of `id`, `created`, `level`, `message` and `data`; `level` is -4 for debug, 0 for info, 4 for
    warnings, 8 for errors.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.Native) -> None:
        self._native = native

    def get_list(
        self,
        page: int = 1,
        per_page: int = 30,
        *,
        filter: str | None = None,
        sort: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ListResult[dict[str, Any]]:
        """One page of entries.

        ```python
        from picobase import Client

        def failures(client: Client) -> None:
            for entry in client.logs.get_list(1, 50, filter="data.status >= 500", sort="-created"):
                print(entry["created"], entry["message"])
        ```
        """
        given = _listed(options, page=page, perPage=per_page, filter=filter, sort=sort)
        return ListResult._of(self._native.row("logs.get_list", [], None, given))

    def get_one(self, id: str, /, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """One entry.

        Raises:
            NotFoundError: There is none.
        """
        return self._native.row("logs.get_one", [id], None, options)

    def get_stats(self, *, filter: str | None = None, **options: Unpack[CallOptions]) -> list[dict[str, Any]]:
        """How many entries there are of each hour, as `date` and `total`; hours without any are left out."""
        return self._native.row("logs.get_stats", [], None, _listed(options, filter=filter))

    def delete_all(self, **options: Unpack[CallOptions]) -> None:
        """Deletes all entries (server 0.40 and newer)."""
        self._native.row_nothing("logs.delete_all", [], None, options)


class Backups:
    """Backups, for superusers: `Client.backups`."""

    __slots__ = ("_files", "_native")

    def __init__(self, native: _native.Native) -> None:
        self._native = native
        self._files = native.files()

    def get_full_list(self, **options: Unpack[CallOptions]) -> list[dict[str, Any]]:
        """All backups: `key`, `size` in bytes, `modified`."""
        return self._native.row("backups.get_full_list", [], None, options)

    def create(self, name: str = "", /, **options: Unpack[CallOptions]) -> None:
        """Makes a backup. The answer comes when it is complete: with much data give it a `timeout` of minutes.

        Args:
            name: Its key: lower-case letters, digits, `-` and `_`, and `.zip` at the end. The server makes one up for
                an empty one.
            **options: See `CallOptions`.

        Raises:
            ValidationError: The name is refused, or another backup or restore is under way.
        """
        self._native.row_nothing("backups.create", [], {"name": name}, options)

    def upload(self, file: File | FileSource, /, **options: Unpack[CallOptions]) -> None:
        """Uploads a backup, a zip file. Its name becomes the key.

        ```python
        from pathlib import Path

        from picobase import Client

        def bring(client: Client) -> None:
            client.backups.upload(Path("before.zip"))
        ```

        Raises:
            ValidationError: It is no zip file, or there is a backup of that name.
        """
        self._files.upload_backup(file, options)

    def download(
        self, key: str, /, *, on_progress: Callable[[int], object] | None = None, **options: Unpack[CallOptions]
    ) -> bytes:
        """Downloads a backup into memory, as `Files.download` does."""
        return self._files.download(_backup(key, options), on_progress)

    def download_to(
        self,
        key: str,
        path: str | os.PathLike[str],
        /,
        *,
        on_progress: Callable[[int], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> int:
        """Downloads a backup into a file, as `Files.download_to` does; answers its size in bytes."""
        return self._files.download_to(_backup(key, options), path, on_progress)

    def stream(self, key: str, /, **options: Unpack[CallOptions]) -> Download:
        """A backup piece by piece, as `Files.stream` gives files."""
        return Download(self._files, _backup(key, options))

    def delete(self, key: str, /, **options: Unpack[CallOptions]) -> None:
        """Deletes a backup.

        Raises:
            ValidationError: There is none.
        """
        self._native.row_nothing("backups.delete", [key], None, options)

    def restore(self, key: str, /, **options: Unpack[CallOptions]) -> None:
        """Replaces all data by that of a backup.

        The answer says only that it has begun. About a second later the server restarts with the other data: wait until
        `Client.health` answers again.

        Raises:
            ValidationError: There is no such backup, or another backup or restore is under way.
        """
        self._native.row_nothing("backups.restore", [key], None, options)

    def get_download_url(self, key: str, token: str, /) -> str:
        """The URL of a backup, for a browser or another program.

        Args:
            key: The backup's key.
            token: A file token of a superuser (`Files.get_token`); it lives for three minutes.
        """
        return self._files.backup_url(key, token)


class Crons:
    """Scheduled jobs, for superusers: `Client.crons`."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Native) -> None:
        self._native = native

    def get_full_list(self, **options: Unpack[CallOptions]) -> list[dict[str, Any]]:
        """All jobs: `id`, and `expression` as minute, hour, day of the month, month, day of the week."""
        return self._native.row("crons.get_full_list", [], None, options)

    def run(self, id: str, /, **options: Unpack[CallOptions]) -> None:
        """Starts a job now; the answer does not wait for its end.

        Raises:
            NotFoundError: There is no such job.
        """
        self._native.row_nothing("crons.run", [id], None, options)


class Sql:
    """SQL, for superusers (server 0.39 and newer): `Client.sql`."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Native) -> None:
        self._native = native

    def run(self, query: str, /, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """Runs SQL of at most 5,000 characters. It takes no parameters: nothing that a user typed belongs in it.

        ```python
        from picobase import Client

        def count(client: Client) -> None:
            answer = client.sql.run("SELECT status, count(*) FROM posts GROUP BY status")
            for status, posts in answer["rows"]:
                print(status, posts)
        ```

        Returns:
            `execTime` in milliseconds, `affectedRows`, `columns` (`name`, `type`, `nullable`) and `rows`: at most 1,000,
            their cells as text, `None` for NULL.

        Raises:
            ValidationError: The statement is wrong.
        """
        return self._native.row("sql.run", [], {"query": query}, options)


def _listed(options: Any, **named: Any) -> dict[str, Any]:
    """The options with the query parameters that have keywords of their own. Those under `query` win."""
    return {**options, "query": {**named, **(options.get("query") or {})}}


def _backup(key: str, options: Any) -> Any:
    return "backups.download", [key], None, True, None, options
