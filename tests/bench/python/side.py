"""One side in a process of its own, so that its garbage and its threads count for nobody else.

    python side.py SIDE URL REPLAY [START]

The parent writes `{"row", "ids"}` as a line and reads `{"cpu", "wall"}`, in microseconds for all calls together. With START in place
of a parent it gets that one record and ends.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    name, url, replay, *start = sys.argv[1:]
    from sides import SIDES

    if start:
        SIDES[name](url).get_one(start[0])
        return
    # A burst comes from a server of its own, which does nothing else.
    side, listener = SIDES[name](url), SIDES[name](replay)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        row = asked["row"]
        work = listener if row == "burst" else side
        began, cpu = time.perf_counter(), time.process_time()
        if hasattr(work, "batch"):
            work.batch(row, asked["ids"])
        else:
            for id in asked["ids"]:
                getattr(work, row)(id)
        cost = {"cpu": (time.process_time() - cpu) * 1e6, "wall": (time.perf_counter() - began) * 1e6}
        print(json.dumps(cost), flush=True)


main()
