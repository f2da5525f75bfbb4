"""Single calls: their headers, what an answer means, and what is tried again."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlsplit

import picobase
from picobase import File, PicoBaseError

from .http_server import Answer, Server
from .stage import Stage, outcome, path, testing
from .urls import EMPTY

START = 1_800_000_000_000
PAGE = json.dumps(EMPTY).encode()


def _exp(token: str) -> int:
    payload = token.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])


async def headers(stage: Stage, given: Any, _wanted: Any, server: Server) -> Any:
    key, call = given["key"], given.get("call", "ordinary")
    session: dict[str, Any] = given["session"] or {}
    # Asked whether the session lives, the server says no, where nothing else is looked at.
    server.begin(lambda sent: Answer(401, b"{}") if sent.target.endswith("/auth-refresh") else Answer(200, PAGE))
    clock = testing.Clock(START, browser=not given["server_side"])
    client = stage.client(server.url, key, clock=clock, accept_language=given.get("accept_language"))
    state = session.get("state")
    if session:
        await client.auth.set_session(picobase.Session(session["token"], {"id": "u1"}))
    if state in ("expired", "ended"):
        clock.set(_exp(session["token"]) * 1000)
    if state == "ended":
        await outcome(client.collection("posts").get_list())
        server.requests.clear()
    own = given.get("user_headers")
    answer = await outcome(client.health(headers=own) if call == "open" else client.collection("posts").get_list(headers=own))
    if not server.requests:
        raise answer
    [sent] = server.requests
    asks = sent.target.endswith("/auth-refresh")
    assert asks == (state == "expired" and call != "open"), f"{sent.target} was sent"
    found = {name: sent.headers[name] for name in ("accept-language", "authorization", "x-picobase-key") if name in sent.headers}
    if asks and call != "question":
        # The call itself waits and has sent nothing: only the question carries the expired token.
        assert found.pop("authorization") == session["token"]
        if key:
            found["authorization"] = f"Bearer {key}"
    return {"headers": found}


async def redirects(stage: Stage, given: Any, _wanted: Any, server: Server) -> Any:
    status, location = given["status"], given["location"]
    fields = {} if location is None else {"Location": location}
    if location is not None and not location.isprintable():
        # No such field comes over a real connection.
        script = testing.Script()
        call = stage.begin(outcome(stage.client(given["base"], script=script).health()))
        await stage.rest()
        script.requests[0].answer(status, "", list(fields.items()))
        raise await call
    server.begin(lambda _: Answer(status, b"", fields))
    return await stage.client(server.url).health()


async def errors(stage: Stage, given: Any, wanted: Any, server: Server) -> Any:
    body, call = given["body"], given["call"]
    fields = dict(given.get("headers", {}))
    if given["content_type"] is not None:
        fields["Content-Type"] = given["content_type"]
    answer = Answer(given["status"], (body if isinstance(body, str) else json.dumps(body)).encode(), fields)
    server.begin(lambda _: answer)
    clock = testing.Clock(given.get("now", 0))
    client = stage.client(server.url, clock=clock, max_retries=0)
    url = urlsplit(str(call["url"]))
    came = await outcome(_call(client, given, url.path, url.query))
    if not isinstance(came, PicoBaseError):
        if isinstance(came, Exception):
            raise came
        return {"ok": True}
    return _shown(came, wanted, call["url"], server)


def _call(client: Any, given: Any, path: str, query: str) -> Awaitable[Any]:
    """A call that expects such an answer, on that URL where there is one."""
    endpoint, method = given["endpoint"], given["call"]["method"]
    parts = path.split("/")
    posts = client.collection("posts")
    if given["status"] == 503:
        # Of a stream that was taken nothing can be sent again, so that one answer stands where others would be waited for.
        awaited: Awaitable[Any] = posts.create({"file": File(iter([b"x"]), filename="x")})
    elif endpoint == "auth":
        awaited = client.auth.sign_in("a@example.com", "secret")
    elif endpoint == "batch":
        batch = client.batch()
        for _ in range(3):
            batch.collection("posts").create({"title": "a"})
        awaited = batch.send()
    elif endpoint == "empty":
        awaited = client.collection(parts[3]).delete(parts[-1])
    elif method == "POST":
        awaited = client.collection(parts[3]).create({"title": "a"})
    elif method == "PATCH":
        awaited = client.settings.update({})
    elif not given["body"]:
        # To `send` nothing is an answer too.
        awaited = posts.get_list()
    else:
        awaited = client.send(f"{path}?{query}" if query else path, method=method)
    return awaited


def _shown(error: PicoBaseError, wanted: Any, called: str, server: Server) -> Any:
    """An error as the vectors write it. Where they say what a text must mention, those that it does mention are told."""
    body = error.body or ""
    most = wanted.get("body_excerpt_max", len(body))
    sent = server.requests[-1]
    assert error.url is not None
    url = "https://h" + error.url.removeprefix(server.url)
    if sent.target != called.removeprefix("https://h"):
        # The call was another one, or a list with parameters of its own: its URL is not that of the case.
        assert path(url) == sent.target.partition("?")[0]
        url = wanted.get("url")
    return {
        "kind": error.kind,
        "status": error.status,
        "code": error.code,
        "message": error.message,
        "message_mentions": [text for text in wanted.get("message_mentions", []) if text in error.message],
        "fields": {
            name: {"code": field.code, "message": field.message, "params": field.params or None}
            for name, field in error.fields.items()
        },
        "mfa_id": error.mfa_id,
        "retry_after_ms": None if error.retry_after is None else round(error.retry_after * 1000),
        "item": error.item,
        "url": url,
        "has_fix": error.fix != "",
        "fix_mentions": [text for text in wanted.get("fix_mentions", []) if text in error.fix],
        "body_excerpt_mentions": [text for text in wanted.get("body_excerpt_mentions", []) if text in body],
        "body_excerpt_max": max(len(body), most),
    }


async def retry_policy(stage: Stage, given: Any, _wanted: Any, _server: Server) -> Any:
    kind, _, status = given["outcome"].partition(":")
    clock = testing.Clock(START, timers=True)
    script = testing.Script(takes=given["bytes_taken"])
    client = stage.client("https://h", clock=clock, script=script)
    stage.begin(outcome(_repeated(client, given)))
    await stage.rest()
    [first] = script.requests
    if kind == "status":
        first.answer(int(status), "{}" if status == "200" else "")
    else:
        first.fail(kind)
    await stage.rest()
    # Another call tells whether the gate is closed: it then waits, and does not go out at once.
    stage.begin(outcome(client.send("/api/other")))
    await stage.rest()
    gate = "none" if any(path(sent.url) == "/api/other" for sent in script.requests) else "close"
    for _ in range(4):
        await stage.go_to(clock, clock.now + 300)
        # Whoever asks whether the instance is awake is told that it is.
        for sent in script.requests:
            if sent.url != first.url and sent.waits:
                sent.answer(200, "{}")
    await stage.go_to(clock, clock.now + 1000)
    again = sum((sent.method, sent.url) == (first.method, first.url) for sent in script.requests) > 1
    return {"retry": again, "gate": gate}


def _repeated(client: Any, given: Any) -> Awaitable[Any]:
    """A call that may be repeated or not. What cannot be sent twice is a file from an iterator."""
    method, safe = given["method"], given["safe"]
    if given["replayable"]:
        body = None if method in ("GET", "HEAD", "DELETE") else b"abc"
        return client.send("/api/one", method=method, body=body, safe=safe)
    assert method == "POST"
    file = File(iter([b"abc"]), filename="abc")
    return client.collection("posts").create({"file": file}, safe_retry=safe)
