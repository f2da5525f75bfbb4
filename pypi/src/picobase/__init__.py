"""The PicoBase SDK: PocketBase records, auth, files and realtime, on instances that sleep."""

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
from ._hooks import CallReport, OutgoingCall
from ._sync.client import Client
from ._sync.collection import Collection
from ._sync.live import LiveQuery
from ._sync.realtime import Realtime, Subscription
from ._types import ListResult

__all__ = [
    "AsyncClient",
    "AsyncCollection",
    "AsyncLiveQuery",
    "AsyncRealtime",
    "AsyncSubscription",
    "CallReport",
    "Change",
    "Client",
    "Collection",
    "ConfigurationError",
    "ConflictError",
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
    "Message",
    "MfaRequiredError",
    "Move",
    "NetworkError",
    "NotFoundError",
    "OutgoingCall",
    "PicoBaseError",
    "RateLimitedError",
    "Realtime",
    "RealtimeOptions",
    "RealtimeState",
    "RecordEvent",
    "Resync",
    "ServerError",
    "SessionExpiredError",
    "Snapshot",
    "StorageError",
    "Subscription",
    "TimeoutError",
    "TopicEvent",
    "UnauthorizedError",
    "ValidationError",
]
