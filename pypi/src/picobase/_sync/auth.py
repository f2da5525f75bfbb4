# Derived from _async/auth.py by tools/derive.py. Change that one.
"""Sign-up, sign-in, and the session."""

from __future__ import annotations

from .._listeners import Listener
from .._session import AuthChange, OAuth2Provider, OAuth2Start, OtpRequest, Session, maybe, several
from .._typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta

    from typing_extensions import Self, Unpack

    from .. import _native
    from .._aliases import AuthListener, CallOptions
    from .client import Client


class Auth:
    """Sign-up, sign-in and the session, for one auth collection: `client.auth`, and `auth` of each collection.

    Of a client there is one session, whichever collection its user is in.

    ```python
    from picobase import Client

    def main(client: Client) -> None:
        session = client.auth.sign_in("ada@example.com", "correct horse")
        print("signed in as", session.record["email"])
    ```
    """

    __slots__ = ("_client", "_native")

    def __init__(self, client: Client, collection: str | None = None) -> None:
        self._client = client
        self._native: _native.NativeAuth = client._native.auth(collection)

    def __repr__(self) -> str:
        from .._errors import ConfigurationError

        try:
            session = self.session
        except ConfigurationError:
            return f"<{type(self).__name__}, closed>"
        return f"<{type(self).__name__} of {session.user_id if session else 'a guest'}>"

    def sign_up(self, email: str, password: str, data: Any = None) -> Session | None:
        """Creates a user and signs in.

        ```python
        from picobase import Client

        def join(client: Client) -> None:
            session = client.auth.sign_up("ada@example.com", "correct horse", {"name": "Ada"})
            if session is None:
                client.auth.request_verification("ada@example.com")
        ```

        Args:
            email: The user's address.
            password: The user's password.
            data: Further fields of the record: a dict, a dataclass or a model, without files.

        Returns:
            The session; None where the user exists now but must verify the address first.

        Raises:
            ValidationError: A value is refused; see its `fields`.
            ConflictError: The address is taken.
        """
        return maybe(self._native.sign_up(email, password, data))

    def sign_in(
        self,
        identity: str,
        password: str,
        *,
        mfa_id: str | None = None,
        identity_field: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Session:
        """Signs in with an identity (an address, or what the collection allows) and a password.

        With multi-factor authentication the first factor fails with `MfaRequiredError`; pass its `mfa_id` with the
        second.

        ```python
        from collections.abc import Callable

        from picobase import Client, MfaRequiredError

        def sign_in(client: Client, ask: Callable[[], str]) -> None:
            try:
                client.auth.sign_in("ada@example.com", "correct horse")
            except MfaRequiredError as error:
                otp = client.auth.request_otp("ada@example.com")
                client.auth.sign_in_with_otp(otp.otp_id, ask(), mfa_id=error.mfa_id)
        ```

        Args:
            identity: Who: an e-mail address, for example.
            password: The password.
            mfa_id: The id of the sign-in whose second factor this is.
            identity_field: Which field to look for the identity in, where several fit.
            **options: See `CallOptions`.

        Raises:
            ValidationError: Wrong credentials.
            ForbiddenError: The collection's auth rule says no.
            MfaRequiredError: A second factor is wanted.
            StorageError: The session lives but could not be kept.
        """
        return Session(*self._native.sign_in(identity, password, mfa_id, identity_field, options))

    def request_otp(self, email: str, **options: Unpack[CallOptions]) -> OtpRequest:
        """Has a one-time password mailed. It also answers for addresses that nobody has.

        Raises:
            RateLimitedError: One was mailed a moment ago.
        """
        return OtpRequest(self._native.request_otp(email, options))

    def sign_in_with_otp(
        self, otp_id: str, password: str, *, mfa_id: str | None = None, **options: Unpack[CallOptions]
    ) -> Session:
        """Signs in with the one-time password that `request_otp` had mailed.

        Args:
            otp_id: `otp_id` of what `request_otp` answered.
            password: The password of the mail.
            mfa_id: The id of the sign-in whose second factor this is.
            **options: See `CallOptions`.

        Raises:
            PicoBaseError: As `sign_in`.
        """
        return Session(*self._native.sign_in_with_otp(otp_id, password, mfa_id, options))

    def sign_in_with_oauth2(
        self,
        provider: str,
        open: Callable[[str], object],
        *,
        scopes: Iterable[str] | None = None,
        create_data: Any = None,
        mfa_id: str | None = None,
        timeout: float | timedelta | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Session:
        """Signs in through the page of an OAuth2 provider, in one step: it is done when the user is.

        The app needs no address to come back to: the provider sends the user to `/api/oauth2-redirect` of the instance,
        which must be registered with the provider. Where a session of this collection is live, the provider's account
        is linked to its user. The instance wants the event stream and the calls to come from the same IP address; on a
        network that changes between IPv4 and IPv6 use `begin_oauth2`.

        ```python
        import webbrowser

        from picobase import Client

        def main(client: Client) -> None:
            session = client.auth.sign_in_with_oauth2("google", webbrowser.open)
            print("hello", session.record["email"])
        ```

        Args:
            provider: The provider's name.
            open: Gets the address of the provider's page and shows it to the user; it should return at once. What it
                raises ends the sign-in. With asyncio it runs on the event loop, and may be a coroutine function.
            scopes: What to ask the provider for, in place of what the server asks for.
            create_data: Fields for the record, where this sign-in creates the user.
            mfa_id: The id of the sign-in whose second factor this is.
            timeout: How long to wait until the user is back, in seconds: 5 minutes by default, and at most, since then
                the server gives up.
            query: Query parameters of the call that signs in.
            headers: Header fields of the call that signs in.

        Raises:
            NotFoundError: The collection has no such provider.
            ValidationError: The provider or the server refused.
            TimeoutError: The user did not come back in time.
            NetworkError: The event stream broke meanwhile. Begin again.
        """
        options: CallOptions = {"query": query, "headers": headers}
        parts = self._native.sign_in_with_oauth2(
            provider, _shown(open), None if scopes is None else several("scopes", scopes), create_data, mfa_id, timeout, options
        )
        return Session(*parts)

    def begin_oauth2(self, provider: str, redirect_url: str) -> OAuth2Start:
        """Begins a sign-in with an OAuth2 provider: send the user to `url` of the answer.

        The provider sends them back to `redirect_url`, whose whole address `finish_oauth2_url` takes. Where another
        client or process finishes, it calls `resume_oauth2` with `saved` of the answer before.

        ```python
        from picobase import Client

        def login(client: Client) -> str:
            start = client.auth.begin_oauth2("google", "https://app.example.com/callback")
            return start.url

        def callback(client: Client, url: str) -> None:
            client.auth.finish_oauth2_url(url)
        ```

        Raises:
            NotFoundError: The collection has no such provider.
        """
        return OAuth2Start(*self._native.begin_oauth2(provider, redirect_url))

    def resume_oauth2(self, saved: str) -> None:
        """Takes over a sign-in that was begun elsewhere: on another client, or before a restart.

        Args:
            saved: `saved` of what `begin_oauth2` answered.

        Raises:
            ValidationError: It is something else.
        """
        self._native.resume_oauth2(saved)

    def finish_oauth2(
        self,
        code: str,
        state: str,
        *,
        create_data: Any = None,
        mfa_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Session:
        """Finishes a sign-in that this client began, with what the provider sent back. Each state works once.

        Args:
            code: `code` of the callback's address.
            state: `state` of the callback's address.
            create_data: Fields for the record, where this sign-in creates the user.
            mfa_id: The id of the sign-in whose second factor this is.
            **options: See `CallOptions`.

        Raises:
            ValidationError: The state is not one that was begun here, or the server refused.
        """
        return Session(*self._native.finish_oauth2(code, state, create_data, mfa_id, options))

    def finish_oauth2_url(
        self, callback_url: str, *, create_data: Any = None, mfa_id: str | None = None, **options: Unpack[CallOptions]
    ) -> Session:
        """`finish_oauth2` with the whole address to which the provider sent the user back.

        Args:
            callback_url: The address.
            create_data: Fields for the record, where this sign-in creates the user.
            mfa_id: The id of the sign-in whose second factor this is.
            **options: See `CallOptions`.

        Raises:
            ValidationError: The provider refused, or the state is not one that was begun here.
        """
        return Session(*self._native.finish_oauth2(str(callback_url), None, create_data, mfa_id, options))

    def oauth2_providers(self) -> list[OAuth2Provider]:
        """The OAuth2 providers that one may sign in with."""
        return [OAuth2Provider(*provider) for provider in self._native.oauth2_providers()]

    def methods(self, **options: Unpack[CallOptions]) -> dict[str, Any]:
        """How one may sign in to this collection: `password`, `otp`, `mfa` and `oauth2`, as the server says it."""
        methods: dict[str, Any] = self._native.methods(options)
        return methods

    def request_verification(self, email: str, **options: Unpack[CallOptions]) -> None:
        """Has a mail sent to verify the address. It also answers for addresses that nobody has."""
        self._native.request_verification(email, options)

    def confirm_verification(self, token: str, **options: Unpack[CallOptions]) -> None:
        """Verifies an address with the token of the mail."""
        self._native.confirm_verification(token, options)

    def request_password_reset(self, email: str, **options: Unpack[CallOptions]) -> None:
        """Has a mail sent to set a new password. It also answers for addresses that nobody has."""
        self._native.request_password_reset(email, options)

    def confirm_password_reset(self, token: str, password: str, **options: Unpack[CallOptions]) -> None:
        """Sets a new password with the token of the mail. If its user is the one who is signed in, they stay so."""
        self._native.confirm_password_reset(token, password, options)

    def request_email_change(self, new_email: str, **options: Unpack[CallOptions]) -> None:
        """Has a mail sent to a new address of the signed-in user, to confirm it."""
        self._native.request_email_change(new_email, options)

    def confirm_email_change(self, token: str, password: str, **options: Unpack[CallOptions]) -> None:
        """Changes the address with the token of the mail and the user's password.

        All tokens of that user are dead then: if it is the one who is signed in, the session ends.
        """
        self._native.confirm_email_change(token, password, options)

    def impersonate(self, id: str, duration: float | timedelta | None = None, **options: Unpack[CallOptions]) -> Client:
        """A client that is signed in as another user, for superusers. Its token cannot be refreshed.

        ```python
        from picobase import Client

        def look(root: Client) -> None:
            ada = root.collection("users").auth.impersonate("ada_id", 600)
            print(len(ada.collection("notes").get_list()))
        ```

        Args:
            id: The id of the user's record.
            duration: How long the token lives, in whole seconds; by default as the collection's do.
            **options: See `CallOptions`.
        """
        return self._client._of(self._native.impersonate(id, duration, options))

    def external_auths(self, id: str, **options: Unpack[CallOptions]) -> list[dict[str, Any]]:
        """The OAuth2 accounts that are linked to the user of that id."""
        accounts: list[dict[str, Any]] = self._native.external_auths(id, options)
        return accounts

    def unlink_external_auth(self, id: str, provider: str) -> None:
        """Unlinks an OAuth2 account from the user of that id.

        Raises:
            NotFoundError: There is no such account.
        """
        self._native.unlink_external_auth(id, provider)

    @property
    def session(self) -> Session | None:
        """The session, if one is live. Local: it asks nobody.

        What a store of one's own holds is known after the first call, or after `ready`.
        """
        return maybe(self._native.session())

    def get_user(self) -> dict[str, Any] | None:
        """The signed-in user's record, if anyone is signed in. Local, as `session`."""
        session = self.session
        return None if session is None else session.record

    def ready(self) -> None:
        """Waits until the stored session has been loaded, and an expired one been asked for. Calls do so by themselves.

        Raises:
            StorageError: The store cannot be read.
        """
        self._native.ready()

    def refresh(self) -> Session:
        """Asks for a new token now, whatever the clock says.

        Raises:
            SessionExpiredError: The server says that the session is over, or nobody is signed in.
        """
        return Session(*self._native.refresh())

    def sign_out(self) -> None:
        """Signs out, here and in the store. The server keeps no session that would have to end.

        Raises:
            StorageError: The store could not be cleared; the client is signed out all the same.
        """
        self._native.sign_out()

    def set_session(self, session: Session) -> None:
        """Uses a session that came from elsewhere, as if its user had just signed in.

        Raises:
            DecodeError: Its token is none.
            StorageError: It could not be kept.
        """
        # Not all who call have a type checker.
        if not isinstance(session, Session):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"expected a Session, not {type(session).__name__}; of a token alone it is `Session.from_token(token)`")
        self._native.set_session(session.token, session.record or None)

    def sync_from_store(self) -> None:
        """Reads the store again, because another process has changed it.

        What stands there is taken over, told to the listeners if it differs, and not written again.

        Raises:
            StorageError: The store cannot be read; the session stays as it is.
        """
        self._native.sync_from_store()

    def on_change(self, listener: AuthListener) -> Callable[[], None]:
        """Calls `listener` with what happens to the session, `INITIAL_SESSION` first, as soon as the session is loaded.

        With asyncio it runs on the event loop that runs now, and may be a coroutine function: each call becomes a task.
        With the blocking client it runs on the thread that makes the change, where a blocking call would wait for itself
        and is an error; what a store of one's own holds is loaded by the first call, or by `ready`. What a listener
        raises goes to the loop's exception handler, or to `sys.unraisablehook`.

        A listener belongs to its process: a child that was forked adds its own.

        ```python
        from picobase import Client

        def watch(client: Client) -> None:
            stop = client.auth.on_change(lambda event, session: print(event, session and session.user_id))
            client.auth.sign_in("ada@example.com", "correct horse")
            stop()
        ```

        Args:
            listener: Called with the event and the session after it, None for a guest.

        Returns:
            A function that takes the listener away.
        """
        return Listener(self._client._listeners, listener).start(self._native)

    def changes(self) -> AuthChanges:
        """What happens to the session from now on, `INITIAL_SESSION` first.

        ```python
        from picobase import Client

        def watch(client: Client) -> None:
            for event, session in client.auth.changes():
                print(event, session and session.user_id)
        ```
        """
        return AuthChanges(self._native.changes())


class AuthChanges:
    """What happens to a session, one after the other, until the client is closed. See `Auth.changes`."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.NativeChanges) -> None:
        self._native = native

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AuthChange:
        change = self._native.next()
        if change is None:
            raise StopIteration
        event, parts = change
        return AuthChange(event, maybe(parts))


def _shown(open: Callable[[str], object]) -> Callable[[str], object]:
    # The user's function as the core calls it.
    return open
