"""Type-checks the code of documents against the installed package: each ```python block is a module of its own.

`python tools/check_docs.py` writes the modules into target/check-docs/python and lets mypy and pyright, both strict, look at them.

What the blocks of a document take for granted stands in it once, in a comment that readers do not see:

    <!-- check-docs
    from picobase import Client
    client: Client
    -->

Errors carry the document's own line numbers. A block is the body of an async function, so that it may await.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WORK = ROOT / "target/check-docs/python"
DOCUMENTS = [ROOT / "README.md", ROOT / "pypi/README.md", ROOT / "docs/python.md"]

# What is shown need not be used.
PYRIGHT = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.10",
    **dict.fromkeys(("reportUnusedVariable", "reportUnusedFunction", "reportUnusedClass", "reportUnusedImport"), False),
}


def modules(text: str) -> Iterator[tuple[int, str]]:
    """The blocks of a document as modules, each line where the document has it, with the line where the block begins."""
    prelude, block, start, inside = [""], [""], 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if (inside, line) in (("prelude", "-->"), ("block", "```")):
            if inside == "block":
                yield start, "\n".join(p or b for p, b in zip(prelude, block, strict=True)) + "\n"
                block = [""] * len(block)
            inside = ""
        prelude.append(line if inside == "prelude" else "")
        block.append(f"    {line}" if inside == "block" and line.strip() else "")
        if not inside and line == "<!-- check-docs":
            inside = "prelude"
        elif not inside and line == "```python":
            inside, start = "block", number
            block[-1] = "async def block() -> None:"


def write(folder: Path) -> int:
    """Writes every module; answers how many."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    count = 0
    for document in DOCUMENTS:
        name = "_".join(document.relative_to(ROOT).with_suffix("").parts).lower()
        for start, text in modules(document.read_text()):
            (folder / f"{name}_{start}.py").write_text(text.removeprefix("\n"))
            count += 1
    return count


def main() -> int:
    print(f"{write(WORK)} blocks")
    mypy = ["--strict", "--python-version", "3.10", "."]
    checks = [["mypy", "--config-file=", *mypy], ["pyright"]]
    return max(subprocess.run(check, cwd=WORK, check=False).returncode for check in checks)


if __name__ == "__main__":
    sys.exit(main())
