"""The PicoBase SDK: PocketBase records, auth, files and realtime, on instances that sleep."""

from typing import TYPE_CHECKING, Any

from ._async.auth import AsyncAuth, AsyncAuthChanges
from ._async.batch import AsyncBatch, AsyncBatchCollection
from ._async.client import AsyncClient
from ._async.collection import AsyncCollection
from ._async.live import AsyncLiveQuery
from ._async.realtime import AsyncRealtime, AsyncSubscription
from ._errors import (
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
    TimeoutError,
    UnauthorizedError,
    ValidationError,
)
from ._events import (
    Change,
    Enter,
    Event,
    Lagged,
    Leave,
    LiveChange,
    Message,
    Move,
    RealtimeOptions,
    RealtimeState,
    RecordEvent,
    Resync,
    Snapshot,
    TopicEvent,
)
from ._files import File
from ._filter import filter  # noqa: A004  (the name it has in every SDK)
from ._hooks import CallReport, OutgoingCall
from ._session import AuthChange, AuthEvent, CookieOptions, OAuth2Provider, OAuth2Start, OtpRequest, Session
from ._sync.auth import Auth, AuthChanges
from ._sync.batch import Batch, BatchCollection
from ._sync.client import Client
from ._sync.collection import Collection
from ._sync.live import LiveQuery
from ._sync.realtime import Realtime, Subscription
from ._types import BatchResult, Chunked, ListResult, Many

if TYPE_CHECKING:
    from . import stores as stores
    from ._async.files import AsyncDownload, AsyncFiles
    from ._async.services import AsyncBackups, AsyncCollections, AsyncCrons, AsyncLogs, AsyncSettings, AsyncSql
    from ._sync.files import Download, Files
    from ._sync.services import Backups, Collections, Crons, Logs, Settings, Sql

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
    "Backups",
    "Batch",
    "BatchCollection",
    "BatchResult",
    "CallReport",
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
    "TimeoutError",
    "TopicEvent",
    "UnauthorizedError",
    "ValidationError",
    "filter",
]

# What few programs name is imported when it is named.
_LATER = {"files": ("Download", "Files"), "services": ("Backups", "Collections", "Crons", "Logs", "Settings", "Sql")}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "stores":
        return import_module(f"{__name__}.stores")
    for module, names in _LATER.items():
        if name.removeprefix("Async") in names:
            package = "_async" if name.startswith("Async") else "_sync"
            return getattr(import_module(f"{__name__}.{package}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
