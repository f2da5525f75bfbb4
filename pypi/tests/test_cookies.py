"""B10: a visitor's session in the visitor's cookies."""

from __future__ import annotations

import json
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote

import pytest

from picobase import Session
from support.world import World
from test_sessions import token_of

TOKEN = token_of(id="u1", type="auth", exp=1_900_000_000)


def sent(cookies: list[str]) -> str:
    """The `Cookie` header of a browser that was given these."""
    jar: dict[str, str] = {}
    for cookie in cookies:
        name, value = cookie.split(";")[0].split("=", 1)
        if "Expires=Thu, 01 Jan 1970" in cookie:
            jar.pop(name, None)
        else:
            jar[name] = value
    return "; ".join(f"{name}={value}" for name, value in jar.items())


def test_one_cookie() -> None:
    [cookie] = Session(TOKEN, {"id": "u1"}).to_cookies()
    value = quote('{"token":"' + TOKEN + '","record":{"id":"u1"}}', safe="-_.!~*'()")
    assert cookie == f"pb_auth={value}; Path=/; Expires=Sun, 17 Mar 2030 17:46:40 GMT; HttpOnly; Secure; SameSite=Lax"
    assert Session.from_cookies(f"theme=dark; {sent([cookie])}") == Session(TOKEN, {"id": "u1"})
    # Nobody has checked it, and what is not known is not made up.
    assert Session.from_cookies(sent(Session(TOKEN).to_cookies())) == Session(TOKEN)


def test_its_options_are_keywords() -> None:
    session = Session(TOKEN, {"id": "u1"})
    [cookie] = session.to_cookies(
        name="sid",
        path="/app",
        domain="example.com",
        max_age=timedelta(hours=1),
        secure=False,
        http_only=False,
        same_site="strict",
    )
    attributes = cookie.split("; ")[1:]
    assert attributes == [
        "Path=/app",
        "Domain=example.com",
        "Expires=Sun, 17 Mar 2030 17:46:40 GMT",
        "Max-Age=3600",
        "SameSite=Strict",
    ]
    assert Session.from_cookies(sent([cookie]), "sid") == session
    assert Session.from_cookies(sent([cookie])) is None
    [cookie] = session.to_cookies(max_age=60, domain=None, secure=None, same_site="none")
    assert "Max-Age=60" in cookie and "Secure" in cookie and "SameSite=None" in cookie
    with pytest.raises(ValueError, match="strict, lax or none"):
        session.to_cookies(same_site="other")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'samesite'"):
        session.to_cookies(samesite="lax")  # type: ignore[call-arg]


def test_what_is_too_long_for_one_is_in_several() -> None:
    record = {"id": "u1", "bio": "ü" * 2000}
    cookies = Session(TOKEN, record).to_cookies(existing=["pb_auth", "theme", "pb_auth.9"])
    assert len(cookies) > 3 and all(len(cookie.encode()) <= 4096 for cookie in cookies)
    assert [cookie.split(";")[0] for cookie in cookies[-2:]] == ["pb_auth=", "pb_auth.9="]
    header = sent(["pb_auth.9=stale", *cookies])
    assert Session.from_cookies(header) == Session(TOKEN, record)
    parts = {name: value for name, _, value in (part.partition("=") for part in header.split("; "))}
    assert Session.from_cookies({"theme": "dark", **parts}) == Session(TOKEN, record)
    shorter = Session(TOKEN, {"id": "u1"}).to_cookies(existing=parts)
    assert Session.from_cookies(sent([*cookies, *shorter])) == Session(TOKEN, {"id": "u1"})


def test_signing_out_removes_them() -> None:
    cookies = Session.removal_cookies(existing={"theme": "dark", "pb_auth.0": "x", "pb_auth.1": "y"}, path="/app")
    assert [cookie.split(";")[0] for cookie in cookies] == ["pb_auth=", "pb_auth.0=", "pb_auth.1="]
    assert all("; Path=/app; Expires=Thu, 01 Jan 1970 00:00:00 GMT" in cookie for cookie in cookies)
    assert len(Session.removal_cookies()) == 1
    # The letters of a header name no cookie: a part of an earlier session would stay.
    for write in (Session("a.b.c").to_cookies, Session.removal_cookies):
        with pytest.raises(TypeError, match="existing must be several texts"):
            write("pb_auth.0=x; pb_auth.1=y")


@pytest.mark.parametrize(
    "nothing", [None, "", "theme=dark", "pb_auth=hello", "pb_auth=\ud800", "pb_auth=%7B%7", {}, {"pb_auth": ""}]
)
def test_none_where_there_is_none(nothing: Any) -> None:
    assert Session.from_cookies(nothing) is None


def test_in_a_django_response() -> None:
    """Its `cookies` are a `SimpleCookie`, which reads what a header says."""
    record = {"id": "u1", "name": 'a;b=c, "d" %41 ü', "bio": "x" * 5000}
    response: SimpleCookie = SimpleCookie()
    for cookie in Session(TOKEN, record).to_cookies(http_only=True):
        response.load(cookie)
    first = response["pb_auth.0"]
    assert (first["path"], first["httponly"], first["secure"], first["samesite"]) == ("/", True, True, "Lax")
    assert first["expires"] == "Sun, 17 Mar 2030 17:46:40 GMT"
    request = {name: morsel.value for name, morsel in response.items()}
    assert Session.from_cookies(request) == Session(TOKEN, record)


async def test_a_visitor_with_a_cookie(world: World) -> None:
    shared = world.client()
    cookies = (await world.user()).auth.session.to_cookies(secure=False)
    visitor = shared.with_session(Session.from_cookies(sent(cookies)))
    session = await visitor.auth.refresh()
    assert session.record["email"] == visitor.auth.get_user()["email"]
    assert [user["id"] for user in await visitor.collection("users").get_full_list()] == [session.user_id]

    # The record is whatever its sender wrote, until the server was asked.
    forged = Session(session.token, {**session.record, "id": "admin", "verified": True})
    visitor = shared.with_session(Session.from_cookies(sent(forged.to_cookies())))
    assert visitor.auth.session.user_id == "admin"
    assert (await visitor.auth.refresh()).user_id == session.user_id
    assert json.dumps(visitor.auth.session.record).find("admin") == -1
