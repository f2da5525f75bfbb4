"""Type-checks the code of documents and docstrings against the installed package: each ```python block is a module of its own.

`python tools/check_docs.py` writes the modules into target/check-docs/python and lets mypy and pyright, both strict, look at them.

What the blocks of a document take for granted stands in it once, in a comment that readers do not see:

    <!-- check-docs
    from picobase import Client
    client: Client
    -->

Errors carry the document's own line numbers. A block is the body of an async function, so that it may await. Examples in
docstrings are whole modules: what they need they import.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WORK = ROOT / "target/check-docs/python"
PACKAGE = ROOT / "pypi/src/picobase"
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


def examples(text: str) -> Iterator[tuple[int, str]]:
    """The blocks of a source's docstrings, each line where the source has it, with the line where the block begins."""
    for node in ast.walk(ast.parse(text)):
        said = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(said, ast.Constant) or not isinstance(said.value, str):
            continue
        block, start = list[str](), 0
        for number, line in enumerate(said.value.splitlines(), said.lineno):
            if line.strip() == "```python":
                block, start = [], number
            elif start and line.strip() == "```":
                yield start, "\n" * start + textwrap.dedent("\n".join(block)) + "\n"
                start = 0
            else:
                block.append(line)


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
    for source in sorted(PACKAGE.rglob("*.py")):
        name = "_".join(source.relative_to(PACKAGE).with_suffix("").parts)
        for start, text in examples(source.read_text()):
            (folder / f"docstring_{name}_{start}.py").write_text(text)
            count += 1
    return count


def main() -> int:
    print(f"{write(WORK)} blocks")
    mypy = ["--strict", "--python-version", "3.10", "."]
    checks = [["mypy", "--config-file=", *mypy], ["pyright"]]
    return max(subprocess.run(check, cwd=WORK, check=False).returncode for check in checks)


if __name__ == "__main__":
    sys.exit(main())
