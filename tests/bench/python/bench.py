"""Measures the installed package against its peers.

    python bench.py [--out FILE] [--only TEXT]

`cargo xtask bench python` prepares what it needs and runs it. What the rows are and how to read them stands in tests/bench/README.md.
By itself it needs PICOBASE_TESTKIT_BIN and PICOBASE_TEST_SERVER_BINARY, PICOBASE_BENCH_BIN for the burst (where `picobase-bench`
is, whose server repeats it), and PICOBASE_BENCH_ASYNC_PEER, a folder with `pocketbase-async`: its module is named like its
blocking peer's, so both cannot be in one environment.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from report import Report
from sides import RECORDS

HERE = Path(__file__).parent

# The side's method, the row's name, rounds, calls a round, rounds to warm up, unit, and the sides: ours first, then each peer
# with what must hold.
ROWS = [
    ("get_one", "get_one", 40, 100, 5, "µs CPU", "picobase", {"pocketbase": 0.17, "httpx": 0.2, "requests": None}),
    ("list", "list of 500", 30, 10, 3, "µs CPU", "picobase", {"pocketbase": 0.15, "httpx": 0.6, "requests": None}),
    ("full_list", "full list of 5000", 20, 1, 2, "µs wall", "picobase", {"pocketbase": 1.0, "httpx": 1.0, "requests": 1.0}),
    ("get_one", "get_one, asyncio", 30, 100, 5, "µs CPU", "picobase, asyncio", {"pocketbase-async": None, "httpx, asyncio": None}),
    ("list", "list of 500, asyncio", 20, 10, 3, "µs CPU", "picobase, asyncio", {"pocketbase-async": None, "httpx, asyncio": None}),
    ("full_list", "full list of 5000, asyncio", 20, 1, 2, "µs wall", "picobase, asyncio", {"pocketbase-async": 1.0}),
    ("burst", "burst of 18000 events", 10, 1, 2, "µs CPU", "picobase", {"pocketbase": 0.6}),
    ("burst", "burst of 18000 events, asyncio", 10, 1, 2, "µs CPU", "picobase, asyncio", {"pocketbase": 0.6}),
]
START_ROUNDS = 15
START_BUDGET_MS = 20


def named(variable: str) -> str:
    """A path that the environment has to name."""
    if not os.environ.get(variable):
        sys.exit(f"{variable} is not set: run `cargo xtask bench python`, which sets it")
    return os.environ[variable]


class Service:
    """A program that says its first line when it is ready and ends when its input does."""

    def __init__(self, *command: str, **more) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)
        self.line = self.process.stdout.readline()
        assert self.line, f"{command[0]} ended at once"

    def ask(self, **asked):
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "a side ended"
        return json.loads(answer)

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Stage:
    """A server with records, and their ids."""

    def __init__(self) -> None:
        self.kit = Service(named("PICOBASE_TESTKIT_BIN"))
        self.control = json.loads(self.kit.line)["control"]
        server = self._post("/servers", {})
        self._post(f"/servers/{server['server_id']}/seed", {"collection": "bulk", "count": RECORDS})
        self.url = server["direct_url"]
        with urllib.request.urlopen(f"{self.url}/api/collections/bulk/records?perPage=1000&fields=id") as page:
            self.ids = [item["id"] for item in json.load(page)["items"]]

    def _post(self, path: str, body):
        data = json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.control + path, data, {"Content-Type": "application/json"})) as answer:
            return json.loads(answer.read() or b"null")

    def end(self) -> None:
        self.kit.end()


def environment(name: str) -> dict[str, str]:
    env = dict(os.environ)
    if name == "pocketbase-async":
        env["PYTHONPATH"] = named("PICOBASE_BENCH_ASYNC_PEER")
    return env


def measure(report: Report, stage: Stage, row) -> None:
    """Batches of all sides in turn; who begins changes, and the first ones warm up and do not count."""
    method, name, rounds, calls, warm, unit, own, peers = row
    names = [own, *peers]
    replays = [Service(named("PICOBASE_BENCH_BIN"), "replay") if method == "burst" else None for _ in names]
    sides = [
        Service(sys.executable, str(HERE / "side.py"), side, stage.url, replay.line.strip() if replay else stage.url, env=environment(side))
        for side, replay in zip(names, replays, strict=True)
    ]
    costs: list[list[float]] = [[] for _ in sides]
    ids = itertools.cycle(stage.ids)
    for n in range(-warm, rounds):
        chosen = list(itertools.islice(ids, calls))
        for i in range(len(sides)):
            which = (i + n) % len(sides)
            cost = sides[which].ask(row=method, ids=chosen)["cpu" if unit.endswith("CPU") else "wall"]
            if n >= 0:
                costs[which].append(cost)
    for service in [*sides, *replays]:
        if service:
            service.end()
    each = 18_000 if method == "burst" else calls
    for (peer, budget), theirs in zip(peers.items(), costs[1:], strict=True):
        report.compare(name, peer, unit, costs[0], theirs, each, budget)


def measure_start(report: Report, stage: Stage) -> None:
    """Processes that import a library and get one record, less one that does nothing."""
    took: dict[str, list[float]] = {"picobase": [], "httpx": [], "pocketbase": [], "nothing": []}
    for n in range(-2, START_ROUNDS):
        for name, times in took.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, str(HERE / "start.py"), name, stage.url, stage.ids[n]], check=True)
            if n >= 0:
                times.append((time.perf_counter() - began) * 1e3)
    more = {name: [a - b for a, b in zip(times, took["nothing"], strict=True)] for name, times in took.items()}
    for peer in ("httpx", "pocketbase"):
        budget = START_BUDGET_MS if peer == "httpx" else None
        report.bound("start to first record, more than nothing", peer, "ms wall", more["picobase"], more[peer], budget)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    machine = f"{cpu()}, {os.cpu_count()} cores, {platform.system().lower()} {platform.release()} {platform.machine()}, Python {platform.python_version()}"
    report, stage = Report(machine), Stage()
    try:
        for row in ROWS:
            if options.only in row[1]:
                measure(report, stage, row)
        if options.only in "start to first record":
            measure_start(report, stage)
    finally:
        stage.end()
    print(report.table())
    if options.out:
        options.out.write_text(report.json())


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


main()
