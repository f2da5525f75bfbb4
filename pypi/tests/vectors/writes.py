"""Bodies of writes: forms and batches, as they arrive at a server."""

from __future__ import annotations

import json
import re
from typing import Any

from picobase import File

from .http_server import Answer, Sent, Server
from .stage import Stage, outcome
from .urls import query_of


def _file(given: Any) -> Any:
    return File(b"x", filename=given.get("filename"), content_type=given.get("content_type"))


class _Again(str):
    """A name that a dict holds beside the same one, so that the files of fields can take turns."""

    __slots__ = ()
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _with_files(body: Any, files: list[Any] | None) -> Any:
    """A body with its files in their fields, in order."""
    whole: dict[str, Any] = dict(body or {})
    last, key = None, ""
    for given in files or []:
        field = given["field"]
        if field != last:
            key = _Again(field) if _holds_files(whole.get(field)) else field
            whole[key] = list(whole.get(key, []))
        whole[key].append(_file(given))
        last = field
    return whole


def _holds_files(value: Any) -> bool:
    items: list[Any] = value or []
    return any(isinstance(item, File) for item in items)


def _parts(sent: Sent) -> list[tuple[str, str | None, bytes]]:
    """The Content-Disposition, the type and the content of each part, byte for byte."""
    found = re.search(r'boundary="?([^";]+)', sent.headers["content-type"])
    assert found
    parts: list[tuple[str, str | None, bytes]] = []
    for part in sent.body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        parts.append((fields["Content-Disposition"], fields.get("Content-Type"), content.removesuffix(b"\r\n")))
    return parts


def _names(disposition: str) -> tuple[str, str | None]:
    found = re.fullmatch(r'form-data; name="([^"]*)"(?:; filename="([^"]*)")?', disposition)
    assert found, disposition
    return found[1], found[2]


def _plain(text: str, wanted: str | None) -> str:
    """`%22` may be a quote, or that very text."""
    escaped = re.sub(r'["\r\n]', lambda found: f"%{ord(found[0]):02X}", wanted or "")
    return wanted if wanted is not None and escaped == text else text


async def multipart(stage: Stage, given: Any, wanted: Any, server: Server) -> Any:
    server.begin(lambda _: Answer(200, b'{"id": "r1"}'))
    client = stage.client(server.url, max_retries=0)
    answer = await outcome(client.collection("posts").create(_with_files(given["body"], given["files"])))
    if isinstance(answer, Exception):
        raise answer
    [sent] = server.requests
    if sent.headers["content-type"] == "application/json":
        return {"json_body": json.loads(sent.body)}
    expected = wanted.get("parts", [])
    parts = [_part(*part, expected[n] if n < len(expected) else {}) for n, part in enumerate(_parts(sent))]
    return {"parts": parts}


def _part(disposition: str, content_type: str | None, content: bytes, wanted: Any) -> Any:
    """A part with those members that the case has for it."""
    name, filename = _names(disposition)
    part: dict[str, Any] = {"name": _plain(name, wanted.get("name")), "disposition": disposition}
    if filename is None:
        assert content_type == "application/json"
        part["json"] = json.loads(content)
    else:
        assert content == b"x"
        part |= {"filename": _plain(filename, wanted.get("filename")), "content_type": content_type}
    return {key: value for key, value in part.items() if key in wanted} if wanted else part


async def batch(stage: Stage, given: Any, _wanted: Any, server: Server) -> Any:
    server.begin(_batch_answer)
    client = stage.client(server.url)
    made = client.batch()
    for write in given["requests"]:
        posts = made.collection(write["collection"])
        options = {"query": query_of(write.get("query")), "headers": write.get("headers")}
        body = _with_files(write.get("body"), write.get("files"))
        match write["op"]:
            case "update":
                posts.update(write.get("id", ""), body, **options)
            case "delete":
                posts.delete(write.get("id", ""), **options)
            case op:
                getattr(posts, op)(body, **options)
    if "limit" not in given:
        await made.send()
        [sent] = server.requests
        return {"payload": _payload(sent), "parts": _file_parts(sent)}
    chunked = await made.send_chunked(size=given["limit"])
    if chunked.error:
        raise chunked.error
    parts = [_file_parts(sent) for sent in server.requests]
    sizes = [len(_payload(sent)["requests"]) for sent in server.requests]
    return {"chunks": sizes, "chunk_parts": [names for names in parts if names]}


def _batch_answer(sent: Sent) -> Answer:
    assert (sent.method, sent.target) == ("POST", "/api/batch")
    results: list[Any] = [{"status": 200, "body": {}} for _ in _payload(sent)["requests"]]
    return Answer(200, json.dumps(results).encode())


def _is_form(sent: Sent) -> bool:
    return sent.headers["content-type"].startswith("multipart/form-data")


def _payload(sent: Sent) -> Any:
    if not _is_form(sent):
        return json.loads(sent.body)
    (disposition, _, content), *_ = _parts(sent)
    assert _names(disposition) == ("@jsonPayload", None)
    return json.loads(content)


def _file_parts(sent: Sent) -> list[str]:
    return [_names(disposition)[0] for disposition, _, _ in _parts(sent)[1:]] if _is_form(sent) else []
