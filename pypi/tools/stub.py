"""Makes `src/picobase/_native.pyi` of the stub that `maturin generate-stubs` writes.

`python tools/stub.py GENERATED` writes it, `python tools/stub.py GENERATED --check` fails where what is there differs.

What is generated knows no parameters of generic classes, nor typed dicts, nor what the module exports, and names a class that
cannot be imported. What it does not know of the module is its version.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src" / "picobase" / "_native.pyi"
HEADER = "# Made of bindings-python by tools/stub.py. Change the bindings.\n"

RULES = [
    (r"\bdict\b(?!\[)", "Mapping[str, Any]"),
    (r"\blist\b(?!\[)", "list[Any]"),
    (r"\btuple\b(?!\[)", "tuple[Any, ...]"),
    (r"\bbuiltin_function_or_method\b", "Callable[..., Any]"),
    (r"^def __getattr__\(name: str\) -> Incomplete: \.\.\.\n", "__version__: str\n"),
    (r"^(?=from os import)", "from collections.abc import Callable, Mapping\n"),
]


def improved(text: str) -> str:
    """What is generated, as type checkers can use it."""
    for pattern, better in RULES:
        text = re.sub(pattern, better, text, flags=re.MULTILINE)
    names = re.findall(r"^(?:class |def |(?=__version__: ))(\w+)", text, flags=re.MULTILINE)
    text += f"__all__ = {sorted(names)}\n"
    # The linter orders imports and drops those that nothing needs, the formatter does the rest.
    for command in (["check", "--quiet", "--select=I,F401", "--fix"], ["format", "--quiet"]):
        ruff = ["ruff", *command, f"--stdin-filename={TARGET}", "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return HEADER + text


def main() -> int:
    text = improved(Path(sys.argv[1]).read_text())
    if "--check" not in sys.argv[2:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"src/picobase/_native.pyi is not up to date; run tools/stub.py {sys.argv[1]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
