"""What was measured, as a table and as JSON: the same as picobase-bench writes."""

from __future__ import annotations

import json
from statistics import median, quantiles


def rounded(value: float) -> float:
    """Three decimals below ten, one above: more would be noise."""
    return round(value, 3) if abs(value) < 10 else round(value, 1)


class Report:
    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.rows: list[dict] = []
        self.details: list[dict] = []

    def compare(self, name: str, peer: str, unit: str, ours: list[float], theirs: list[float], per: int, budget: float | None) -> None:
        """A row, of what the rounds of both sides cost. The ratio is the median of those of the rounds: what disturbs a round
        disturbs both of its batches. Without a budget it is only shown."""
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        ratio = median(ratios)
        holds = None if budget is None else ratio <= budget
        self._add(name, peer, unit, median(ours) / per, median(theirs) / per, ratio, budget, holds, ratios)

    def bound(self, name: str, peer: str, unit: str, ours: list[float], theirs: list[float], budget: float | None) -> None:
        """A row whose budget is of our number itself; the peer's is shown beside it."""
        holds = None if budget is None else median(ours) <= budget
        self._add(name, peer, unit, median(ours), median(theirs), median(ours) / median(theirs), budget, holds, ours)

    def _add(self, name, peer, unit, ours, theirs, ratio, budget, holds, spread) -> None:
        self.rows.append(
            {"row": name, "peer": peer, "unit": unit, "ours": rounded(ours), "theirs": rounded(theirs), "ratio": rounded(ratio),
             "budget": budget, "holds": holds}
        )
        first, _, last = quantiles(spread, n=4)
        self.details.append({"row": name, "peer": peer, "bound": "at most", "spread": [rounded(first), rounded(last)]})

    def table(self) -> str:
        lines = [["row", "peer", "unit", "ours", "theirs", "ratio", "spread", "budget", "holds"]]
        for row, detail in zip(self.rows, self.details, strict=True):
            held = {None: "-", True: "yes", False: "NO"}[row["holds"]]
            budget = "-" if row["budget"] is None else f"≤ {row['budget']}"
            spread = "–".join(map(str, detail["spread"]))
            cells = [row["row"], row["peer"], row["unit"], row["ours"], row["theirs"], row["ratio"], spread, budget, held]
            lines.append([str(cell) for cell in cells])
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.machine, "", *text])

    def json(self) -> str:
        return json.dumps({"machine": self.machine, "rows": self.rows, "details": self.details, "notes": []}, indent=2, ensure_ascii=False) + "\n"
