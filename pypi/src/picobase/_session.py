"""A signed-in user, and the session as cookies."""

from __future__ import annotations

from . import _native
from ._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from typing_extensions import Self, Unpack

    from ._aliases import AuthEvent, CookieOptions


class Session:
    """A signed-in user: the token and the user's record.

    A session can be pickled, kept in a cookie, and handed to `with_session`. Neither `repr` nor `str` show the token.

    ```python
    from picobase import Client, Session

    def greet(client: Client, token: str) -> None:
        visitor = client.with_session(Session.from_token(token))
        print(visitor.auth.refresh().record["email"])
    ```

    Args:
        token: The token. It is a secret: whoever has it is the user.
        record: The user's record; empty by default.
        meta: See below.

    Attributes:
        token: The token. It is a secret: whoever has it is the user.
        record: The user's record; empty where only the token is known.
        meta: What the OAuth2 provider said in this sign-in: name, avatar, `isNew`, and the provider's own token, which
            is a secret. None in other sessions, and not kept with them.
    """

    __slots__ = ("meta", "record", "token")
    __match_args__ = ("token", "record")

    token: str
    record: dict[str, Any]
    meta: dict[str, Any] | None

    def __init__(self, token: str, record: dict[str, Any] | None = None, meta: dict[str, Any] | None = None) -> None:
        self.token = token
        self.record = record or {}
        self.meta = meta

    @classmethod
    def from_token(cls, token: str, /) -> Session:
        """The session of a token alone: its record has what the token says of it, the ids of user and collection."""
        return cls(token, _native.token_record(token))

    @property
    def user_id(self) -> str:
        """The id of the user's record; empty where it is not known."""
        id = self.record.get("id")
        return id if isinstance(id, str) else ""

    @property
    def expires_at(self) -> datetime | None:
        """When the token expires, in UTC; None where it does not say."""
        millis = _native.token_expiry(self.token)
        if millis is None:
            return None
        from datetime import datetime, timedelta, timezone

        try:
            return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=millis)
        except OverflowError:
            return datetime.max.replace(tzinfo=timezone.utc)

    def to_cookies(self, existing: Iterable[str] = (), **options: Unpack[CookieOptions]) -> list[str]:
        """The session as values of `Set-Cookie`, ready to send: one, or several where it is too long for one.

        ```python
        from typing import Any

        from picobase import Client, Session

        # Flask: `response.headers.add`. Starlette and FastAPI: `response.headers.append`.
        # Django: `response.cookies.load(cookie)`.
        def answer(visitor: Client, request: Any, response: Any) -> None:
            session = visitor.auth.session
            if session:
                cookies = session.to_cookies(existing=request.cookies)
            else:
                cookies = Session.removal_cookies(existing=request.cookies)
            for cookie in cookies:
                response.headers.add("Set-Cookie", cookie)
        ```

        Args:
            existing: The names of the cookies that the request brought: those of an earlier session that are not
                written now are removed, so that no old part stays behind.
            **options: See `CookieOptions`.
        """
        return _native.to_cookies(self.token, self.record or None, several("existing", existing), options)

    @staticmethod
    def removal_cookies(existing: Iterable[str] = (), **options: Unpack[CookieOptions]) -> list[str]:
        """The values of `Set-Cookie` that remove a session, for signing out.

        Args:
            existing: The names of the cookies that the request brought.
            **options: See `CookieOptions`; name, path and domain must be those it was set with.
        """
        return _native.removal_cookies(several("existing", existing), options)

    @classmethod
    def from_cookies(cls, cookies: str | Mapping[str, str] | None, name: str = "pb_auth") -> Session | None:
        """The session in a request's cookies; None where there is none, or it is damaged.

        Whoever sends a cookie can write into it what they like. The server checks the token with every call, but nobody
        has checked the record: do not decide by it who someone is or what they may do before `auth.refresh()` has
        brought the record that the server has.

        ```python
        from typing import Any

        from picobase import Client, Session

        def visitor(client: Client, request: Any) -> Client:
            return client.with_session(Session.from_cookies(request.cookies))
        ```

        Args:
            cookies: The `Cookie` header, or the cookies by name as web frameworks have them.
            name: The cookie's name.
        """
        if cookies is not None and not isinstance(cookies, str):
            cookies = "; ".join(f"{key}={value}" for key, value in cookies.items() if key.startswith(name))
        parts = _native.from_cookies(cookies or "", name)
        return None if parts is None else cls(*parts)

    def __repr__(self) -> str:
        return f"<Session user_id={self.user_id!r} expires_at={self.expires_at and self.expires_at.isoformat()}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Session):
            return NotImplemented
        return (self.token, self.record) == (other.token, other.record)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.token, self.record, self.meta))


def several(name: str, given: Iterable[str]) -> list[str]:
    """Them all. One text would be taken for its letters."""
    if isinstance(given, str):
        raise TypeError(f"{name} must be several texts, a list for example, not a str")
    return list(given)


def maybe(parts: tuple[str, dict[str, Any] | None, dict[str, Any] | None] | None) -> Session | None:
    """The session of these parts, if there is one."""
    return None if parts is None else Session(*parts)


class AuthChange(tuple["AuthEvent", "Session | None"]):
    """What happened to a session, and the session from then on: a tuple of the two."""

    __slots__ = ()
    __match_args__ = ("event", "session")

    def __new__(cls, event: AuthEvent, session: Session | None) -> Self:
        return super().__new__(cls, (event, session))

    def __getnewargs__(self) -> tuple[AuthEvent, Session | None]:
        return self.event, self.session

    @property
    def event(self) -> AuthEvent:
        """What happened."""
        return self[0]

    @property
    def session(self) -> Session | None:
        """The session after it; None for a guest."""
        return self[1]

    def __repr__(self) -> str:
        return f"AuthChange(event={self.event!r}, session={self.session!r})"


class OtpRequest:
    """A one-time password that was mailed.

    Attributes:
        otp_id: To pass with the mailed password.
    """

    __slots__ = ("otp_id",)
    __match_args__ = ("otp_id",)

    otp_id: str

    def __init__(self, otp_id: str) -> None:
        self.otp_id = otp_id

    def __repr__(self) -> str:
        return f"OtpRequest(otp_id={self.otp_id!r})"


class OAuth2Provider:
    """An OAuth2 provider that one may sign in with.

    Attributes:
        name: Its name, `google` for example: what `sign_in_with_oauth2` takes.
        display_name: What to write on the button.
        logo: An SVG, where the server gives one.
    """

    __slots__ = ("display_name", "logo", "name")
    __match_args__ = ("name", "display_name", "logo")

    name: str
    display_name: str
    logo: str | None

    def __init__(self, name: str, display_name: str, logo: str | None) -> None:
        self.name = name
        self.display_name = display_name
        self.logo = logo

    def __repr__(self) -> str:
        return f"OAuth2Provider(name={self.name!r}, display_name={self.display_name!r})"


class OAuth2Start:
    """Where to send the user.

    Attributes:
        url: The provider's page.
        state: What comes back as `state`.
        saved: What `resume_oauth2` takes, where another client or a restarted program finishes. It holds a secret: keep
            it where only that program, or that user's browser, can read it.
    """

    __slots__ = ("saved", "state", "url")
    __match_args__ = ("url", "state", "saved")

    url: str
    state: str
    saved: str

    def __init__(self, url: str, state: str, saved: str) -> None:
        self.url = url
        self.state = state
        self.saved = saved

    def __repr__(self) -> str:
        # The address and the state belong to one user's sign-in.
        return "<OAuth2Start>"


for _public in (Session, AuthChange, OtpRequest, OAuth2Provider, OAuth2Start):
    # Where users import them from: it is what pickles name, which sites and queues keep.
    _public.__module__ = "picobase"
