"""Derives the blocking client (`src/picobase/_sync`) from the one for asyncio (`src/picobase/_async`).

`python tools/derive.py` writes it, `python tools/derive.py --check` fails where what is there differs.

A file is turned line by line: `async def` becomes `def`, `await` goes, and names become those of their blocking twins. What
has no twin stands between `# async only` and `# end`; what only the blocking client has stands there as comments between
`# sync only` and `# end`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "picobase"
HEADER = "# Derived from {} by tools/derive.py. Change that one.\n"

RULES = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b_?Native\(False,", "Native(True,"),
    (r"\b(__a)(enter|exit|iter|next)__\b", r"__\2__"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAsync(Iterator|Iterable|Generator|ContextManager)\b", r"\1"),
    (r"\bAwaitable\[([^\[\]]+)\]", r"\1"),
    (r"\bAsync([A-Z]\w*)\b", r"\1"),
    (r"_async\b", "_sync"),
    (r"The client for asyncio\.", "The blocking client."),
]


def derive(text: str) -> str:
    """The blocking form of a source."""
    text = re.sub(r"^[ ]*# async only\n.*?^[ ]*# end\n", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^[ ]*# sync only\n(.*?)^[ ]*# end\n", _uncommented, text, flags=re.DOTALL | re.MULTILINE)
    for pattern, twin in RULES:
        text = re.sub(pattern, twin, text)
    return text


def _uncommented(found: re.Match[str]) -> str:
    return re.sub(r"^([ ]*)# ?", r"\1", found[1], flags=re.MULTILINE)


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale: list[str] = []
    for source in sorted((SOURCE / "_async").glob("*.py")):
        target = SOURCE / "_sync" / source.name
        text = HEADER.format(f"_async/{source.name}") + derive(source.read_text())
        if target.exists() and target.read_text() == text:
            continue
        stale.append(target.name)
        if not check:
            target.write_text(text)
    if check and stale:
        print(f"not up to date in src/picobase/_sync: {', '.join(stale)}; run tools/derive.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
