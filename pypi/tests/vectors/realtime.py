"""Whole histories of a client's event stream: what it sends and when, and what its listeners are told."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import picobase
from picobase import Lagged, Message, PicoBaseError, RecordEvent, Resync
from support.awaited import awaited, plain

from .http_server import Server
from .stage import Stage, compact, outcome, testing


async def realtime(stage: Stage, given: Any, _wanted: Any, _server: Server) -> Any:
    world = World(stage, given)
    for step in given["steps"]:
        await stage.go_to(world.clock, world.start + step["at"])
        world.step(step)
        await stage.rest()
    return world.outcome()


class World:
    def __init__(self, stage: Stage, given: Any) -> None:
        self.start = given["start"] * 1000
        self.clock = testing.Clock(self.start, timers=True)
        self._stage, self._tokens = stage, given.get("tokens", {})
        self._names = {token: name for name, token in self._tokens.items()}
        self._script = testing.Script()
        self._listeners: dict[str, Listener] = {}
        self._works: list[asyncio.Task[Any]] = []
        self._client = stage.client(
            "https://h",
            given.get("key"),
            clock=self.clock,
            script=self._script,
            realtime=_options(given.get("options", {})),
            max_retries=0,
        )

    @property
    def now(self) -> int:
        return int(self.clock.now - self.start)

    def step(self, step: Any) -> None:
        client = self._client
        match step["do"]:
            case "subscribe":
                self._subscribe(step)
            case "unsubscribe":
                self._listeners[step["name"]].end()
            case "unsubscribe_topic":
                client.realtime.unsubscribe(step["topic"])
            case "unsubscribe_prefix":
                client.realtime.unsubscribe_prefix(step["prefix"])
            case "read":
                self._listeners[step["name"]].read()
            case "answer":
                self._answer(self._sent(step), step)
            case "send":
                self._sent(step).send(step["text"])
            case "end":
                self._sent(step).end()
            case "break":
                self._sent(step).cut()
            case "sign_in":
                self._must(client.auth.set_session(picobase.Session(self._tokens[step["token"]], step["record"])))
            case "sign_out":
                self._must(client.auth.sign_out())
            case "refresh":
                self._must(client.auth.refresh())
            case "hint":
                client.realtime.hint(step["hint"])
            case "wait":
                pass
            case other:
                raise AssertionError(other)

    def _must(self, work: Any) -> None:
        self._works.append(self._stage.begin(work))

    def _sent(self, step: Any) -> Any:
        return self._script.requests[step["request"]]

    @staticmethod
    def _answer(sent: Any, step: Any) -> None:
        fields = list(step.get("headers", {}).items())
        if step["status"] == "network":
            sent.fail("broken")
        elif step.get("stream"):
            sent.stream(step["status"], fields)
        else:
            sent.answer(step["status"], compact(step["body"]) if "body" in step else "", fields)

    def _subscribe(self, step: Any) -> None:
        options = {name: step[name] for name in ("query", "headers", "queue_max") if name in step}
        for n in range(step.get("times", 1)):
            topic, name = (step[key].replace("{n}", str(n)) for key in ("topic", "name"))
            listener = Listener(self, reads=step.get("reads", True), one_of_many="times" in step)
            self._listeners[name] = listener
            listener.begin(self._stage, self._client, step.get("collection"), topic, options)

    def outcome(self) -> Any:
        for work in self._works:
            work.result()
        requests = self._script.requests
        return {
            "requests": [self._shown(sent) for sent in requests],
            "open": [n for n, sent in enumerate(requests) if not (sent.over or sent.dropped)],
            "listeners": {name: one.shown() for name, one in self._listeners.items() if one.has_become()},
            "state": self._client.realtime.state,
        }

    def _shown(self, sent: Any) -> Any:
        authorization = dict(sent.headers).get("Authorization")
        key = authorization is not None and authorization.startswith("Bearer ")
        shown = {
            "at": sent.at - self.start,
            "method": sent.method,
            "url": sent.url.removeprefix("https://h"),
            "authorization": "none" if authorization is None else "key" if key else self._names[authorization],
        }
        return shown if sent.json is None else shown | {"body": json.loads(sent.json)}


class Listener:
    """A subscription, and what it was told."""

    def __init__(self, world: World, *, reads: bool, one_of_many: bool) -> None:
        self._world, self._reads, self._one_of_many = world, reads, one_of_many
        self._subscribed: Any = None
        self._got: list[Any] = []
        self._is_over = False
        self._stage: Any = None
        self._subscription: Any = None
        """Or what of it there is while it waits."""

    def begin(self, stage: Stage, client: Any, collection: str | None, topic: str, options: Any) -> None:
        self._stage = stage
        stage.begin(self._begin(client, collection, topic, options))

    async def _begin(self, client: Any, collection: str | None, topic: str, options: Any) -> None:
        if self._stage.is_sync:
            begin = functools.partial(self._blocking, plain(client), collection, topic, options)
            began = await outcome(asyncio.to_thread(begin))
        else:
            noun = client.realtime if collection is None else client.collection(collection)
            self._subscription = noun.subscribe(topic, **options)
            began = await outcome(self._subscription)
        if self._is_over:
            return
        if isinstance(began, PicoBaseError):
            self._subscribed = {"at": self._world.now, "error": began.kind}
            return
        if isinstance(began, Exception):
            raise began
        self._subscribed = {"at": self._world.now}
        self._subscription = began
        if self._reads:
            self.read()

    def _blocking(self, client: Any, collection: str | None, topic: str, options: Any) -> Any:
        """Subscribes, which blocks, and keeps what can be closed meanwhile."""
        noun = client.realtime if collection is None else client.collection(collection)
        native = noun._native if collection is None else noun._records

        def subscribe(*args: Any) -> Any:
            self._subscription = native.subscribe(*args)
            return self._subscription

        kept = SimpleNamespace(subscribe=subscribe)
        made = type(noun)(kept) if collection is None else type(noun)(kept, collection, client)
        return awaited(made.subscribe(topic, **options))

    def read(self) -> None:
        self._stage.begin(self._read())

    async def _read(self) -> None:
        while True:
            try:
                async for event in self._subscription:
                    self._got.append(_told(event))
            except PicoBaseError as error:
                self._got.append({"error": error.kind})
                continue
            if not self._is_over:
                self._got.append({"end": True})
            return

    def end(self) -> None:
        self._is_over = True
        self._subscription.close()

    def has_become(self) -> bool:
        return not self._one_of_many or self._subscribed is not None

    def shown(self) -> Any:
        return {"subscribed": self._subscribed, "got": self._got}


def _told(event: RecordEvent[Any] | Message | Resync | Lagged) -> Any:
    match event:
        case RecordEvent():
            parts = ("action", "id", "origin", "topic", "record")
            return {name: getattr(event, name) for name in parts}
        case Message(topic, data):
            return {"topic": topic, "data": data}
        case Resync(reason):
            return {"resync": reason}
        case Lagged(missed):
            return {"lagged": missed}
        case _:
            raise AssertionError(event)


def _options(given: Mapping[str, Any]) -> Any:
    """Times are in seconds."""
    return {name.removesuffix("_ms"): value / 1000 if name.endswith("_ms") else value for name, value in given.items()}
