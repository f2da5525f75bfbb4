"""The PicoBase SDK: PocketBase records, auth, files and realtime, on instances that sleep.

```python
from picobase import Client

client = Client("https://my-app.picobase.com", "pk_live_...")
for post in client.collection("posts").get_list(1, 20, sort="-created"):
    print(post["title"])
```

`Client` blocks, `AsyncClient` has the same methods for asyncio. Errors are subclasses of `PicoBaseError`.
"""

# `typing` has its own, and takes as long to import as the rest of this package.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from . import stores as stores
    from ._aliases import (
        AuthEvent,
        AuthListener,
        CallOptions,
        CookieOptions,
        Event,
        InstanceState,
        LiveChange,
        RealtimeOptions,
        RealtimeState,
        TopicEvent,
        WriteOptions,
    )
    from ._async.auth import AsyncAuth, AsyncAuthChanges
    from ._async.batch import AsyncBatch, AsyncBatchCollection
    from ._async.client import AsyncClient
    from ._async.collection import AsyncCollection
    from ._async.files import AsyncDownload, AsyncFiles
    from ._async.live import AsyncLiveQuery
    from ._async.realtime import AsyncRealtime, AsyncSubscription
    from ._async.services import AsyncBackups, AsyncCollections, AsyncCrons, AsyncLogs, AsyncSettings, AsyncSql
    from ._errors import (
        CancelledError,
        ConfigurationError,
        ConflictError,
        DecodeError,
        FieldError,
        ForbiddenError,
        InstanceUnavailableError,
        InvalidApiKeyError,
        MfaRequiredError,
        NetworkError,
        NotFoundError,
        PicoBaseError,
        RateLimitedError,
        ServerError,
        SessionExpiredError,
        StorageError,
        UnauthorizedError,
        ValidationError,
    )
    from ._errors import TimeoutError as TimeoutError
    from ._events import (
        Change,
        Enter,
        Lagged,
        Leave,
        Message,
        Move,
        RecordEvent,
        Resync,
        Snapshot,
    )
    from ._files import File
    from ._filter import filter as filter
    from ._hooks import CallReport, OutgoingCall
    from ._session import AuthChange, OAuth2Provider, OAuth2Start, OtpRequest, Session
    from ._sync.auth import Auth, AuthChanges
    from ._sync.batch import Batch, BatchCollection
    from ._sync.client import Client
    from ._sync.collection import Collection
    from ._sync.files import Download, Files
    from ._sync.live import LiveQuery
    from ._sync.realtime import Realtime, Subscription
    from ._sync.services import Backups, Collections, Crons, Logs, Settings, Sql
    from ._types import BatchResult, Chunked, ListResult, Many

    __version__: str

# `filter` and `TimeoutError` are public too, but `from picobase import *` leaves the builtins of these names alone.
__all__ = [
    "AsyncAuth",
    "AsyncAuthChanges",
    "AsyncBackups",
    "AsyncBatch",
    "AsyncBatchCollection",
    "AsyncClient",
    "AsyncCollection",
    "AsyncCollections",
    "AsyncCrons",
    "AsyncDownload",
    "AsyncFiles",
    "AsyncLiveQuery",
    "AsyncLogs",
    "AsyncRealtime",
    "AsyncSettings",
    "AsyncSql",
    "AsyncSubscription",
    "Auth",
    "AuthChange",
    "AuthChanges",
    "AuthEvent",
    "AuthListener",
    "Backups",
    "Batch",
    "BatchCollection",
    "BatchResult",
    "CallOptions",
    "CallReport",
    "CancelledError",
    "Change",
    "Chunked",
    "Client",
    "Collection",
    "Collections",
    "ConfigurationError",
    "ConflictError",
    "CookieOptions",
    "Crons",
    "DecodeError",
    "Download",
    "Enter",
    "Event",
    "FieldError",
    "File",
    "Files",
    "ForbiddenError",
    "InstanceState",
    "InstanceUnavailableError",
    "InvalidApiKeyError",
    "Lagged",
    "Leave",
    "ListResult",
    "LiveChange",
    "LiveQuery",
    "Logs",
    "Many",
    "Message",
    "MfaRequiredError",
    "Move",
    "NetworkError",
    "NotFoundError",
    "OAuth2Provider",
    "OAuth2Start",
    "OtpRequest",
    "OutgoingCall",
    "PicoBaseError",
    "RateLimitedError",
    "Realtime",
    "RealtimeOptions",
    "RealtimeState",
    "RecordEvent",
    "Resync",
    "ServerError",
    "Session",
    "SessionExpiredError",
    "Settings",
    "Snapshot",
    "Sql",
    "StorageError",
    "Subscription",
    "TopicEvent",
    "UnauthorizedError",
    "ValidationError",
    "WriteOptions",
]

# Where the names are. A module is imported when one of its names is asked for: few programs need both clients, and it is
# the imports that a short program waits for.
_PLACES = {
    "_aliases": """
        AuthEvent AuthListener CallOptions CookieOptions Event InstanceState LiveChange RealtimeOptions RealtimeState
        TopicEvent WriteOptions
    """,
    "_async.auth": "AsyncAuth AsyncAuthChanges",
    "_async.batch": "AsyncBatch AsyncBatchCollection",
    "_async.client": "AsyncClient",
    "_async.collection": "AsyncCollection",
    "_async.files": "AsyncDownload AsyncFiles",
    "_async.live": "AsyncLiveQuery",
    "_async.realtime": "AsyncRealtime AsyncSubscription",
    "_async.services": "AsyncBackups AsyncCollections AsyncCrons AsyncLogs AsyncSettings AsyncSql",
    "_errors": """
        CancelledError ConfigurationError ConflictError DecodeError FieldError ForbiddenError InstanceUnavailableError
        InvalidApiKeyError MfaRequiredError NetworkError NotFoundError PicoBaseError RateLimitedError ServerError
        SessionExpiredError StorageError TimeoutError UnauthorizedError ValidationError
    """,
    "_events": """
        Change Enter Lagged Leave Message Move RecordEvent Resync Snapshot
    """,
    "_files": "File",
    "_filter": "filter",
    "_hooks": "CallReport OutgoingCall",
    "_session": "AuthChange OAuth2Provider OAuth2Start OtpRequest Session",
    "_sync.auth": "Auth AuthChanges",
    "_sync.batch": "Batch BatchCollection",
    "_sync.client": "Client",
    "_sync.collection": "Collection",
    "_sync.files": "Download Files",
    "_sync.live": "LiveQuery",
    "_sync.realtime": "Realtime Subscription",
    "_sync.services": "Backups Collections Crons Logs Settings Sql",
    "_types": "BatchResult Chunked ListResult Many",
}


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name == "stores":
        return import_module(".stores", __name__)
    if name == "__version__":
        return import_module("._native", __name__).__version__
    for module, names in _PLACES.items():
        if name in names.split():
            value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> "list[str]":
    public = (name for names in _PLACES.values() for name in names.split())
    return sorted({*(name for name in globals() if name.startswith("__")), *public, "__version__", "stores"})
