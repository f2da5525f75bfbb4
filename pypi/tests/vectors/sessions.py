"""Cookies, and whole histories of a session."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import picobase
from support.awaited import plain

from .http_server import Server
from .stage import Stage, outcome, path, testing
from .urls import EMPTY

HEALTHY: dict[str, Any] = {"code": 200, "message": "API is healthy.", "data": {}}


async def session_life(stage: Stage, given: Any, wanted: Any, _server: Server) -> Any:
    life = Life(stage, given)
    for step in given["steps"]:
        life.clock.set((given["start"] + step["at"]) * 1000)
        life.step(step)
        await stage.rest()
    return await life.outcome(wanted)


class Life:
    """A client, what it sends to, and what came of its calls."""

    def __init__(self, stage: Stage, given: Any) -> None:
        self.clock = testing.Clock(0)
        self._stage, self._key, self._tokens = stage, given.get("key"), given["tokens"]
        self._names = {token: name for name, token in self._tokens.items()}
        self._events: list[list[Any]] = []
        self._calls: list[Any] = []
        self._refreshes: list[Any] = []
        self._answers: list[tuple[int, str]] = []
        """What the next sign-in, update or delete is answered."""
        self._works: list[asyncio.Task[Any]] = []
        self._store = Store()
        self._client: Any = None

    def step(self, step: Any) -> None:
        client = self._client
        match step["do"]:
            case "load":
                self._load(step["stored"])
            case "listen":
                self._listen()
            case "call":
                self._call(client.collection("posts").get_list, 1, 30)
            case "health":
                self._call(client.health)
            case "refresh_answer":
                self._answer_refresh(step)
            case "sign_in":
                self._must(client.auth.sign_in("a@example.com", "secret"), 200, self._answer_of(step))
            case "sign_out":
                self._must(client.auth.sign_out())
            case "update_record":
                posts = client.collection(step["collection"])
                self._must(posts.update(step["id"], {"name": "new"}), 200, json.dumps(step["answer"]))
            case "delete_record":
                self._must(client.collection(step["collection"]).delete(step["id"]), 204, "")
            case other:
                raise AssertionError(other)

    def _load(self, stored: Any) -> None:
        if stored:
            self._store.text = json.dumps({"token": self._tokens[stored["token"]], "record": stored["record"]})
        self._client = self._stage.client(
            "https://h",
            self._key,
            clock=self.clock,
            script=testing.Script(self._answer),
            store=self._store,
            max_retries=0,
        )
        self._listen()
        if self._stage.is_sync:
            # What was begun in the background goes on while some thread is in a call.
            self._stage.begin(outcome(asyncio.to_thread(testing.drive, plain(self._client)._native)))
            self._must(self._client.auth.ready())

    def _listen(self) -> None:
        told: list[Any] = []
        self._events.append(told)

        def listener(event: str, session: picobase.Session | None) -> None:
            told.append({"event": event, "token": session and self._names[session.token]})

        self._client.auth.on_change(listener)

    def _answer_of(self, step: Any) -> str:
        return json.dumps({"token": self._tokens[step["token"]], "record": step["record"]})

    def _must(self, work: Any, *answer: Any) -> None:
        """Work that must succeed; the answer is that to its request."""
        if answer:
            self._answers.append((answer[0], answer[1]))
        self._works.append(self._stage.begin(work))

    def _call(self, make: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """A call whose outcome is asked for."""
        n = len(self._calls)
        self._calls.append("still waiting")

        async def call() -> None:
            error = await outcome(make(*args, headers={"X-Call": str(n)}))
            if isinstance(error, Exception):
                self._calls[n] = {"error": getattr(error, "kind", repr(error))}

        self._works.append(self._stage.begin(call()))

    def _answer_refresh(self, step: Any) -> None:
        waiting = next(sent for sent in self._refreshes if sent.waits)
        if step["status"] == "network":
            waiting.fail("broken")
        else:
            body = self._answer_of(step) if step["status"] == 200 else '{"message":"no","data":{}}'
            waiting.answer(step["status"], body)

    def _answer(self, sent: Any) -> None:
        fields = {name.lower(): value for name, value in sent.headers}
        if path(sent.url).endswith("/auth-refresh"):
            assert sent.method == "POST"
            self._refreshes.append(sent)
        elif "x-call" in fields:
            self._calls[int(fields["x-call"])] = {"authorization": self._named(fields.get("authorization"))}
            sent.answer(200, json.dumps(HEALTHY if path(sent.url) == "/api/health" else EMPTY))
        else:
            sent.answer(*self._answers.pop(0))

    def _named(self, authorization: str | None) -> str:
        if authorization is None:
            return "none"
        return "key" if authorization == f"Bearer {self._key}" else self._names[authorization]

    async def outcome(self, wanted: Any) -> Any:
        for work in self._works:
            assert work.done(), "it still waits"
            work.result()
        paths = [path(sent.url).split("/")[3] for sent in self._refreshes]
        # The name or the id: either may stand in the path.
        told: list[list[str]] = wanted.get("refresh_collections") or []
        allowed = [*told, *([""] for _ in paths)]
        stored = self._store.text and json.loads(self._store.text)
        session = self._client.auth.session
        return {
            "events": self._events[0],
            "late_events": self._events[1] if len(self._events) > 1 else None,
            "calls": self._calls,
            "refreshes": [self._named(dict(sent.headers)["Authorization"]) for sent in self._refreshes],
            "refresh_collections": [names if name in names else [name] for name, names in zip(paths, allowed, strict=False)],
            "stored": stored and self._names[stored["token"]],
            "user": session and session.record,
        }


class Store:
    """A store that the case looks into."""

    text: str | None = None

    def load(self) -> str | None:
        return self.text

    def save(self, session: str) -> None:
        self.text = session

    def clear(self) -> None:
        self.text = None


def cookies(given: Any, wanted: Any) -> Any:
    if "cookie_header" in given:
        named = {"name": given["name"]} if "name" in given else {}
        session = picobase.Session.from_cookies(given["cookie_header"], **named)
        # A record that is not known is an empty dict.
        return {"session": session and {"token": session.token, "record": session.record or None}}
    made = _exported(given["session"], given.get("existing", []), given.get("options", {}))
    shown: list[Any] = []
    for n, cookie in enumerate(made):
        assert len(cookie.encode()) <= 4096, cookie
        pair, *attributes = cookie.split("; ")
        name, _, value = pair.partition("=")
        # Attributes are a set.
        right: list[str] = wanted["cookies"][n]["attributes"] if n < len(wanted["cookies"]) else []
        attributes = right if sorted(right) == sorted(attributes) else attributes
        shown.append({"name": name, "value": value, "attributes": attributes})
    return {"cookies": shown}


def _exported(session: Any, existing: list[str], options: Any) -> list[str]:
    if session is None:
        return picobase.Session.removal_cookies(existing=existing, **options)
    return picobase.Session(session["token"], session["record"]).to_cookies(existing=existing, **options)
