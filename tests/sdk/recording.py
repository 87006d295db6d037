"""Records requests at the sandbox, and compares what our providers send with what an SDK sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import settings
from sandbox.forms import MULTIPART, URLENCODED, flatten, parse_form
from sandbox.http import Request
from sandbox.server import RunningSandbox

FOLDER = settings.ROOT / "tests" / "sdk" / "recordings"
#: Headers that a provider reads; the others name the client or the connection.
HEADERS = ("authorization", "content-type", "idempotency-key", "x-goog-api-key")

#: A recorded request: `method`, `path`, `query`, `headers`, `body`.
Recording = dict[str, Any]


def record_requests(running: RunningSandbox, monkeypatch: Any) -> list[Request]:
    """Return a list that gets every request to the sandbox from now on."""
    requests: list[Request] = []
    handle = running.sandbox.handle_request

    async def record(request: Request, reader: Any) -> Any:
        requests.append(request)
        return await handle(request, reader)

    monkeypatch.setattr(running.sandbox, "handle_request", record)
    return requests


def to_recording(request: Request) -> Recording:
    """Return what is kept of a request."""
    headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
    body = request.body.decode()
    return {"method": request.method, "path": request.path, "query": request.query, "headers": headers, "body": body}


def to_request(recording: Recording) -> Request:
    """Return the request that was recorded."""
    return Request(**{**recording, "body": recording["body"].encode()})


def build_target(recording: Recording) -> str:
    """Return the path with its query."""
    query = urlencode(recording["query"])
    return f"{recording['path']}?{query}" if query else str(recording["path"])


def get_file(sdk: str) -> Path:
    """Return the file with an SDK's recorded requests."""
    return FOLDER / f"{sdk}.json"


def load(sdk: str) -> dict[str, Recording]:
    """Return an SDK's recorded requests by the name of the call."""
    recordings: dict[str, Recording] = json.loads(get_file(sdk).read_text(encoding="utf-8"))
    return recordings


def save(sdk: str, name: str, recording: Recording) -> None:
    """Keep a recorded request in place of the one of that name."""
    recordings = load(sdk) if get_file(sdk).exists() else {}
    text = json.dumps({**recordings, name: recording}, indent=2, sort_keys=True, ensure_ascii=False)
    get_file(sdk).write_text(text + "\n", encoding="utf-8")


def list_fields(request: Request) -> dict[str, Any]:
    """Return the request field by field: each value by its path, as `body.to` or `header.content-type`."""
    fields = {"method": request.method, "path": request.path}
    fields |= {f"query.{name}": value for name, value in request.query.items()}
    fields |= {f"header.{name}": request.headers[name] for name in HEADERS if name in request.headers}
    # The rest of it is a boundary or the only character set of JSON.
    fields["header.content-type"] = request.media_type
    return fields | dict(_flatten("body", _parse_body(request)))


def _parse_body(request: Request) -> Any:
    if request.media_type in (MULTIPART, URLENCODED):
        return flatten(parse_form(request))
    return request.json()


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, str) and value[:1] == "{":
        value = json.loads(value)
    if not isinstance(value, dict | list) or not value:
        yield path, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield from _flatten(f"{path}.{name}", item)


def find_differences(ours: Request, theirs: Request) -> dict[str, tuple[Any, Any]]:
    """Return the fields whose values differ, each with ours and the SDK's; None for one that is missing."""
    a, b = list_fields(ours), list_fields(theirs)
    return {name: (a.get(name), b.get(name)) for name in {*a, *b} if a.get(name) != b.get(name)}
