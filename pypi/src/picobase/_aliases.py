"""The names that only annotations need. They are true forms of `typing`, so importing them imports that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, TypedDict, TypeVar

from ._events import Change, Enter, Lagged, Leave, Message, Move, RecordEvent, Resync, Snapshot
from ._session import Session

T = TypeVar("T")

AuthEvent = Literal["INITIAL_SESSION", "SIGNED_IN", "SIGNED_OUT", "TOKEN_REFRESHED", "USER_UPDATED", "SESSION_EXPIRED"]
"""What happened to a session. Each is told once per real change; every listener first gets INITIAL_SESSION."""

AuthListener = Callable[[AuthEvent, "Session | None"], object]
"""What is told of changes of a session: what happened, and the session from then on."""

InstanceState = Literal["starting", "ready", "unreachable"]
"""How it stands with the instance: it wakes up, it is there, it did not wake up in time."""

RealtimeState = Literal["disconnected", "connecting", "connected", "reconnecting", "suspended"]
"""How a client stands with the server's event stream. `suspended`: the session has ended; the stream comes back with
the next sign-in or sign-out."""

Event = RecordEvent[T] | Resync | Lagged
"""What can come on a topic of a collection. `action` says which it is."""

TopicEvent = RecordEvent[dict[str, Any]] | Message | Resync | Lagged
"""What can come on any topic. `action` says which it is."""

LiveChange = Snapshot[T] | Enter[T] | Change[T] | Leave | Move
"""What a live query tells: first its list, then each change of it. Indexes are those at the moment at which a change
is applied."""


class CallOptions(TypedDict, total=False):
    """What every call may be given.

    Attributes:
        query: Query parameters of any name, as a mapping or as pairs. `None` leaves one out.
        headers: Header fields beside those of the client; they win.
        timeout: How long the call may take, in seconds, waits and retries included; 0 for no limit. 30 by default.
    """

    query: Mapping[str, Any] | Iterable[tuple[str, Any]] | None
    headers: Mapping[str, str | None] | None
    timeout: float | timedelta | None


class WriteOptions(TypedDict, total=False):
    """What a write of a batch may be given, beside what it expands and answers.

    Attributes:
        query: Query parameters of any name, as a mapping or as pairs. `None` leaves one out.
        headers: Header fields of this write.
    """

    query: Mapping[str, Any] | Iterable[tuple[str, Any]] | None
    headers: Mapping[str, str | None] | None


class CookieOptions(TypedDict, total=False):
    """The name and the attributes of session cookies.

    Attributes:
        name: `pb_auth` by default, as in the PocketBase SDK.
        path: Below which path the cookie is sent; `/` by default.
        domain: The domain whose hosts get the cookie; by default only the host that sets it.
        max_age: How long browsers keep it, in seconds; by default until the token expires.
        secure: Over HTTPS only? Yes by default; turn it off for development over plain HTTP.
        http_only: Kept from the page's scripts? Yes by default.
        same_site: When it is sent with requests that another site started; `lax` by default.
    """

    name: str | None
    path: str | None
    domain: str | None
    max_age: float | timedelta | None
    secure: bool | None
    http_only: bool | None
    same_site: Literal["strict", "lax", "none"] | None


class RealtimeOptions(TypedDict, total=False):
    """How realtime behaves. Times are in seconds.

    ```python
    from picobase import AsyncClient

    client = AsyncClient("https://my-app.picobase.com", realtime={"liveness": 60})
    ```

    Attributes:
        liveness: How long the stream may be silent before it is replaced; 270 by default, which is the most.
        max_age: At which age the stream is replaced; 1,500 by default, which is the most.
        overlap: How long a stream that was replaced is still heard; 0.5 by default.
        linger: How long the stream stays when nobody listens any more; 1 by default.
        catch_up: Is what was missed fetched after a gap? True by default. Without it each gap is told by `Resync`.
        catch_up_skew: How far behind the newest event catching up begins; 10 by default.
        catch_up_max: Above so many missed records there is a `Resync` in place of them; 5,000 by default.
        tracked_max: Of how many records a topic remembers what was delivered; 5,000 by default.
        queue_max: How many events may wait for a slow reader before the oldest are dropped; 1,000 by default.
    """

    liveness: float | timedelta | None
    max_age: float | timedelta | None
    overlap: float | timedelta | None
    linger: float | timedelta | None
    catch_up: bool | None
    catch_up_skew: float | timedelta | None
    catch_up_max: int | None
    tracked_max: int | None
    queue_max: int | None
