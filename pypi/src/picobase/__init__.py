"""The PicoBase SDK: PocketBase records, auth, files and realtime, on instances that sleep."""

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

__all__ = [
    "AsyncAuth",
    "AsyncAuthChanges",
    "AsyncBatch",
    "AsyncBatchCollection",
    "AsyncClient",
    "AsyncCollection",
    "AsyncLiveQuery",
    "AsyncRealtime",
    "AsyncSubscription",
    "Auth",
    "AuthChange",
    "AuthChanges",
    "AuthEvent",
    "Batch",
    "BatchCollection",
    "BatchResult",
    "CallReport",
    "Change",
    "Chunked",
    "Client",
    "Collection",
    "ConfigurationError",
    "ConflictError",
    "CookieOptions",
    "DecodeError",
    "Enter",
    "Event",
    "FieldError",
    "File",
    "ForbiddenError",
    "InstanceUnavailableError",
    "InvalidApiKeyError",
    "Lagged",
    "Leave",
    "ListResult",
    "LiveChange",
    "LiveQuery",
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
    "Snapshot",
    "StorageError",
    "Subscription",
    "TimeoutError",
    "TopicEvent",
    "UnauthorizedError",
    "ValidationError",
    "filter",
]
