"""The testkit as tests use it: proxies that make faults, servers of one's own, mail."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from typing import Any, cast
from urllib.parse import urlencode


class Testkit:
    """The process, and what it said when it was ready."""

    __test__ = False

    def __init__(self) -> None:
        binary = os.environ.get("PICOBASE_TESTKIT_BIN", "picobase-testkit")
        self._process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"{binary} did not start"
        self.info: dict[str, Any] = json.loads(line)
        self.url: str = self.info["url"]
        self.direct_url: str = self.info["direct_url"]
        self.password: str = self.info["password"]

    def end(self) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the control port."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.info["control"] + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None
        return json.loads(text) if text else None

    def proxy(self, **options: Any) -> Proxy:
        made = self.control("POST", "/proxies", options)
        return Proxy(self, made["proxy_id"], made["url"])

    def server(self, **options: Any) -> Server:
        made = self.control("POST", "/servers", options)
        return Server(self, made["server_id"], made["direct_url"], Proxy(self, made["proxy_id"], made["url"]))

    def mail(self, to: str, subject: str = "") -> dict[str, str]:
        """The newest mail to that address; waits for it."""
        query = urlencode({"to": to, "subject_contains": subject, "wait_ms": "40000"})
        return cast("dict[str, str]", self.control("GET", f"/mail?{query}"))

    def superuser_token(self) -> str:
        """A superuser's token that every server takes."""
        return cast("str", self.control("GET", "/superuser-token")["token"])


class Proxy:
    """A proxy before a server, which makes faults and keeps a log."""

    def __init__(self, kit: Testkit, id: str, url: str) -> None:
        self._kit, self.id, self.url = kit, id, url

    def faults(self, *rules: dict[str, Any]) -> None:
        """Replaces the rules."""
        self._kit.control("PUT", f"/proxies/{self.id}/faults", list(rules))

    def respond(self, status: int, *, times: int = 1, **more: Any) -> None:
        """Answers the next requests itself; `more` is of the rule or, under `action`, of its action."""
        action = {"type": "respond", "status": status, **more.pop("action", {})}
        self.faults({"times": times, **more, "action": action})

    def requests(self, path: str = "") -> list[dict[str, Any]]:
        log = self._kit.control("GET", f"/proxies/{self.id}/requests")
        return [entry for entry in log if path in entry["path"]]

    def probes(self) -> list[dict[str, Any]]:
        """The requests that found the instance asleep, without the first of each call: those may be under way together.

        A call is known by its query, which has to be its own.
        """
        asleep = [entry for entry in self.requests() if entry["status"] == 503]
        calls = [entry["query"] for entry in asleep]
        return [entry for at, entry in enumerate(asleep) if entry["query"] in calls[:at]]

    def forget(self) -> None:
        self._kit.control("DELETE", f"/proxies/{self.id}/requests")

    def stats(self) -> dict[str, int]:
        return cast("dict[str, int]", self._kit.control("GET", f"/proxies/{self.id}/stats"))

    def cut(self, how: str, path: str | None = None) -> int:
        """Ends live connections; answers how many."""
        return int(self._kit.control("POST", f"/proxies/{self.id}/cut", {"how": how, "path_contains": path})["connections"])

    def close(self) -> None:
        self._kit.control("DELETE", f"/proxies/{self.id}")


class Server:
    """A server of a test's own and the proxy before it."""

    def __init__(self, kit: Testkit, id: str, direct_url: str, proxy: Proxy) -> None:
        self._kit, self.id, self.direct_url, self.proxy = kit, id, direct_url, proxy

    @property
    def url(self) -> str:
        return self.proxy.url

    def kill(self) -> None:
        self._kit.control("POST", f"/servers/{self.id}/kill")

    def start(self) -> None:
        self._kit.control("POST", f"/servers/{self.id}/start")

    def restart(self, downtime_ms: int) -> None:
        self._kit.control("POST", f"/servers/{self.id}/restart", {"downtime_ms": downtime_ms, "kill": True})

    def seed(self, collection: str, count: int, record: Any = None) -> None:
        self._kit.control("POST", f"/servers/{self.id}/seed", {"collection": collection, "count": count, "record": record})

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """Any call as superuser, past the proxy. Fails where the server refuses."""
        answer = self._kit.control("POST", f"/servers/{self.id}/admin", {"method": method, "path": path, "body": body})
        assert answer["status"] < 400, f"{method} {path}: {answer}"
        return answer["body"]

    def close(self) -> None:
        self._kit.control("DELETE", f"/servers/{self.id}")
