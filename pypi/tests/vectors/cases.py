"""Reads the vectors, and says what of a result is not as wanted. What they mean is said in their README."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

from picobase import PicoBaseError

FOLDER = Path(__file__).parents[3] / "tests" / "vectors"


def read(file: str) -> Any:
    text = (FOLDER / file).read_bytes()
    assert text.isascii(), f"{file} is not ASCII"
    return json.loads(text)


def cases(topic: str) -> list[dict[str, Any]]:
    """The cases of a topic, each with a name of its own."""
    found: list[dict[str, Any]] = read(f"{topic}.json")["cases"]
    names = [case["name"] for case in found]
    assert len(set(names)) == len(names), f"{topic}: two cases have one name"
    assert all(need == "ordered_objects" for case in found for need in case.get("needs", [])), topic
    return found


def mistake(case: dict[str, Any], came: Any) -> str:
    """What is wrong with what came of a case: its result, or the exception."""
    wanted = case.get("error")
    assert ("out" in case) != (wanted is not None), "a case has `out` or `error`, and not both"
    if wanted is None:
        return _wrong_result(case["out"], came)
    if not isinstance(came, PicoBaseError):
        return f"no error of ours: {came!r}"
    return _wrong_error(wanted, came)


def _wrong_result(wanted: dict[str, Any], came: Any) -> str:
    if isinstance(came, BaseException):
        return "".join(traceback.format_exception(came))
    return "\n".join(
        f"{key}: wanted {value!r}\n{' ' * len(key)}    came {came.get(key)!r}"
        for key, value in wanted.items()
        if not same(value, came.get(key))
    )


def _wrong_error(wanted: dict[str, Any], error: PicoBaseError) -> str:
    wrong = [] if error.kind == wanted["kind"] else [f"of kind {error.kind}"]
    if error.status != wanted.get("status", 404 if wanted["kind"] == "NotFound" else 0):
        wrong.append(f"status {error.status}")
    said = f"{error.message} {error.fix}".lower()
    wrong += [f"does not mention {text!r}" for text in wanted.get("mentions", []) if text.lower() not in said]
    shown = " ".join([str(error), repr(error), repr(vars(error)), error.url or "", error.body or ""])
    wrong += [f"mentions {text!r}" for text in wanted.get("not_mentions", []) if text in shown]
    if wanted.get("fix") and not error.fix:
        wrong.append("has no fix")
    return ", ".join(wrong) and f"{', '.join(wrong)}: {error!r}, {vars(error)}"


def same(a: Any, b: Any) -> bool:
    """Equal as JSON values: `1` is `1.0` but not `True`, and the order of keys means nothing."""
    kind = a.__class__
    if kind is not b.__class__ and not (_is_number(a) and _is_number(b)):
        return False
    if kind is list:
        return len(a) == len(b) and all(map(same, a, b))
    if kind is dict:
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    return bool(a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
