"""What an instance says is told on: with the right status, and without secrets."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import httpx
import picobase
import pytest
from picobase import FieldError, PicoBaseError

from app.errors import answer_for
from helpers import Serve, Someone, asleep, detail, made, until
from support.kit import Proxy

LISTS = "/api/collections/posts/records"


async def test_a_request_waits_for_an_instance_that_wakes_up(
    service: httpx.AsyncClient, alice: Someone, proxy: Proxy
) -> None:
    proxy.faults(asleep(1500, {"Retry-After": "1"}))
    begun = time.monotonic()
    answers = await asyncio.gather(
        *(service.post("/notes", json={"body": f"{n}"}, headers=alice.headers) for n in range(5)),
        *(service.get("/posts") for _ in range(5)),
    )
    assert [answer.status_code for answer in answers] == [201] * 5 + [200] * 5
    assert time.monotonic() - begun >= 1.4
    assert made(await service.get("/notes", headers=alice.headers), 200)["total"] == 5


@pytest.mark.parametrize(("headers", "again"), [({"Retry-After": "3"}, "3"), ({}, "2")], ids=["said", "not said"])
async def test_one_that_sleeps_on_is_told(serve: Serve, proxy: Proxy, headers: dict[str, str], again: str) -> None:
    service = await serve(request_timeout=1)
    proxy.faults(asleep(headers=headers))
    answer = await service.get("/posts")
    assert detail(answer, 503) == "The data is being woken up: try again in a moment."
    assert answer.headers["retry-after"] == again
    # When it is asked again may be later than a request waits here.
    proxy.faults()
    await until(lambda: service.get("/posts"), lambda answer: answer.status_code == 200)


async def test_too_many_requests(service: httpx.AsyncClient, proxy: Proxy) -> None:
    body = {"status": 429, "message": "Slow down.", "data": {}}
    proxy.forget()
    proxy.respond(429, times=9, path_prefix=LISTS, action={"headers": {"Retry-After": "1"}, "body": body})
    answer = await service.get("/posts")
    assert detail(answer, 429) == "Too many requests: wait for a moment."
    assert answer.headers["retry-after"] == "1"
    assert len(proxy.requests(LISTS)) == 2


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        (
            {"action": {"type": "respond", "status": 403, "body": {"status": 403, "message": "Not you.", "data": {}}}},
            403,
        ),
        ({"action": {"type": "respond", "status": 500, "body": {"status": 500, "message": "Oh.", "data": {}}}}, 502),
        ({"action": {"type": "respond", "status": 200, "body": "<html>"}}, 500),
        ({"action": {"type": "redirect", "status": 301, "location": "http://elsewhere.example/"}}, 500),
        ({"action": {"type": "reset"}}, 502),
    ],
    ids=["403", "500", "no JSON", "redirect", "reset"],
)
async def test_other_failures(
    service: httpx.AsyncClient, proxy: Proxy, rule: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.errors")
    proxy.faults({"path_prefix": LISTS, **rule})
    said = detail(await service.get("/posts"), status)
    assert said == "Not you." if status == 403 else "<html>" not in said and "http" not in said
    # For the developer there is more of it.
    [line] = [record for record in caplog.records if record.name == "app.errors"]
    assert "GET /posts: " in line.getMessage()
    assert (line.levelno == logging.ERROR) == (status == 500)


async def test_no_secret_is_said_or_logged(
    serve: Serve, proxy: Proxy, alice: Someone, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    service = await serve(api_key="pk_very_secret", request_timeout=1)
    said = ""
    for status in (400, 401, 403, 404, 429, 500, 502, 503):
        proxy.respond(status, times=99, path_prefix="/api/collections", action={"headers": {"Retry-After": "1"}})
        for path in ("/posts", "/notes"):
            answer = await service.get(path, headers=alice.headers)
            assert answer.status_code >= 400
            said += answer.text + str(answer.headers)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "app.errors" in {record.name for record in caplog.records}
    for secret in ("pk_very_secret", alice.token):
        assert secret not in said
        assert secret not in logged


async def test_the_documentation_names_them(service: httpx.AsyncClient) -> None:
    paths = (await service.get("/openapi.json")).json()["paths"]
    documented = paths["/notes/{id}"]["put"]["responses"]
    assert {"200", "401", "403", "404", "409", "422", "429", "503"} <= set(documented)
    assert documented["503"]["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")


def test_every_error_has_an_answer() -> None:
    kinds = [
        kind
        for name in dir(picobase)
        if isinstance(kind := getattr(picobase, name), type) and issubclass(kind, PicoBaseError)
    ]
    statuses = {kind.__name__: answer_for(kind("secret", retry_after=0.5)).status_code for kind in kinds}
    assert statuses == {
        "PicoBaseError": 500,
        "CancelledError": 500,
        "ConfigurationError": 500,
        "ConflictError": 409,
        "DecodeError": 500,
        "ForbiddenError": 403,
        "InstanceUnavailableError": 503,
        "InvalidApiKeyError": 500,
        "MfaRequiredError": 500,
        "NetworkError": 502,
        "NotFoundError": 404,
        "RateLimitedError": 429,
        "ServerError": 502,
        "SessionExpiredError": 401,
        "StorageError": 500,
        "TimeoutError": 504,
        "UnauthorizedError": 401,
        "ValidationError": 422,
    }
    assert answer_for(picobase.RateLimitedError("x", retry_after=0.2)).headers["retry-after"] == "1"
    # A kind that is not known yet is a failure of ours, whatever the instance called it.
    unknown = PicoBaseError("secret", fields={"x": FieldError("secret", "secret")})
    assert b"secret" not in answer_for(unknown).body
