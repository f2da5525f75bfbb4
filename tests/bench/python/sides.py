"""What is compared: the same work by this package, by its peers, and by hand.

A side is made for a server's URL. Each method does its work once and fails where the answer is not what it should be.
"""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request

LIST = 500
RECORDS = 5000
EVENTS = 18_000


def check(item) -> None:
    """Was the whole record decoded?"""
    get = item.get if isinstance(item, dict) else lambda name: getattr(item, name)
    whole = len(get("text")) == 100 and get("n") >= 0 and len(get("id")) == 15
    if not whole or len(str(get("created"))) < 10:
        raise AssertionError(f"the server answered another record: {item!r}")


def check_all(items, expected: int) -> None:
    assert len(items) == expected, f"{len(items)} records in place of {expected}"
    check(items[-1])


def ask(url: str) -> None:
    """Has the replay at this URL begin its burst."""
    urllib.request.urlopen(urllib.request.Request(f"{url}/burst", method="POST")).close()


class Picobase:
    def __init__(self, url: str) -> None:
        from picobase import Client

        self.url = url
        self.bulk = Client(url).collection("bulk")

    def get_one(self, id: str) -> None:
        check(self.bulk.get_one(id))

    def list(self, _: str) -> None:
        check_all(self.bulk.get_list(1, LIST, skip_total=True).items, LIST)

    def full_list(self, _: str) -> None:
        check_all(self.bulk.get_full_list(), RECORDS)

    def burst(self, _: str) -> None:
        with self.bulk.subscribe("*", queue_max=EVENTS) as events:
            ask(self.url)
            count = 0
            for event in events:
                assert event.action == "create", event
                check(event.record)
                count += 1
                if count == EVENTS:
                    return


class Pocketbase:
    def __init__(self, url: str) -> None:
        from pocketbase import PocketBase

        self.url = url
        self.bulk = PocketBase(url).collection("bulk")

    def get_one(self, id: str) -> None:
        check(self.bulk.get_one(id))

    def list(self, _: str) -> None:
        check_all(self.bulk.get_list(1, LIST, {"skipTotal": True}).items, LIST)

    def full_list(self, _: str) -> None:
        check_all(self.bulk.get_full_list(), RECORDS)

    def burst(self, _: str) -> None:
        done = threading.Event()
        count = 0

        def heard(event) -> None:
            nonlocal count
            assert event.action == "create", event
            check(event.record)
            count += 1
            if count == EVENTS:
                done.set()

        realtime = self.bulk.client.realtime
        submitted, submit = threading.Event(), realtime._submit_subscriptions

        # It says nothing when it is ready, so the end of its submit is watched.
        def watched() -> bool:
            submit()
            submitted.set()
            return True

        realtime._submit_subscriptions = watched
        # Its thread may hear the first event before anybody listens for it; then nothing comes any more.
        for _ in range(10):
            realtime.event_source = None
            realtime.subscribe("bulk/*", heard)
            if submitted.wait(2):
                break
        assert submitted.is_set(), "it did not subscribe"
        ask(self.url)
        assert done.wait(120), f"{count} events came"
        realtime._submit_subscriptions = submit
        realtime.unsubscribe()
        realtime.event_source = None
        realtime.client_id = ""


class ByHand:
    """Requests by an HTTP library, and `json.loads`."""

    def __init__(self, url: str, get) -> None:
        self.path, self.get = f"{url}/api/collections/bulk/records", get

    def page(self, n: int, size: int):
        return self.get(f"{self.path}?page={n}&perPage={size}&skipTotal=1")["items"]

    def get_one(self, id: str) -> None:
        check(self.get(f"{self.path}/{id}"))

    def list(self, _: str) -> None:
        check_all(self.page(1, LIST), LIST)

    def full_list(self, _: str) -> None:
        found, n = [], 1
        while items := self.page(n, 1000):
            found += items
            n += 1
            if len(items) < 1000:
                break
        check_all(found, RECORDS)


def by_httpx(url: str) -> ByHand:
    import httpx

    client = httpx.Client()

    def get(address: str):
        answer = client.get(address)
        answer.raise_for_status()
        return json.loads(answer.content)

    return ByHand(url, get)


def by_requests(url: str) -> ByHand:
    import requests

    session = requests.Session()

    def get(address: str):
        answer = session.get(address)
        answer.raise_for_status()
        return json.loads(answer.content)

    return ByHand(url, get)


class OnLoop:
    """A side for asyncio: its loop runs while it works. `many` calls are made one after the other in one run."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def batch(self, row: str, ids: list[str]) -> None:
        async def run() -> None:
            for id in ids:
                await getattr(self, row)(id)

        self.loop.run_until_complete(run())


class PicobaseAsync(OnLoop):
    def __init__(self, url: str) -> None:
        from picobase import AsyncClient

        super().__init__()
        self.url = url
        self.bulk = AsyncClient(url).collection("bulk")

    async def get_one(self, id: str) -> None:
        check(await self.bulk.get_one(id))

    async def list(self, _: str) -> None:
        check_all((await self.bulk.get_list(1, LIST, skip_total=True)).items, LIST)

    async def full_list(self, _: str) -> None:
        check_all(await self.bulk.get_full_list(), RECORDS)

    async def burst(self, _: str) -> None:
        async with self.bulk.subscribe("*", queue_max=EVENTS) as events:
            await asyncio.to_thread(ask, self.url)
            count = 0
            async for event in events:
                check(event.record)
                count += 1
                if count == EVENTS:
                    return


class PocketbaseAsync(OnLoop):
    def __init__(self, url: str) -> None:
        from pocketbase import PocketBase

        super().__init__()
        self.bulk = PocketBase(url).collection("bulk")

    async def get_one(self, id: str) -> None:
        check(await self.bulk.get_one(id))

    async def list(self, _: str) -> None:
        check_all((await self.bulk.get_list(1, LIST, {"params": {"skipTotal": 1}}))["items"], LIST)

    async def full_list(self, _: str) -> None:
        check_all(await self.bulk.get_full_list(), RECORDS)


class HttpxAsync(OnLoop):
    def __init__(self, url: str) -> None:
        import httpx

        super().__init__()
        self.path, self.client = f"{url}/api/collections/bulk/records", httpx.AsyncClient()

    async def get(self, address: str):
        answer = await self.client.get(address)
        answer.raise_for_status()
        return json.loads(answer.content)

    async def get_one(self, id: str) -> None:
        check(await self.get(f"{self.path}/{id}"))

    async def list(self, _: str) -> None:
        check_all((await self.get(f"{self.path}?page=1&perPage={LIST}&skipTotal=1"))["items"], LIST)


SIDES = {
    "picobase": Picobase,
    "pocketbase": Pocketbase,
    "httpx": by_httpx,
    "requests": by_requests,
    "picobase, asyncio": PicobaseAsync,
    "pocketbase-async": PocketbaseAsync,
    "httpx, asyncio": HttpxAsync,
}
