"""What can go wrong: one base class with the same fields in every language, and a subclass for each kind."""

from __future__ import annotations

import builtins

from ._typing import Any


class FieldError:
    """Why the server refused one field.

    Attributes:
        code: The server's code, `validation_required` for example.
        message: The server's sentence about it.
        params: The parameters of the message, `{"min": 3}` for example.
    """

    __slots__ = ("code", "message", "params")
    __match_args__ = ("code", "message", "params")

    code: str
    message: str
    params: dict[str, Any]

    def __init__(self, code: str, message: str, params: dict[str, Any] | None = None) -> None:
        self.code = code
        self.message = message
        self.params = params or {}

    def __repr__(self) -> str:
        return f"FieldError(code={self.code!r}, message={self.message!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FieldError):
            return NotImplemented
        return (self.code, self.message, self.params) == (other.code, other.message, other.params)


class PicoBaseError(Exception):
    """Anything that can go wrong in a call. Catch a subclass for one kind, this class for all.

    ```python
    from picobase import Client, PicoBaseError, ValidationError

    def publish(client: Client, title: str) -> None:
        try:
            client.collection("posts").create({"title": title})
        except ValidationError as error:
            for name, field in error.fields.items():
                print(name, field.message)
        except PicoBaseError as error:
            print(error, error.fix)
    ```

    Attributes:
        kind: What went wrong, by the same name in every language: `NotFound`, `Timeout` … More may come.
        message: What happened, in a sentence: the server's where it gave one.
        status: The HTTP status of the answer; 0 where there was none. It is 404 for all that is not found, also where
            nothing was asked.
        code: The gateway's machine-readable code, `invalid_api_key` for example.
        fields: The refused fields by name.
        fix: What to do about it, in a sentence for the developer.
        url: The URL of the call with its secrets taken out.
        attempts: How many requests were sent for the call.
        retry_after: How many seconds the server asked to wait.
        mfa_id: The id to pass with the second factor, for kind `MfaRequired`.
        body: The answer's JSON as text, or the first 200 characters of anything else.
        item: Which write of a batch, or which id of several, failed: its index.
        maybe_created: The id of the record that a create with `safe_retry` may have made.
    """

    kind: str
    message: str
    status: int
    code: str | None
    fields: dict[str, FieldError]
    fix: str
    url: str | None
    attempts: int
    retry_after: float | None
    mfa_id: str | None
    body: str | None
    item: int | None
    maybe_created: str | None

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        status: int = 0,
        code: str | None = None,
        fields: dict[str, FieldError] | None = None,
        fix: str = "",
        url: str | None = None,
        attempts: int = 0,
        retry_after: float | None = None,
        mfa_id: str | None = None,
        body: str | None = None,
        item: int | None = None,
        maybe_created: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind or _KINDS.get(type(self), "Server")
        self.message = message
        self.status = status or (404 if self.kind == "NotFound" else 0)
        self.code = code
        self.fields = fields or {}
        self.fix = fix
        self.url = url
        self.attempts = attempts
        self.retry_after = retry_after
        self.mfa_id = mfa_id
        self.body = body
        self.item = item
        self.maybe_created = maybe_created

    def __str__(self) -> str:
        refused = ", ".join(f"{name}: {field.message}" for name, field in self.fields.items())
        return f"{self.message} ({refused})" if refused else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross processes: the results of a task queue, of multiprocessing.
        # What was added to them, notes for example, goes along as with every exception.
        parts = {name: getattr(self, name) for name in _PARTS}
        added = {name: value for name, value in self.__dict__.items() if name not in parts and name != "message"}
        return (_restore, (type(self), self.message, parts), added or None)


class ConfigurationError(PicoBaseError):
    """The client is set up wrongly: its URL, its key, or a redirect where the API should be."""


class NetworkError(PicoBaseError):
    """The server could not be reached, or the connection broke."""


class TimeoutError(PicoBaseError, builtins.TimeoutError):
    """The deadline passed. It is the builtin `TimeoutError` as well."""


class CancelledError(PicoBaseError):
    """The call was given up, for example because the client was closed. What asyncio cancels raises asyncio's own."""


class ValidationError(PicoBaseError):
    """The request was refused as it is; see `fields`."""


class UnauthorizedError(PicoBaseError):
    """Wrong credentials, or none where some are needed."""


class ForbiddenError(PicoBaseError):
    """Signed in, but not allowed to."""


class NotFoundError(PicoBaseError):
    """No such record, collection, file or route, or a rule hides it."""


class ConflictError(PicoBaseError):
    """The value exists already (a unique index)."""


class MfaRequiredError(PicoBaseError):
    """The first factor was right; a second one is needed with `mfa_id`."""


class RateLimitedError(PicoBaseError):
    """Too many requests."""


class InstanceUnavailableError(PicoBaseError):
    """The instance did not wake up in time."""


class InvalidApiKeyError(PicoBaseError):
    """The PicoBase key is wrong, revoked, or for another instance."""


class SessionExpiredError(PicoBaseError):
    """The session ended; sign in again, or sign out to go on as a guest."""


class ServerError(PicoBaseError):
    """The server failed, or answered with a status that has no kind of its own."""


class DecodeError(PicoBaseError):
    """The answer is not what it should be: not JSON, cut short, or of another shape than the type that was asked for."""


class StorageError(PicoBaseError):
    """The session store, or a local file, could not be read or written."""


_CLASSES: dict[str, type[PicoBaseError]] = {
    "Configuration": ConfigurationError,
    "Network": NetworkError,
    "Timeout": TimeoutError,
    "Cancelled": CancelledError,
    "Validation": ValidationError,
    "Unauthorized": UnauthorizedError,
    "Forbidden": ForbiddenError,
    "NotFound": NotFoundError,
    "Conflict": ConflictError,
    "MfaRequired": MfaRequiredError,
    "RateLimited": RateLimitedError,
    "InstanceUnavailable": InstanceUnavailableError,
    "InvalidApiKey": InvalidApiKeyError,
    "SessionExpired": SessionExpiredError,
    "Server": ServerError,
    "Decode": DecodeError,
    "Storage": StorageError,
}
_KINDS = {kind: name for name, kind in _CLASSES.items()}
_PARTS = (
    "kind", "status", "code", "fields", "fix", "url", "attempts",
    "retry_after", "mfa_id", "body", "item", "maybe_created",
)  # fmt: skip


for _public in (FieldError, PicoBaseError, *_KINDS):
    # Where users import them from: it is what tracebacks and pickles name.
    _public.__module__ = "picobase"


def make(kind: str, parts: dict[str, Any]) -> PicoBaseError:
    """The exception of a kind, as the core describes it."""
    parts["fields"] = {name: FieldError(*field) for name, field in parts["fields"].items()}
    return _CLASSES.get(kind, PicoBaseError)(parts.pop("message"), kind=kind, **parts)


def _restore(cls: type[PicoBaseError], message: str, parts: dict[str, Any]) -> PicoBaseError:
    return cls(message, **parts)
