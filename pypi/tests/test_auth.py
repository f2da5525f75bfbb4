"""B8: every way to sign in, and what a session hears of it. B17: what is secret shows nowhere."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import pickle
import sys
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from picobase import AsyncClient, Client, ConfigurationError, MfaRequiredError, OtpRequest, Session, ValidationError
from picobase.stores import MemoryStore
from support.world import World, collected, failure, unique, until


def address(word: str) -> str:
    return f"{unique(word)}@example.com"


def events(client: Any) -> list[str]:
    """The events of a client, as they come."""
    seen: list[str] = []
    client.auth.on_change(lambda event, session: seen.append(event))
    return seen


async def acts_as_itself(client: Any) -> bool:
    """Does the server take the client for the user of its session? Only the owner may write such a note."""
    note = {"owner": client.auth.session.user_id, "body": "x"}
    try:
        await client.collection("private_notes").create(note)
    except Exception:
        return False
    return True


async def test_sign_up_out_and_in_again(world: World) -> None:
    client = world.client()
    seen = events(client)
    email = address("signup")
    session = await client.auth.sign_up(email, world.kit.password, {"name": "Ada"})
    assert (session.record["name"], session.record["email"]) == ("Ada", email)
    assert session.expires_at.tzinfo is not None and session.expires_at.timestamp() > 1_700_000_000
    assert client.auth.session == session and client.auth.session.user_id == session.record["id"]
    assert client.auth.get_user()["email"] == email
    assert await acts_as_itself(client)

    await client.auth.sign_out()
    assert not client.auth.session
    assert client.auth.get_user() is None
    error = await failure(client.auth.sign_in(email, "wrong-password"), "Validation")
    assert error.status == 400
    again = await client.collection("users").auth.sign_in(email, world.kit.password, identity_field="email")
    assert again.token == client.auth.session.token and again.meta is None
    assert (await client.collection("private_notes").get_list(1, 1)).total_items == 1
    await until(lambda: len(seen) == 4)
    assert seen == ["INITIAL_SESSION", "SIGNED_IN", "SIGNED_OUT", "SIGNED_IN"]


async def test_where_verification_must_come_first_there_is_no_session_yet(world: World) -> None:
    client, email = world.client(), address("member")
    members = client.collection("members").auth
    assert await members.sign_up(email, world.kit.password) is None
    await failure(members.sign_in(email, world.kit.password), "Forbidden")
    assert await members.request_verification(email) is None
    await members.confirm_verification(world.kit.mail(email)["token"])
    assert (await members.sign_in(email, world.kit.password)).record["verified"] is True
    assert client.auth.session.record["email"] == email


async def test_verifying_the_one_who_is_signed_in_changes_the_record(world: World) -> None:
    client = await world.user()
    seen = events(client)
    email = client.auth.session.record["email"]
    await client.auth.request_verification(email)
    await client.auth.confirm_verification(world.kit.mail(email)["token"])
    assert client.auth.get_user()["verified"] is True
    await until(lambda: seen == ["INITIAL_SESSION", "USER_UPDATED"])


async def test_a_password_is_reset_by_mail(world: World) -> None:
    client = await world.user()
    email = client.auth.session.record["email"]
    await client.auth.request_password_reset(email)
    token = world.kit.mail(email)["token"]
    before = client.auth.session.token
    await client.auth.confirm_password_reset(token, "another-password")
    # Who is signed in stays so, with a new token: the old one is dead.
    assert client.auth.session.token != before
    assert await acts_as_itself(client)
    await failure(world.client().auth.sign_in(email, world.kit.password), "Validation")
    await world.client().auth.sign_in(email, "another-password")


async def test_a_changed_address_ends_the_session(world: World) -> None:
    client = await world.user()
    seen = events(client)
    email = address("changed")
    await client.auth.request_email_change(email)
    await client.auth.confirm_email_change(world.kit.mail(email)["token"], world.kit.password)
    await until(lambda: "SESSION_EXPIRED" in seen)
    assert seen == ["INITIAL_SESSION", "SESSION_EXPIRED"]
    error = await failure(client.collection("posts").get_list(), "SessionExpired")
    assert (error.attempts, bool(error.fix)) == (0, True)
    await client.auth.sign_in(email, world.kit.password)
    await client.collection("posts").get_list(1, 1)


async def test_ones_own_record(world: World) -> None:
    client = await world.user()
    seen, users, own = events(client), client.collection("users"), client.auth.session.user_id
    await users.update(own, {"name": "Grace"})
    assert client.auth.session.record["name"] == "Grace"
    passwords = {
        "oldPassword": world.kit.password,
        "password": "another-password",
        "passwordConfirm": "another-password",
    }
    await users.update(own, passwords)
    assert await acts_as_itself(client)
    await users.delete(own)
    await until(lambda: seen[-1] == "SIGNED_OUT")
    assert seen[:2] == ["INITIAL_SESSION", "USER_UPDATED"]
    assert client.auth.session is None


async def test_a_service_signs_in_by_itself_once_for_many_calls(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url, credentials=("alice@example.com", world.kit.password))
    assert not client.auth.session
    await asyncio.gather(*(client.collection("private_notes").get_list(1, 1) for _ in range(10)))
    assert len(proxy.requests("auth-with-password")) == 1
    assert client.auth.session.record["email"] == "alice@example.com"
    other = world.client(proxy.url, credentials=("manager@example.com", world.kit.password, "members"))
    await other.collection("members").get_list(1, 1)
    assert other.auth.session.record["collectionName"] == "members"


async def test_a_service_signs_in_again_when_its_session_ends(world: World) -> None:
    proxy = world.proxy()
    # Its tokens are near their end from the start.
    client = world.client(proxy.url, credentials=("shortlived@example.com", world.kit.password, "shortlived"))
    body = {"status": 401, "message": "no", "data": {}}
    proxy.respond(401, path_contains="auth-refresh", action={"body": body})
    seen = events(client)

    async def sign_ins() -> int:
        await client.collection("posts").get_list(1, 1)
        return len(proxy.requests("auth-with-password"))

    assert await sign_ins() == 1
    await until(sign_ins, lambda count: count == 2)
    assert seen[:4] == ["INITIAL_SESSION", "SIGNED_IN", "SESSION_EXPIRED", "SIGNED_IN"]


def test_credentials_of_another_shape_are_refused_without_showing_them() -> None:
    for wrong in [("a@example.com", b"SentinelPassw0rd"), ("SentinelPassw0rd",), "SentinelPassw0rd"]:
        with pytest.raises(TypeError, match=r"\(identity, password\)") as caught:
            Client("http://127.0.0.1:1", credentials=wrong)  # type: ignore[arg-type]
        assert "Sentinel" not in "".join(traceback.format_exception_only(caught.value))


async def test_password_and_one_time_password_as_two_factors(world: World) -> None:
    client, email = world.client(), address("secured")
    password = {"password": world.kit.password, "passwordConfirm": world.kit.password}
    await world.superuser().collection("secured").create({"email": email, "verified": True, **password})
    secured = client.collection("secured").auth
    error = await failure(secured.sign_in(email, world.kit.password), "MfaRequired")
    assert isinstance(error, MfaRequiredError) and error.mfa_id
    otp = await secured.request_otp(email)
    assert isinstance(otp, OtpRequest)
    await failure(secured.sign_in_with_otp(otp.otp_id, "000000", mfa_id=error.mfa_id), "Validation")
    session = await secured.sign_in_with_otp(otp.otp_id, world.kit.mail(email)["otp"], mfa_id=error.mfa_id)
    assert session.record["email"] == email and client.auth.session == session


async def test_the_ways_that_a_collection_knows(world: World) -> None:
    auth = world.client().collection("users").auth
    methods = await auth.methods()
    assert methods["password"] == {"enabled": True, "identityFields": ["email"]}
    assert [provider["name"] for provider in methods["oauth2"]["providers"]] == ["oidc"]
    assert sorted(await auth.methods(query={"fields": "password"})) == ["password"]


async def test_impersonation_is_a_client_of_its_own(world: World) -> None:
    root = world.superuser()
    alice = await world.client().auth.sign_in("alice@example.com", world.kit.password)
    other = await root.collection("users").auth.impersonate(alice.user_id, 600)
    lifetime = other.auth.session.expires_at.timestamp() - alice.expires_at.timestamp()
    assert lifetime < 0, "it should live for ten minutes"
    assert other.auth.session.record["email"] == "alice@example.com"
    assert await acts_as_itself(other)
    assert root.auth.session.user_id != alice.user_id
    assert (await root.collection("noaccess").get_list(1, 1)).page == 1
    await failure(other.collection("noaccess").get_list(1, 1), "Forbidden")
    await failure(root.collection("users").auth.impersonate("missing", 60), "NotFound")


async def test_a_refresh_brings_a_new_token_and_a_session_can_be_set(world: World) -> None:
    client = await world.user()
    seen = events(client)
    before = client.auth.session.token
    await asyncio.sleep(1.1)  # Tokens count in seconds.
    session = await client.auth.refresh()
    assert session.token != before and client.auth.session == session
    other = world.client()
    await other.auth.set_session(session)
    assert await acts_as_itself(other)
    await other.auth.set_session(Session(session.token))
    assert other.auth.session.user_id == session.user_id
    await failure(other.auth.set_session(Session("no token")), "Decode")
    await until(lambda: len(seen) == 2)
    assert seen == ["INITIAL_SESSION", "TOKEN_REFRESHED"]
    error = await failure(world.client().auth.refresh(), "SessionExpired")
    assert str(error) == "the session is over, or there was none"


async def test_files_cannot_go_with_a_sign_up(world: World) -> None:
    error = await failure(world.client().auth.sign_up(address("file"), "a-password", {"avatar": b"x"}), "Validation")
    assert error.attempts == 0 and "Update" in error.fix


async def test_a_listener_is_told_no_more_once_it_has_gone(world: World) -> None:
    client = world.client()
    seen: list[str] = []
    stop = client.auth.on_change(lambda event, session: seen.append(event))
    await until(lambda: len(seen) == 1)
    stop()
    stop()
    await client.auth.sign_in("alice@example.com", world.kit.password)
    await asyncio.sleep(0.05)
    assert seen == ["INITIAL_SESSION"]


async def test_a_listener_hears_who_it_is(world: World) -> None:
    client = world.client()
    heard: list[tuple[str, Session | None]] = []
    client.auth.on_change(lambda *change: heard.append(change))
    session = await client.auth.sign_in("alice@example.com", world.kit.password)
    await client.auth.sign_out()
    await until(lambda: len(heard) == 3)
    assert heard == [("INITIAL_SESSION", None), ("SIGNED_IN", session), ("SIGNED_OUT", None)]
    late: list[tuple[str, Session | None]] = []
    client.auth.on_change(lambda *change: late.append(change))
    await until(lambda: late == [("INITIAL_SESSION", None)])


async def test_changes_one_after_the_other(world: World) -> None:
    client = world.client()
    changes = client.auth.changes().__aiter__()
    first = await changes.__anext__()
    assert (first.event, first.session) == ("INITIAL_SESSION", None)
    waiting = asyncio.ensure_future(changes.__anext__())
    await asyncio.sleep(0.05)
    session = await client.auth.sign_in("alice@example.com", world.kit.password)
    event, now = await waiting
    assert (event, now) == ("SIGNED_IN", session)
    await client.auth.sign_out()
    async for event, now in changes:
        assert (event, now) == ("SIGNED_OUT", None)
        break


async def test_coroutines_and_context_of_listeners(kit: Any) -> None:
    from contextvars import ContextVar

    name: ContextVar[str] = ContextVar("name")
    name.set("of the one who listens")
    heard: list[Any] = []

    async def listener(event: str, session: Session | None) -> None:
        await asyncio.sleep(0.01)
        heard.append((event, name.get(), threading.current_thread()))

    async with AsyncClient(kit.url) as client:
        client.auth.on_change(listener)
        await client.auth.sign_in("alice@example.com", kit.password)
        await until(lambda: len(heard) == 2)
    wanted = ("of the one who listens", threading.current_thread())
    assert heard == [("INITIAL_SESSION", *wanted), ("SIGNED_IN", *wanted)]


async def test_what_listeners_raise_breaks_nothing(kit: Any) -> None:
    loop, told = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fails(event: str, session: Session | None) -> None:
        raise LookupError(event)

    async def fails_later(event: str, session: Session | None) -> None:
        raise ValueError(event)

    async with AsyncClient(kit.url) as client:
        client.auth.on_change(fails)
        client.auth.on_change(fails_later)
        await client.auth.sign_in("alice@example.com", kit.password)
        await until(lambda: len(told) == 4)
    assert sorted(repr(error) for error in told) == [
        "LookupError('INITIAL_SESSION')",
        "LookupError('SIGNED_IN')",
        "ValueError('INITIAL_SESSION')",
        "ValueError('SIGNED_IN')",
    ]


def test_a_listener_of_the_blocking_client(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: raised.append(what.exc_value))
    with Client(kit.url) as client:
        threads: list[Any] = []
        refused: list[BaseException] = []

        def listener(event: str, session: Session | None) -> None:
            threads.append(threading.current_thread())
            try:
                client.collection("posts").get_list(1, 1)
            except ConfigurationError as error:
                refused.append(error)
            raise LookupError(event)

        client.auth.on_change(listener)
        assert threads == [threading.current_thread()], "INITIAL_SESSION is told at once"
        client.auth.sign_in("alice@example.com", kit.password)
        assert set(threads) == {threading.current_thread()}
        assert [repr(error) for error in raised] == ["LookupError('INITIAL_SESSION')", "LookupError('SIGNED_IN')"]
        assert len(refused) == 2 and "would wait for itself" in str(refused[0])
        client.collection("posts").get_list(1, 1)


async def test_a_client_that_is_closed_tells_nothing(world: World) -> None:
    store = MemoryStore()
    client, seen = world.client(store=store), list[str]()
    client.auth.on_change(lambda event, session: seen.append(event))
    await client.auth.sign_in("alice@example.com", world.kit.password)
    waiting = asyncio.ensure_future(anext(aiter(client.auth.changes())))
    await waiting
    rest = client.auth.changes()
    await anext(aiter(rest))
    waiting = asyncio.ensure_future(anext(aiter(rest)))
    await asyncio.sleep(0.05)
    await client.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    await failure(client.auth.sign_out(), "Configuration")
    assert seen == ["INITIAL_SESSION", "SIGNED_IN"]
    assert store.load(), "who closes does not sign out"


async def test_what_is_no_function_is_no_listener(world: World) -> None:
    with pytest.raises(TypeError, match="a listener must be a function, not str"):
        world.client().auth.on_change("SIGNED_IN")


def test_without_an_event_loop_there_is_nowhere_to_listen(kit: Any) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncClient(kit.url).auth.on_change(print)


async def test_a_client_and_a_listener_that_refers_to_it_go_together(kit: Any) -> None:
    for made in (Client, AsyncClient):
        client: Any = made(kit.url)
        visitor = client.with_session(None)
        visitor.auth.on_change(lambda *_, visitor=visitor: visitor)
        visitor.collection("posts").auth.on_change(lambda *_, visitor=visitor: visitor)
        gone = weakref.ref(visitor)
        del visitor
        # Not before the listeners were told who it is: until then their thread holds them.
        await until(functools.partial(collected, gone))
        del client
        gc.collect()


SECRET = "SentinelPassw0rd"
KEY = "pb_SentinelKey0123456789"


def printed(value: Any) -> str:
    """All that a program prints of a value without asking for its parts."""
    said = [repr(value), str(value), f"{value}"]
    if isinstance(value, BaseException):
        said += traceback.format_exception(value)
        said.append(repr(value.args))
    return "\n".join(said)


async def test_what_is_no_text_is_refused_without_being_shown(world: World) -> None:
    # As JSON may bring it from a visitor. What Python itself raises here has all of the text in it.
    client, broken = world.client(), SECRET + "\ud800"
    calls: list[Callable[[], Any]] = [
        lambda: client.auth.sign_in("ada@example.com", broken),
        lambda: client.auth.sign_up("ada@example.com", broken),
        lambda: client.auth.sign_in_with_otp("otp", broken),
        lambda: client.auth.sign_in_with_otp("otp", SECRET, mfa_id=broken),
        lambda: client.auth.confirm_password_reset(broken, SECRET),
        lambda: client.auth.finish_oauth2_url(broken),
        lambda: client.collection("posts").get_list(headers={"X-Key": broken}),
        lambda: client.collection("posts").subscribe(broken),
        lambda: client.send("/api/" + broken),
        lambda: client.files.download(("posts", "a"), broken),
    ]
    for call in calls:
        with pytest.raises(ValidationError, match="lone surrogate") as caught:
            await call()
        assert SECRET not in "".join(map(repr, (caught.value, caught.value.__cause__, caught.value.__context__)))
    for taken in (client.with_session, client.collection, client.filter):
        with pytest.raises(ValidationError, match="lone surrogate"):
            taken(broken)
    assert repr(Session(broken)) == "<Session user_id='' expires_at=None>"


async def test_secrets_are_in_nothing_that_is_printed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = world.proxy()
    client, email = world.client(proxy.url, KEY), address("secret")
    session = await client.auth.sign_up(email, SECRET)
    users, token = client.collection("users"), session.token
    start = await client.auth.begin_oauth2("oidc", "http://127.0.0.1:9/callback")
    shown: list[Any] = [client, client.auth, users, users.auth, session, [session], {"session": session}, start]
    calls = [
        client.auth.sign_in(email, SECRET + SECRET),
        client.auth.confirm_password_reset(SECRET, SECRET),
        client.auth.sign_in_with_otp("otp", SECRET, query={"token": SECRET}, headers={"X-Secret": KEY}),
        client.auth.finish_oauth2(SECRET, start.state),
        client.auth.finish_oauth2(SECRET, "other"),
        users.update("x", {"password": SECRET}, query={"token": SECRET, "password": SECRET}),
    ]
    shown += [await failure(call) for call in calls]
    body = {"status": 400, "message": "no", "data": {}, "token": token}
    proxy.respond(400, path_contains="/records", action={"body": body})
    shown.append(await failure(users.create({"email": email, "password": SECRET})))
    proxy.faults({"path_contains": "/records", "action": {"type": "reset"}})
    shown.append(await failure(users.create({"password": SECRET}, query={"token": token})))
    for value in shown:
        text = printed(value)
        for word in (SECRET, KEY, token, start.saved, start.state):
            assert word not in text, text
    for word in (SECRET, KEY, token, start.saved):
        assert word not in caplog.text
    assert pickle.loads(pickle.dumps(session)) == session


async def test_nothing_is_printed(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    client = await world.user()
    await failure(client.collection("posts").create({}))
    await failure(client.auth.sign_in("a@example.com", "wrong"))
    assert capfd.readouterr() == ("", "")
