"""What visitors see when the instance sleeps, is slow, or fails."""

from __future__ import annotations

import pytest

from helpers import Arrive
from support.kit import Proxy

ASLEEP = {"path_prefix": "/api/", "action": {"type": "respond", "status": 503, "headers": {"Retry-After": "1"}}}


def test_a_nap_only_makes_the_page_slower(arrive: Arrive, proxy: Proxy) -> None:
    guest = arrive()
    proxy.faults({**ASLEEP, "times": 2})
    answer = guest.get("/")
    assert answer.status_code == 200 and "Search the board" in answer.text
    assert [entry["status"] for entry in proxy.requests("/records")] == [503, 503, 200]


def test_a_long_sleep_is_told(arrive: Arrive, proxy: Proxy) -> None:
    ada = arrive("Ada", COLD_START_TIMEOUT=1.5)
    cookie = ada.cookie()
    proxy.faults(ASLEEP)
    answer = ada.get("/")
    assert answer.status_code == 503 and "waking up" in answer.text
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 30 and f'http-equiv="refresh" content="{seconds}"' in answer.text

    # Nothing is sent again by itself, and nobody is signed out by it.
    answer = ada.post("/posts/new", {"title": "While it slept"})
    assert (
        answer.status_code == 503 and 'http-equiv="refresh"' not in answer.text and "Nothing was saved" in answer.text
    )
    assert ada.cookie() == cookie

    proxy.faults()
    assert ada.get("/").status_code == 200
    assert "While it slept" not in ada.get("/").text
    ada.pin("Awake")


def test_pages_without_the_instance_need_none(arrive: Arrive, proxy: Proxy) -> None:
    ada = arrive("Ada", COLD_START_TIMEOUT=1.5)
    proxy.faults(ASLEEP)
    assert ada.get("/sign-in").status_code == 200
    assert ada.get("/static/style.css").status_code == 200
    assert ada.post("/sign-out").status_code == 303


@pytest.mark.parametrize(
    ("status", "body", "ours"),
    [
        (403, {"status": 403, "message": "No.", "data": {}}, 403),
        (500, {"status": 500, "message": "secret details", "data": {}}, 500),
        (401, {"error": {"code": "invalid_api_key", "message": "secret details"}}, 500),
    ],
)
def test_a_failure_has_a_page(arrive: Arrive, proxy: Proxy, status: int, body: object, ours: int) -> None:
    guest = arrive()
    proxy.respond(status, action={"body": body})
    answer = guest.get("/")
    assert answer.status_code == ours and "To the board" in answer.text
    assert "secret details" not in answer.text and proxy.url not in answer.text.replace(answer.request.path, "")


def test_too_many_requests(arrive: Arrive, proxy: Proxy) -> None:
    guest = arrive()
    proxy.respond(429, times=50, action={"headers": {"Retry-After": "40"}})
    answer = guest.get("/")
    assert answer.status_code == 429 and answer.headers["Retry-After"] == "40"
    assert "Wait for a moment" in answer.text
