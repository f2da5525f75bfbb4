"""B8: OAuth2, by code and in one call."""

from __future__ import annotations

import asyncio
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from picobase import OAuth2Provider, Session, TimeoutError
from support.world import World, failure, unique, until

REDIRECT = "http://127.0.0.1:9/callback"


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the app is not there, its address is what counts."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


def visit(url: str, email: str) -> str:
    """Where the provider sends the user back to."""
    try:
        urllib.request.build_opener(Stay).open(f"{url}&login_hint={email}", timeout=30)
    except urllib.error.HTTPError as error:
        with error:
            return str(error.headers["Location"])
    raise AssertionError("the provider sent nobody anywhere")


def go(url: str, email: str) -> None:
    """The user's browser, which follows."""
    urllib.request.urlopen(f"{url}&login_hint={email}", timeout=30).close()


def address(word: str) -> str:
    return f"{unique(word)}@example.com"


def parameter(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query)[name][0]


async def test_by_code(world: World) -> None:
    client, email = world.client(), address("oauth")
    [provider] = await client.auth.oauth2_providers()
    assert isinstance(provider, OAuth2Provider) and provider.name == "oidc" and provider.display_name
    start = await client.auth.begin_oauth2("oidc", REDIRECT)
    assert parameter(start.url, "code_challenge_method") == "S256"
    assert parameter(start.url, "state") == start.state
    back = await asyncio.to_thread(visit, start.url, email)
    assert back.startswith(REDIRECT)
    await failure(client.auth.finish_oauth2(parameter(back, "code"), "other"), "Validation")
    session = await client.auth.finish_oauth2(parameter(back, "code"), start.state, create_data={"name": "Eve"})
    assert (session.record["email"], session.record["name"], session.meta["isNew"]) == (email, "Eve", True)
    assert client.auth.session == session
    assert (await client.auth.refresh()).meta is None
    # Each state works once.
    await failure(client.auth.finish_oauth2(parameter(back, "code"), start.state), "Validation")
    await failure(client.auth.begin_oauth2("none", REDIRECT), "NotFound")


async def test_another_client_finishes(world: World) -> None:
    email = address("oauth")
    start = await world.client().auth.begin_oauth2("oidc", REDIRECT)
    back = await asyncio.to_thread(visit, start.url, email)
    other = world.client()
    await failure(other.auth.finish_oauth2_url(back), "Validation")
    other.auth.resume_oauth2(start.saved)
    session = await other.auth.finish_oauth2_url(back)
    accounts = await other.auth.external_auths(session.user_id)
    assert [account["provider"] for account in accounts] == ["oidc"]
    await other.auth.unlink_external_auth(session.user_id, "oidc")
    assert await other.auth.external_auths(session.user_id) == []
    await failure(other.auth.unlink_external_auth(session.user_id, "oidc"), "NotFound")
    with pytest.raises(Exception, match="state"):
        other.auth.resume_oauth2("something else")


async def test_a_provider_that_refuses(world: World) -> None:
    client = world.client()
    start = await client.auth.begin_oauth2("oidc", REDIRECT)
    back = f"{REDIRECT}?error=access_denied&error_description=not+today&state={start.state}"
    error = await failure(client.auth.finish_oauth2_url(back), "Validation")
    assert "not today" in str(error)


async def test_in_one_call(world: World) -> None:
    proxy = world.proxy()
    client, email = world.client(proxy.url), address("allinone")
    opened: list[Any] = []

    def show(url: str) -> None:
        opened.append(threading.current_thread())
        threading.Thread(target=go, args=(url, email)).start()

    session = await client.auth.sign_in_with_oauth2(
        "oidc", show, scopes=["openid", "email"], create_data={"name": "Eve"}, query={"expand": ""}
    )
    assert (session.record["email"], session.record["name"]) == (email, "Eve")
    assert isinstance(session, Session) and client.auth.session == session
    # On the event loop, or on the thread that calls.
    assert (opened[0] is threading.main_thread()) != world.is_sync
    await until(lambda: proxy.stats()["in_flight"] == 0)


async def test_mistakes_are_told_before_a_page_is_shown(world: World) -> None:
    client, opened = world.client(), list[str]()
    with pytest.raises(TypeError, match="scopes must be several texts"):
        await client.auth.sign_in_with_oauth2("oidc", opened.append, scopes="email")
    # There is always a limit: 5 minutes, if none is said.
    error = await failure(client.auth.sign_in_with_oauth2("oidc", opened.append, timeout=-1), "Validation")
    assert "no limit" not in error.fix
    assert opened == []


async def test_a_coroutine_shows_the_page(world: World) -> None:
    client, email = world.client(), address("coroutine")

    async def show(url: str) -> None:
        await asyncio.to_thread(go, url, email)

    if world.is_sync:
        with pytest.raises(Exception, match="needs an event loop"):
            await client.auth.sign_in_with_oauth2("oidc", show)
        return
    assert (await client.auth.sign_in_with_oauth2("oidc", show)).record["email"] == email


async def test_what_showing_the_page_raises_ends_the_sign_in(world: World) -> None:
    client, mistake = world.client(), LookupError("no browser")

    def fails(url: str) -> None:
        raise mistake

    async def fails_later(url: str) -> None:
        await asyncio.sleep(0)
        raise mistake

    for show in [fails] if world.is_sync else [fails, fails_later]:
        with pytest.raises(LookupError) as caught:
            await client.auth.sign_in_with_oauth2("oidc", show)
        assert caught.value is mistake
    assert client.auth.session is None


async def test_a_user_who_does_not_come_back(world: World) -> None:
    error = await failure(world.client().auth.sign_in_with_oauth2("oidc", lambda _: None, timeout=0.3), "Timeout")
    assert isinstance(error, TimeoutError) and "did not come back" in str(error)


async def test_a_sign_in_that_is_cancelled(world: World) -> None:
    if world.is_sync:
        return  # Ctrl-C, which is proved for calls of all kinds.
    proxy = world.proxy()
    client, shown = world.client(proxy.url), asyncio.Event()
    task = asyncio.ensure_future(client.auth.sign_in_with_oauth2("oidc", lambda _: shown.set()))
    await shown.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: proxy.stats()["in_flight"] == 0)
    await client.collection("posts").get_list(1, 1)
