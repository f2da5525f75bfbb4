"""Sessions: each in its visitor's own cookie, and nowhere else."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest
from picobase import Session

from app import create_app
from helpers import HERE, PASSWORD, Arrive, Visitor
from support.kit import Proxy, Server


def account(visitor: Visitor) -> str:
    """What the page says of who is signed in."""
    page = visitor.get("/").text
    return page[page.index('<nav aria-label="Account">') : page.index("</nav>")]


def revoke(server: Server, visitor: Visitor) -> None:
    """Ends all sessions of a member, as another device can: by a new password."""
    [user] = server.admin("GET", f"/api/collections/users/records?filter=email='{visitor.email}'")["items"]
    body = {"password": PASSWORD + "!", "passwordConfirm": PASSWORD + "!"}
    server.admin("PATCH", f"/api/collections/users/records/{user['id']}", body)


def test_two_visitors_never_see_each_other(arrive: Arrive) -> None:
    ada, bob, guest = arrive("Ada"), arrive("Bob"), arrive()
    for _ in range(2):
        assert "Ada" in account(ada) and "Bob" not in account(ada)
        assert "Bob" in account(bob) and "Ada" not in account(bob)
        assert "Sign in" in account(guest) and "Sign out" not in account(guest)

    draft = ada.pin("Only mine", status="draft")
    assert "Only mine" in ada.get(draft).text
    assert bob.get(draft).status_code == 404
    assert guest.get(draft).status_code == 404
    assert "Only mine" in ada.get("/").text
    assert "Only mine" not in bob.get("/").text + guest.get("/").text

    bob.post("/sign-out")
    assert "Ada" in account(ada) and "Sign in" in account(bob)


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(arrive: Arrive) -> None:
    ada = arrive("Ada")
    ada.post("/sign-out")
    [cookie] = ada.sign_in().headers.getlist("Set-Cookie")
    attributes = cookie.split("; ")[1:]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes) and "Secure" not in attributes

    ada.post("/sign-out")
    answer = ada.browser.post(
        "/sign-in",
        base_url="https://localhost",
        headers={"Origin": "https://localhost"},
        data={"email": ada.email, "password": PASSWORD},
    )
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert "Secure" in cookie.split("; ")


def test_the_cookie_is_written_when_the_session_changes_only(arrive: Arrive) -> None:
    ada = arrive("Ada")
    for path in ("/", "/sign-in", "/static/style.css", "/nothing"):
        assert ada.get(path).headers.getlist("Set-Cookie") == [], path
    assert "Sign out" in account(ada)

    # This page asks the instance who it is: a new token.
    before = ada.cookie()
    time.sleep(1.1)  # Tokens of the same second are the same.
    assert ada.get("/posts/new").status_code == 200
    assert ada.cookie() not in (None, before)

    assert ada.get("/").headers["Cache-Control"] == "private, no-cache"
    answer = ada.post("/sign-out")
    assert answer.status_code == 303 and ada.cookie() is None
    assert arrive().get("/").headers.getlist("Set-Cookie") == []


def test_a_damaged_cookie_is_a_guest(arrive: Arrive) -> None:
    guest = arrive()
    guest.browser.set_cookie("pb_auth", "%7Bnot json")
    assert "Sign in" in account(guest)


def test_what_a_cookie_claims_is_not_believed(arrive: Arrive, server: Server) -> None:
    ada, bob = arrive("Ada"), arrive("Bob")
    post = ada.pin("Ada's own")
    session = Session.from_cookies(f"pb_auth={bob.cookie()}")
    author = server.admin("GET", f"/api/collections/posts/records/{post.split('/')[-1]}")["author"]
    assert session is not None
    forged = Session(session.token, {**session.record, "id": author, "name": "Ada"})
    [cookie] = forged.to_cookies(secure=False)
    bob.browser.set_cookie("pb_auth", cookie.split(";")[0].partition("=")[2])

    assert bob.get(f"{post}/edit").status_code == 403
    assert bob.post(f"{post}/delete").status_code == 403
    assert ada.get(post).status_code == 200


def test_a_session_that_was_ended_elsewhere(arrive: Arrive, server: Server) -> None:
    ada = arrive("Ada")
    revoke(server, ada)
    answer = ada.post("/posts/new", {"title": "Too late"})
    assert answer.status_code == 303 and answer.headers["Location"] == "/sign-in?next=/posts/new&ended=1"
    assert ada.cookie() is None
    assert "Your session has ended" in ada.get(answer.headers["Location"]).text
    assert "Sign in" in account(ada) and "Too late" not in ada.get("/").text

    answer = ada.post("/sign-in", {"email": ada.email, "password": PASSWORD + "!", "next": "/posts/new"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/posts/new")


def test_a_session_that_expired(arrive: Arrive, server: Server) -> None:
    ada = arrive("Ada")
    server.admin("PATCH", "/api/collections/users", {"authToken": {"duration": 10}})
    try:
        ada.sign_in()
    finally:
        server.admin("PATCH", "/api/collections/users", {"authToken": {"duration": 604800}})
    session = Session.from_cookies(f"pb_auth={ada.cookie()}")
    assert session is not None and session.expires_at is not None
    assert session.expires_at - datetime.now(timezone.utc) < timedelta(seconds=11)
    while datetime.now(timezone.utc) < session.expires_at + timedelta(seconds=1):
        time.sleep(0.2)

    # The browser would have dropped it by now; one that did not is a guest.
    [cookie] = session.to_cookies(secure=False, max_age=3600)
    ada.browser.set_cookie("pb_auth", cookie.split(";")[0].partition("=")[2])
    assert "Sign in" in account(ada)
    assert ada.cookie() is None


def test_a_token_is_refreshed_in_time(arrive: Arrive, server: Server) -> None:
    ada = arrive("Ada")
    server.admin("PATCH", "/api/collections/users", {"authToken": {"duration": 30}})
    ada.sign_in()
    server.admin("PATCH", "/api/collections/users", {"authToken": {"duration": 604800}})
    before = Session.from_cookies(f"pb_auth={ada.cookie()}")
    # It runs beside the calls, and a page that is done sooner does not wait for it: one of the next brings it.
    end = time.monotonic() + 60
    while not ada.get("/").headers.getlist("Set-Cookie"):
        assert time.monotonic() < end
    after = Session.from_cookies(f"pb_auth={ada.cookie()}")
    assert before and after and before.expires_at and after.expires_at
    assert after.expires_at - before.expires_at > timedelta(days=6)


def test_members_pages_send_guests_to_sign_in(arrive: Arrive, proxy: Proxy) -> None:
    guest = arrive()
    answer = guest.get("/posts/new")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=/posts/new")
    page = guest.get(answer.headers["Location"]).text
    assert "Your session has ended" not in page and 'name="next" value="/posts/new"' in page


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example"]
)
def test_after_signing_in_one_stays_here(arrive: Arrive, elsewhere: str) -> None:
    assert arrive("Ada").sign_in(next=elsewhere).headers["Location"] == "/"


def test_sign_in_that_is_refused(arrive: Arrive) -> None:
    ada = arrive("Ada")
    ada.post("/sign-out")
    answer = ada.post("/sign-in", {"email": ada.email, "password": "wrong"})
    assert answer.status_code == 422
    assert "do not belong together" in answer.text and ada.email in answer.text and "wrong" not in answer.text
    assert ada.cookie() is None
    assert "do not belong together" in ada.post("/sign-in").text


def test_an_address_that_must_be_verified_first(arrive: Arrive, server: Server) -> None:
    server.admin("PATCH", "/api/collections/users", {"authRule": "verified = true"})
    try:
        eve = arrive()
        form = {"name": "Eve", "email": f"eve-{time.time_ns()}@example.com", "password": PASSWORD}
        assert f"We have written to {form['email']}" in eve.post("/sign-up", form).text
        answer = eve.post("/sign-in", form)
        assert answer.status_code == 422 and 'role="alert"' in answer.text and eve.cookie() is None
    finally:
        server.admin("PATCH", "/api/collections/users", {"authRule": ""})


def test_sign_up_says_at_the_fields_what_is_wrong(arrive: Arrive) -> None:
    ada, other = arrive("Ada"), arrive()
    answer = other.post("/sign-up", {"name": "Eve", "email": "eve@example.com", "password": "short"})
    assert answer.status_code == 422
    assert 'id="password-refused"' in answer.text and 'aria-describedby="password-refused password-hint"' in answer.text
    assert 'value="Eve"' in answer.text and "short" not in answer.text
    answer = other.post("/sign-up", {"name": "Eve", "email": ada.email, "password": PASSWORD})
    assert answer.status_code == 422 and 'id="email-refused"' in answer.text
    assert other.cookie() is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {**HERE, "Sec-Fetch-Site": "cross-site"},
        {**HERE, "Sec-Fetch-Site": "same-site"},
    ],
)
def test_forms_of_other_sites_are_refused(arrive: Arrive, proxy: Proxy, headers: dict[str, str]) -> None:
    ada = arrive("Ada")
    post = ada.pin("Stays")
    for path in ("/sign-out", "/posts/new", f"{post}/edit", f"{post}/delete"):
        answer = ada.browser.post(path, headers=headers, data={"title": "Forged"})
        assert answer.status_code == 403 and "another site" in answer.text
    assert ada.cookie() is not None
    assert "Stays" in ada.get(post).text


def test_forms_of_our_own_are_known_without_an_origin(arrive: Arrive) -> None:
    ada = arrive("Ada")
    assert ada.browser.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303


def test_it_says_when_it_does_not_know_its_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICOBASE_URL", raising=False)
    with pytest.raises(RuntimeError, match="Set PICOBASE_URL"):
        create_app()
