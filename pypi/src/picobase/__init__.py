"""The PicoBase SDK: PocketBase records, auth, files and realtime, on instances that sleep."""

from ._async.client import AsyncClient
from ._async.collection import AsyncCollection
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
from ._files import File
from ._sync.client import Client
from ._sync.collection import Collection
from ._types import ListResult

__all__ = [
    "AsyncClient",
    "AsyncCollection",
    "Client",
    "Collection",
    "ConfigurationError",
    "ConflictError",
    "DecodeError",
    "FieldError",
    "File",
    "ForbiddenError",
    "InstanceUnavailableError",
    "InvalidApiKeyError",
    "ListResult",
    "MfaRequiredError",
    "NetworkError",
    "NotFoundError",
    "PicoBaseError",
    "RateLimitedError",
    "ServerError",
    "SessionExpiredError",
    "StorageError",
    "TimeoutError",
    "UnauthorizedError",
    "ValidationError",
]
