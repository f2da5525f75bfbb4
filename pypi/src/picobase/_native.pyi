# Made of bindings-python by tools/stub.py. Change the bindings.
"""
The core of the PicoBase SDK.
"""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, SupportsIndex, final

from _typeshed import SupportsGetItem

@final
class Native:
    """
    A client of the core, and what runs its calls.
    """
    def __new__(cls, /, blocking: bool, options: Mapping[str, Any]) -> Native:
        """
        A client: blocking or for asyncio, and its options.
        """
    def auth(self, /, collection: str | None) -> NativeAuth:
        """
        Sign-up, sign-in and the session; of a collection, or of the client's `auth_collection`.
        """
    def batch(self, /) -> NativeBatch:
        """
        Writes that are sent together.
        """
    def close(self, /) -> Any:
        """
        Closes the client. For asyncio the answer is a future that is done when its thread has ended too.
        """
    def collections(self, /, given: Mapping[str, Any]) -> Any:
        """
        All collections.
        """
    def files(self, /) -> NativeFiles:
        """
        URLs and downloads of files.
        """
    def filter(self, /, template: str, given: Any | None) -> str:
        """
        A filter with its values put in.
        """
    def first_collection(self, /, filter: str, given: Mapping[str, Any]) -> Any:
        """
        The first collection that a filter finds.
        """
    def health(self, /, given: Mapping[str, Any]) -> Any: ...
    def on_state(self, /, listener: Any) -> Callable[..., Any]:
        """
        Calls `listener` when the instance falls asleep, wakes up, or does not; answers how to stop that.
        """
    def on_storage_error(self, /, listener: Any) -> Callable[..., Any]:
        """
        Calls `listener` with errors of this client's own store that no call can report; answers how to stop that.
        """
    def realtime(self, /) -> NativeRealtime:
        """
        The event stream.
        """
    def records(self, /, name: str, decode: Any | None) -> NativeRecords:
        """
        The records of a collection; `decode` makes them of their bytes.
        """
    def row(self, /, name: str, params: SupportsGetItem[int, str], body: Any | None, given: Mapping[str, Any]) -> Any:
        """
        Any row of the endpoint table that answers JSON, by its name.
        """
    def row_nothing(self, /, name: str, params: SupportsGetItem[int, str], body: Any | None, given: Mapping[str, Any]) -> Any:
        """
        Any row of the endpoint table that answers nothing, by its name.
        """
    def rpc(self, /, name: str, data: Any, given: Mapping[str, Any]) -> Any:
        """
        A function of the instance.
        """
    def send(
        self, /, method: str, path: str, body: Any | None, raw: bytes | bytearray | str | None, safe: bool, given: Mapping[str, Any]
    ) -> Any:
        """
        Any other route: `raw` is a body that goes as it is, `body` one that becomes JSON.
        """
    def set_url(self, /, url: str, keep_session: bool) -> Any: ...
    @property
    def url(self, /) -> str | None:
        """
        The base URL, if one is set.
        """
    def with_session(self, /, token: str, record: Any | None) -> Native:
        """
        A client with a session of its own, of a token and perhaps a record; without a token a guest's.
        """
    def with_store(self, /, store: Any) -> Native:
        """
        A client with a session of its own, in a store.
        """

@final
class NativeAuth:
    """
    Sign-up, sign-in and the session, for one auth collection.
    """
    def begin_oauth2(self, /, provider: str, redirect_url: str) -> Any: ...
    def changes(self, /) -> NativeChanges: ...
    def confirm_email_change(self, /, token: str, password: str, given: Mapping[str, Any]) -> Any: ...
    def confirm_password_reset(self, /, token: str, password: str, given: Mapping[str, Any]) -> Any: ...
    def confirm_verification(self, /, token: str, given: Mapping[str, Any]) -> Any: ...
    def external_auths(self, /, id: str, given: Mapping[str, Any]) -> Any: ...
    def finish_oauth2(
        self, /, back: str, state: str | None, create_data: Any | None, mfa_id: str | None, given: Mapping[str, Any]
    ) -> Any:
        """
        With code and state; or with the whole address, and no state.
        """
    def impersonate(self, /, id: str, duration: Any | None, given: Mapping[str, Any]) -> Any:
        """
        A client that is signed in as another user.
        """
    def methods(self, /, given: Mapping[str, Any]) -> Any: ...
    def oauth2_providers(self, /) -> Any:
        """
        Name, what to write on the button, and logo of each provider.
        """
    def on_change(self, /, listener: Any) -> NativeListener:
        """
        Calls `listener` with the name of what happened and the session after it, on the thread where it happens.
        """
    def ready(self, /) -> Any: ...
    def refresh(self, /) -> Any: ...
    def request_email_change(self, /, new_email: str, given: Mapping[str, Any]) -> Any: ...
    def request_otp(self, /, email: str, given: Mapping[str, Any]) -> Any: ...
    def request_password_reset(self, /, email: str, given: Mapping[str, Any]) -> Any: ...
    def request_verification(self, /, email: str, given: Mapping[str, Any]) -> Any: ...
    def resume_oauth2(self, /, saved: str) -> None: ...
    def session(self, /) -> Any:
        """
        The session as it is now, or none.
        """
    def set_session(self, /, token: str, record: Any | None) -> Any: ...
    def sign_in(
        self, /, identity: str, password: str, mfa_id: str | None, identity_field: str | None, given: Mapping[str, Any]
    ) -> Any: ...
    def sign_in_with_oauth2(
        self,
        /,
        provider: str,
        open: Any,
        scopes: SupportsGetItem[int, str] | None,
        create_data: Any | None,
        mfa_id: str | None,
        limit: Any | None,
        given: Mapping[str, Any],
    ) -> Any:
        """
        All in one. `open` is called with the address; it is a coroutine function for asyncio.
        """
    def sign_in_with_otp(self, /, otp_id: str, password: str, mfa_id: str | None, given: Mapping[str, Any]) -> Any: ...
    def sign_out(self, /) -> Any: ...
    def sign_up(self, /, email: str, password: str, data: Any | None) -> Any: ...
    def sync_from_store(self, /) -> Any: ...
    def unlink_external_auth(self, /, id: str, provider: str) -> Any: ...

@final
class NativeBatch:
    """
    Writes that wait to be sent. Their values are those of when they were added; files are read when they are sent.
    """
    def __len__(self, /) -> int: ...
    def add(
        self,
        /,
        kind: str,
        collection: str,
        id: str,
        body: Any | None,
        expand: Any | None,
        fields: Any | None,
        given: Mapping[str, Any],
    ) -> None: ...
    def send(self, /, given: Mapping[str, Any]) -> Any:
        """
        All or none; pairs of status and body.
        """
    def send_chunked(self, /, size: SupportsIndex | None, given: Mapping[str, Any]) -> Any:
        """
        Chunk by chunk; what was done, and the error that ended it.
        """

@final
class NativeChanges:
    """
    What happens to a session, one after the other.
    """
    def next(self, /) -> Any:
        """
        The next one; none when the client was closed.
        """

@final
class NativeDownload:
    """
    A download that is read piece by piece.
    """
    def close(self, /) -> Any:
        """
        Ends the download.
        """
    def next(self, /) -> Any:
        """
        The next piece; none at the end.
        """
    @property
    def size(self, /) -> int | None:
        """
        The size of the whole file in bytes, where the server said it.
        """

@final
class NativeErrands:
    """
    The errands of a call that is under way, for `picobase._beside`.
    """
    def next(self, /) -> Any:
        """
        Awaits the next piece that is wanted; `None` when there is no more.
        """

@final
class NativeFeed:
    """
    Something that is listened to. It is begun when it is awaited or first read, and ends with its object.
    """
    def begin(self, /) -> Any:
        """
        Begins to listen; done when the server has acknowledged it.
        """
    def close(self, /) -> None:
        """
        Ends it: nothing comes any more.
        """
    def ready(self, /, limit: Any | None) -> Any:
        """
        Waits until something can be taken, so long at most; false at the end.
        """
    def take(self, /) -> tuple[list[Any], Any | None, bool]:
        """
        What is there, up to an error, which is told once: the rest comes the next time.
        """

@final
class NativeFiles:
    """
    The files of a client, and its backups.
    """
    def backup_url(self, /, key: str, token: str) -> str:
        """
        The URL of a backup.
        """
    def download(
        self,
        /,
        wish: tuple[str, SupportsGetItem[int, str], str | None, bool, str | None, Mapping[str, Any]],
        on_progress: Any | None,
    ) -> Any:
        """
        The whole file in memory.
        """
    def download_to(
        self,
        /,
        wish: tuple[str, SupportsGetItem[int, str], str | None, bool, str | None, Mapping[str, Any]],
        path: str | PathLike[str],
        on_progress: Any | None,
    ) -> Any:
        """
        The file to a path; answers its size.
        """
    def get_token(self, /) -> Any:
        """
        A token for protected files.
        """
    def stream(self, /, wish: tuple[str, SupportsGetItem[int, str], str | None, bool, str | None, Mapping[str, Any]]) -> Any:
        """
        The file piece by piece: begins the download.
        """
    def upload_backup(self, /, file: Any, given: Mapping[str, Any]) -> Any:
        """
        Uploads a backup.
        """
    def url(self, /, owner: tuple[str, str], name: str, thumb: str | None, download: bool, token: str | None) -> str:
        """
        The URL of a file.
        """

@final
class NativeListener:
    """
    Keeps a listener in its place.
    """

@final
class NativeRealtime:
    """
    The client's event stream.
    """
    def hint(self, /, hint: str) -> None: ...
    @property
    def state(self, /) -> str: ...
    def states(self, /) -> NativeFeed:
        """
        The state now, and then whenever it is another one.
        """
    def subscribe(
        self,
        /,
        topic: str,
        filter: Any | None,
        expand: Any | None,
        fields: Any | None,
        queue_max: SupportsIndex | None,
        given: Mapping[str, Any],
    ) -> NativeFeed: ...
    def unsubscribe(self, /, topic: str) -> None: ...
    def unsubscribe_all(self, /) -> None: ...
    def unsubscribe_prefix(self, /, prefix: str) -> None: ...

@final
class NativeRecords:
    """
    A collection of records, and how they become objects.
    """
    def create(
        self,
        /,
        body: Any | None,
        expand: Any | None,
        fields: Any | None,
        safe_retry: bool,
        on_progress: Any | None,
        given: Mapping[str, Any],
    ) -> Any: ...
    def delete(self, /, id: str, given: Mapping[str, Any]) -> Any: ...
    def get_first_list_item(
        self, /, filter: str, sort: Any | None, expand: Any | None, fields: Any | None, given: Mapping[str, Any]
    ) -> Any: ...
    def get_full_list(
        self,
        /,
        batch_size: SupportsIndex | None,
        filter: Any | None,
        sort: Any | None,
        expand: Any | None,
        fields: Any | None,
        given: Mapping[str, Any],
    ) -> Any: ...
    def get_list(
        self,
        /,
        page: SupportsIndex,
        per_page: SupportsIndex,
        filter: Any | None,
        sort: Any | None,
        expand: Any | None,
        fields: Any | None,
        skip_total: bool,
        given: Mapping[str, Any],
    ) -> Any:
        """
        A page: its numbers and its records.
        """
    def get_many(self, /, ids: Any, expand: Any | None, fields: Any | None, given: Mapping[str, Any]) -> Any:
        """
        The records of these ids, and the ids that are missing.
        """
    def get_one(self, /, id: str, expand: Any | None, fields: Any | None, given: Mapping[str, Any]) -> Any: ...
    def iterate(
        self,
        /,
        batch_size: SupportsIndex | None,
        filter: Any | None,
        sort: Any | None,
        expand: Any | None,
        fields: Any | None,
        given: Mapping[str, Any],
    ) -> NativeWalk:
        """
        A walk through all records, which asks for nothing yet.
        """
    def live(
        self,
        /,
        filter: Any | None,
        sort: Any | None,
        limit: SupportsIndex | None,
        recheck_every: Any | None,
        expand: Any | None,
        fields: Any | None,
        given: Mapping[str, Any],
    ) -> NativeFeed: ...
    def subscribe(
        self,
        /,
        topic: str,
        filter: Any | None,
        expand: Any | None,
        fields: Any | None,
        queue_max: SupportsIndex | None,
        given: Mapping[str, Any],
    ) -> NativeFeed:
        """
        The events of a record, or of all of them: `*`.
        """
    def unsubscribe(self, /, topic: str | None) -> None:
        """
        Ends the subscriptions of a topic, or all of this collection.
        """
    def update(
        self,
        /,
        id: str,
        body: Any | None,
        expand: Any | None,
        fields: Any | None,
        safe_retry: bool,
        on_progress: Any | None,
        given: Mapping[str, Any],
    ) -> Any: ...

@final
class NativeStore:
    """
    The stores of `picobase.stores`.
    """
    def __new__(cls, /, path: str | PathLike[str] | None) -> NativeStore:
        """
        In the file of that path; without one in memory.
        """
    def clear(self, /) -> None: ...
    def load(self, /) -> str | None: ...
    def save(self, /, session: str) -> None: ...

@final
class NativeWalk:
    """
    A walk through all records, page by page.
    """
    def next(self, /) -> Any:
        """
        The records that are there, at least one; `None` at the end.
        """

@final
class NativeWanted:
    """
    A piece that an upload waits for.
    """
    def fail(self, /, why: str) -> None:
        """
        Why there is none.
        """
    def give(self, /, piece: bytes) -> None:
        """
        The piece; an empty one is the end.
        """
    @property
    def is_first(self, /) -> bool:
        """
        Is it the first piece of a sending? Then it is read from the start.
        """
    @property
    def pieces(self, /) -> Any:
        """
        What has the bytes.
        """

def filter(template: str, given: Any | None) -> str:
    """
    A filter with its values put in, for the newest servers.
    """

def from_cookies(header: str, name: str) -> Any:
    """
    What the session in a `Cookie` header is made of, or none.
    """

def loads(text: bytes) -> Any:
    """
    The JSON of these bytes as dicts and lists, for decoders that are written in Python.
    """

def removal_cookies(existing: SupportsGetItem[int, str], given: Mapping[str, Any]) -> list[str]:
    """
    The `Set-Cookie` values that remove a session.
    """

def to_cookies(token: str, record: Any | None, existing: SupportsGetItem[int, str], given: Mapping[str, Any]) -> list[str]:
    """
    The `Set-Cookie` values of a session.
    """

def token_expiry(token: str) -> int | None: ...
def token_record(token: str) -> Any:
    """
    What a token says without being asked for: the record as far as it is known, and the expiry in Unix milliseconds.
    """

def without_unset(text: bytes, members: Mapping[str, Any]) -> bytes | None:
    """
    The record with null for the empty text of members that have no value. `members` names them: true, or those inside a
    member, whose lists and maps may hold several. None where nothing is to be changed.
    """

__version__: str
__all__ = [
    "Native",
    "NativeAuth",
    "NativeBatch",
    "NativeChanges",
    "NativeDownload",
    "NativeErrands",
    "NativeFeed",
    "NativeFiles",
    "NativeListener",
    "NativeRealtime",
    "NativeRecords",
    "NativeStore",
    "NativeWalk",
    "NativeWanted",
    "__version__",
    "filter",
    "from_cookies",
    "loads",
    "removal_cookies",
    "to_cookies",
    "token_expiry",
    "token_record",
    "without_unset",
]
