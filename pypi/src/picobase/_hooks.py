"""What hooks see of a call."""

from __future__ import annotations

from ._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from ._errors import PicoBaseError


class OutgoingCall:
    """A call that is about to be made, for `before_call`. It holds no key and no token: those are added later.

    ```python
    from picobase import Client, OutgoingCall

    def trace(call: OutgoingCall) -> None:
        call.headers["X-Request-Id"] = "42"
        call.set_query("tenant", "acme")

    client = Client("https://my-app.picobase.com", before_call=trace)
    ```

    Attributes:
        endpoint: The endpoint's name, `records.create` for example, or `send`.
        method: The HTTP method.
        headers: The header fields so far; they may be changed. What is set here goes with every attempt of the call.
    """

    __slots__ = ("_query", "endpoint", "headers", "method")

    endpoint: str
    method: str
    headers: MutableMapping[str, str]

    def __init__(self, endpoint: str, method: str, headers: MutableMapping[str, str]) -> None:
        self.endpoint = endpoint
        self.method = method
        self.headers = headers
        self._query: list[tuple[str, Any]] = []

    def set_query(self, name: str, value: Any, /) -> None:
        """Sets a query parameter; None leaves it out."""
        self._query.append((name, value))

    def __repr__(self) -> str:
        # Values may be secrets.
        return f"<OutgoingCall {self.method} {self.endpoint} headers={list(self.headers)}>"


class CallReport:
    """How a call ended, for `after_call`. It holds no secret.

    Attributes:
        endpoint: The endpoint's name, `records.create` for example, or `send`.
        method: The HTTP method.
        template: The path before its parameters were filled in.
        url: The URL without its secrets.
        status: The HTTP status; 0 where there was no answer.
        attempts: How many requests were sent.
        elapsed: How long it all took, in seconds, waits included.
        error: What went wrong; None where nothing did. Kind `Cancelled` for a call that was cancelled.
    """

    __slots__ = ("attempts", "elapsed", "endpoint", "error", "method", "status", "template", "url")
    __match_args__ = ("endpoint", "method", "status", "error")

    endpoint: str
    method: str
    template: str
    url: str
    status: int
    attempts: int
    elapsed: float
    error: PicoBaseError | None

    def __init__(
        self,
        endpoint: str,
        method: str,
        template: str,
        url: str,
        status: int,
        attempts: int,
        elapsed: float,
        error: PicoBaseError | None,
    ) -> None:
        self.endpoint = endpoint
        self.method = method
        self.template = template
        self.url = url
        self.status = status
        self.attempts = attempts
        self.elapsed = elapsed
        self.error = error

    def __repr__(self) -> str:
        ended = f"{self.status}" if self.error is None else f"{self.status} {self.error.kind}"
        return f"<CallReport {self.method} {self.template} {ended} in {self.elapsed:.3f} s, attempts={self.attempts}>"
