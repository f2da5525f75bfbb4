"""B1, B2 and B5: how a client is set up, what it sends along, and how its mistakes are told."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

import picobase
from picobase import AsyncClient, Client, ConfigurationError
from support.programs import environment
from support.world import World, failure, unique


async def test_an_address_that_is_none_says_how_to_write_it(world: World) -> None:
    for url in ("ftp://h", "h.example.com", "https://", "https://h/?a=1", "https://user:pass@h", "", " "):
        with pytest.raises(ConfigurationError) as caught:
            world.client(url or " ")
        assert caught.value.fix
        assert "user:pass" not in f"{caught.value!r} {caught.value.fix}"


async def test_slashes_and_a_base_path_are_kept_right(world: World) -> None:
    for url, kept in (("https://h/", "https://h"), ("https://h:8090/base//", "https://h:8090/base")):
        assert world.client(url).url == kept
    client = world.client(f"{world.kit.url}/")
    assert (await client.collection("posts").get_list(1, 1)).page == 1


def test_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICOBASE_URL", raising=False)
    proxy = world.proxy()
    for made in (Client, AsyncClient):
        assert made().url is None
    monkeypatch.setenv("PICOBASE_URL", proxy.url)
    monkeypatch.setenv("PICOBASE_API_KEY", "pbk_env")
    with Client() as client:
        assert client.url == proxy.url
        client.collection("posts").get_list(1, 1)
    with Client(proxy.url, "pbk_own") as client:
        client.collection("posts").get_list(1, 1)
    assert [entry["headers"]["x-picobase-key"] for entry in proxy.requests()] == ["pbk_env", "pbk_own"]


async def test_without_an_address_a_call_says_so_and_one_can_be_set(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICOBASE_URL", raising=False)
    made: Any = Client if world.is_sync else AsyncClient
    from support.awaited import awaited

    client = awaited(made())
    error = await failure(client.collection("posts").get_list(), "Configuration")
    assert "PICOBASE_URL" in error.fix
    await client.set_url(world.kit.url)
    assert (await client.collection("posts").get_list(1, 1)).page == 1
    await failure(client.set_url("ftp://h"), "Configuration")
    assert client.url == world.kit.url
    await client.close()


async def test_key_token_and_language_go_with_every_call(world: World) -> None:
    proxy = world.proxy()
    client = world.client(proxy.url, "pbk_abc123", accept_language="de")
    await client.collection("posts").get_list(1, 1)
    await client.auth.sign_in("alice@example.com", world.kit.password)
    await client.collection("posts").get_list(1, 1, headers={"X-Trace": "1"})
    guest, _, user = (entry["headers"] for entry in proxy.requests())
    assert (guest["x-picobase-key"], guest["authorization"]) == ("pbk_abc123", "Bearer pbk_abc123")
    assert guest["accept-language"] == "de"
    assert user["authorization"] == client.auth.session.token
    assert (user["x-picobase-key"], user["x-trace"]) == ("pbk_abc123", "1")


async def test_another_address_is_another_session(world: World) -> None:
    first, second = world.proxy(), world.proxy()
    client = await world.user(first.url)
    await client.set_url(second.url, keep_session=True)
    assert client.auth.session
    await client.collection("posts").get_list(1, 1)
    await client.set_url(first.url)
    assert client.auth.session is None
    first.forget()
    await client.collection("posts").get_list(1, 1)
    assert "authorization" not in first.requests()[0]["headers"]
    assert second.requests()[0]["headers"]["authorization"]


async def test_wrong_options_are_told_at_once(world: World) -> None:
    cases: tuple[tuple[dict[str, Any], type[Exception]], ...] = (
        ({"timeout": -1}, ConfigurationError),
        ({"timeout": float("nan")}, ConfigurationError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": 0}, ConfigurationError),
        ({"transfer_idle_timeout": 0}, ConfigurationError),
        ({"max_retries": -1}, ConfigurationError),
        ({"max_retries": -(10**30)}, ConfigurationError),
        ({"max_retries": 1.5}, TypeError),
        ({"realtime": {"queue_max": -1}}, ConfigurationError),
        ({"server_version": "no version"}, ConfigurationError),
        ({"api_key": "pbk with blanks"}, ConfigurationError),
        ({"after_call": 1}, TypeError),
        ({"nonsense": 1}, TypeError),
    )
    for options, wrong in cases:
        with pytest.raises(wrong) as caught:
            world.client(**options)
        # What a call may be given and a client may not is not what helps.
        assert "no limit" not in getattr(caught.value, "fix", "")
    world.client(max_retries=10**30)
    with pytest.raises(TypeError):
        world.client(5)  # type: ignore[arg-type]


async def test_a_timeout_is_the_builtin_one_too(world: World) -> None:
    proxy = world.proxy()
    proxy.faults({"path_prefix": "/api/", "action": {"type": "stall"}})
    client = world.client(proxy.url, timeout=timedelta(milliseconds=300))
    with pytest.raises(builtins.TimeoutError) as caught:
        await client.collection("posts").get_list()
    assert isinstance(caught.value, picobase.TimeoutError)
    # That of the call wins.
    with pytest.raises(picobase.TimeoutError):
        await world.client(proxy.url).collection("posts").get_list(timeout=0.2)


async def test_clients_end_without_each_other(world: World) -> None:
    one, two = world.client(), world.client()
    await one.collection("posts").get_list(1, 1)
    await two.collection("posts").get_list(1, 1)
    await one.close()
    assert (await two.collection("posts").get_list(1, 1)).page == 1


async def test_a_refusal_names_each_field(world: World) -> None:
    error = await failure(world.client().collection("posts").create({"title": "", "email": "no address"}), "Validation")
    assert (error.status, error.attempts) == (400, 1)
    assert (error.fields["title"].code, error.fields["title"].message) == ("validation_required", "Cannot be blank.")
    assert error.fields["email"].code == "validation_is_email"
    assert error.fix
    assert "/api/collections/posts/records" in str(error.url)
    assert "title: Cannot be blank." in str(error)


async def test_what_is_not_unique_is_a_conflict(world: World) -> None:
    posts, slug = world.client().collection("posts"), unique("slug")
    await posts.create({"title": "one", "slug": slug})
    error = await failure(posts.create({"title": "two", "slug": slug}), "Conflict")
    assert isinstance(error, picobase.ConflictError)
    assert error.fields["slug"].code == "validation_not_unique"


async def test_who_may_not_and_what_is_not_there(world: World) -> None:
    client = world.client()
    for collection, id, kind, status in (
        ("noaccess", "", "Forbidden", 403),
        ("posts", "aaaaaaaaaaaaaaa", "NotFound", 404),
        ("nothing", "", "NotFound", 404),
    ):
        records = client.collection(collection)
        error = await failure(records.get_one(id) if id else records.get_list(), kind)
        assert error.status == status
    assert (await failure(client.collection("docs").create({"title": "x"}), "Validation")).status == 400
    assert (await failure(client.auth.sign_in("alice@example.com", "wrong"), "Validation")).status == 400
    assert (await failure(client.files.get_token(), "Unauthorized")).status == 401


@pytest.mark.parametrize(
    ("action", "kind", "status"),
    [
        ({"status": 200, "content_type": "text/html", "body": "<h1>Hello</h1>"}, "Decode", 200),
        ({"status": 200, "content_type": "application/json", "body": '{"items":['}, "Decode", 200),
        ({"status": 200, "body": ""}, "Decode", 200),
        ({"status": 401, "body": {"error": {"code": "invalid_api_key", "message": "No."}}}, "InvalidApiKey", 401),
        ({"status": 500, "content_type": "text/html", "body": "<html>oops</html>"}, "Server", 500),
    ],
    ids=["a page", "half a JSON", "nothing", "the gateway", "an error page"],
)
async def test_answers_that_are_none(world: World, action: dict[str, Any], kind: str, status: int) -> None:
    proxy = world.proxy()
    proxy.faults({"path_prefix": "/api/", "action": {"type": "respond", **action}})
    error = await failure(world.client(proxy.url).collection("posts").get_list(), kind)
    assert (error.status, bool(error.fix), error.attempts) == (status, True, 1)
    if kind == "InvalidApiKey":
        assert (error.code, error.message) == ("invalid_api_key", "No.")
    # What came is there to be looked at.
    came = error.body or ""
    assert (came if isinstance(action["body"], str) else json.loads(came)) == action["body"]


async def test_a_redirect_names_its_target_and_is_not_followed(world: World) -> None:
    proxy = world.proxy()
    target = "http://127.0.0.1:9/elsewhere?token=s3cret"
    proxy.faults({"path_prefix": "/api/", "action": {"type": "redirect", "status": 302, "location": target}})
    error = await failure(world.client(proxy.url).collection("posts").get_list(), "Configuration")
    assert "http://127.0.0.1:9/elsewhere" in error.message
    assert "s3cret" not in f"{error} {error!r} {error.fix} {error.url}"
    assert len(proxy.requests()) == 1


async def test_key_and_token_go_to_no_other_origin(world: World) -> None:
    proxy, other = world.proxy(), world.proxy()
    client = world.client(proxy.url, "pbk_abc123")
    await client.auth.sign_in("alice@example.com", world.kit.password)
    target = f"{other.url}/api/collections/posts/records"
    proxy.faults({"path_contains": "/records", "action": {"type": "redirect", "status": 307, "location": target}})
    await failure(client.collection("posts").get_list(), "Configuration")
    await failure(client.send(f"{other.url}/api/health"), "Configuration")
    assert other.requests() == []
    url = client.files.url(("posts", "abc"), "a.png")
    assert url == f"{proxy.url}/api/files/posts/abc/a.png"


async def test_a_superusers_token_may_be_the_key_of_a_server(world: World) -> None:
    client = world.client(None, world.kit.superuser_token())
    assert (await client.collection("noaccess").get_list(1, 1)).page == 1
    assert client.auth.session is None


async def test_a_broken_connection_is_a_network_error_and_a_write_is_sent_once(world: World) -> None:
    proxy = world.proxy()
    proxy.faults({"path_prefix": "/api/", "action": {"type": "reset", "when": "before_forward"}})
    posts = world.client(proxy.url, max_retries=1).collection("posts")
    error = await failure(posts.get_list(), "Network")
    assert (error.status, error.attempts) == (0, 2)
    assert (await failure(posts.create({"title": "x"}), "Network")).attempts == 1


def test_every_name_is_there_and_none_is_imported_before_it_is_asked_for() -> None:
    import ast
    import inspect
    from pathlib import Path

    for name in picobase.__all__:
        assert getattr(picobase, name).__class__ is not None, name
    assert set(picobase.__all__) <= set(dir(picobase))
    assert picobase.stores.MemoryStore.__name__ == "MemoryStore"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = picobase.nothing
    # What type checkers are told is what is there.
    tree = ast.parse(Path(inspect.getfile(picobase)).read_text(encoding="utf-8"))
    told = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    public = [*picobase.__all__, "TimeoutError", "filter"]
    assert told - {"Any", "import_module", "stores"} == set(public)
    places = [name for names in picobase._PLACES.values() for name in names.split()]
    assert sorted(places) == sorted(public)


def test_a_blocking_client_imports_little(world: World) -> None:
    code = (
        "import sys; before = set(sys.modules); import picobase\n"
        "picobase.Client(sys.argv[1]).collection('posts').get_list(1, 1)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", code, world.kit.url]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout.split()
    heavy = {"asyncio", "dataclasses", "inspect", "logging", "pathlib", "decimal", "threading", "typing_extensions"}
    assert not heavy & set(loaded)
    assert not [name for name in loaded if name.startswith("picobase._async")]
