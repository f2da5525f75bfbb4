"""The board as it runs: loaded once, used, then forked into two workers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import pytest

from helpers import PASSWORD
from support.kit import Proxy

ROOT = Path(__file__).parent.parent
# The board's own settings; and the client has open connections before the fork, which no two processes can share.
CONFIG = f"""
exec(open({str(ROOT / "gunicorn.conf.py")!r}).read())
accesslog = "-"
access_log_format = "pid %(p)s"

def when_ready(server):
    client = server.app.wsgi().extensions["picobase"]
    print("before the fork:", client.health()["code"], flush=True)
"""
WITHIN = 60.0


class Board:
    """A running board."""

    def __init__(self, address: str, log: Path) -> None:
        self.address, self.log = address, log

    def browser(self) -> urllib.request.OpenerDirector:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        opener.addheaders = [("Origin", self.address)]
        return opener

    def page(self, browser: urllib.request.OpenerDirector, path: str, form: dict[str, str] | None = None) -> str:
        data = urlencode(form).encode() if form else None
        with browser.open(self.address + path, data, timeout=WITHIN) as answer:
            text: str = answer.read().decode()
            return text

    def workers(self) -> Counter[str]:
        """How many requests each process answered."""
        return Counter(line for line in self.log.read_text().splitlines() if line.startswith("pid "))


@pytest.fixture
def board(proxy: Proxy, tmp_path: Path) -> Iterator[Board]:
    config, log = tmp_path / "config.py", tmp_path / "log"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "gunicorn", "--config", str(config), "--bind", "127.0.0.1:0"]
    environment = {**os.environ, "PICOBASE_URL": proxy.url, "PICOBASE_API_KEY": ""}
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out) as gunicorn,
    ):
        try:
            address = listens(gunicorn, log)
            urllib.request.urlopen(f"{address}/sign-in", timeout=WITHIN).close()
            yield Board(address, log)
        finally:
            gunicorn.terminate()
            gunicorn.wait(WITHIN)


def listens(gunicorn: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, once it does: on a port that the system has chosen."""
    end = time.monotonic() + WITHIN
    while not (found := re.search(r"Listening at: (http:\S+)", log.read_text())):
        assert gunicorn.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    return found[1]


def test_behind_a_proxy_with_https_the_cookie_is_secure(board: Board) -> None:
    form = {"name": "Ada", "email": f"ada-{time.time_ns()}@example.com", "password": PASSWORD}
    headers = {"Origin": "https://board.example", "Host": "board.example", "X-Forwarded-Proto": "https"}
    request = urllib.request.Request(board.address + "/sign-up", urlencode(form).encode(), headers)
    opener = urllib.request.build_opener(Stay)
    with pytest.raises(urllib.error.HTTPError) as answer:
        opener.open(request, timeout=WITHIN)
    answer.value.close()
    assert answer.value.code == 303
    assert "; Secure" in answer.value.headers["Set-Cookie"]


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(self, *_: object) -> None:
        return None


def test_workers_share_the_program_and_no_session(board: Board) -> None:
    assert "before the fork: 200" in board.log.read_text()
    members = {name: board.browser() for name in ("Ada", "Bob", "Eve")}
    for name, browser in members.items():
        email = f"{name.lower()}-{time.time_ns()}@example.com"
        board.page(browser, "/sign-up", {"name": name, "email": email, "password": PASSWORD})
        board.page(browser, "/posts/new", {"title": f"Forked {name}", "status": "draft"})

    def look(name: str) -> None:
        page = board.page(members[name], "/?q=forked")
        assert {other for other in members if f'"who">{other}<' in page} == {name}
        assert {other for other in members if f"Forked {other}" in page} == {name}

    rounds = 0
    end = time.monotonic() + WITHIN
    with ThreadPoolExecutor(9) as pool:
        while rounds < 5 or len(board.workers()) < 2:
            assert time.monotonic() < end, board.workers()
            list(pool.map(look, [*members] * 5))
            rounds += 1
    assert len(board.workers()) == 2
