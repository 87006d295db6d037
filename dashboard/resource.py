"""The decorator of API routes: it declares the permission, the request and the response of a route.

One declaration guards the route, validates the request and produces the OpenAPI entry, so the three cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flask

from dashboard import bodies, report_bodies
from dashboard.access import Caller, Permission, require_permission
from dashboard.bodies import BODY_LIMIT, Body
from dashboard.errors import not_found
from dashboard.producers import PageCaller, require_producer, require_site_key
from models.ids import is_id

View = Callable[..., Any]


@dataclass(frozen=True)
class Operation:
    """The declaration of one API route."""

    method: str
    path: str
    permission: Permission | None
    body: type[Body] | None
    query: type[Body] | None
    #: The fields of the response beside `success`, as JSON Schema.
    response: dict[str, Any]
    status: int
    statuses: tuple[int, ...]
    limit: int
    summary: str
    name: str
    #: Whether the response is a stream of Server-Sent Events instead of JSON.
    stream: bool = False
    #: Whether a request without a body is rejected; otherwise it has the body's defaults.
    body_required: bool = True
    #: Whether pages of other origins may call it with a site key.
    site_key: bool = False
    #: Whether a key is looked up once in a few seconds only: a revoked one still works that long.
    recent_key: bool = False
    #: The type of the response's body; other than JSON, `response` is empty.
    media_type: str = "application/json"
    #: Reads the body up to the limit, where it becomes something else than an instance of its model.
    reader: Callable[[int], Any] | None = None
    #: The schemas of the parts of the path that are no ids.
    parts: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    #: Parameters that the view reads itself.
    parameters: tuple[dict[str, Any], ...] = ()
    #: The name of the resource, by which the document groups the operations.
    tag: str = ""
    #: What the view's docstring says after its first sentence.
    description: str = ""


class Resource(flask.Blueprint):
    """The routes of one resource, and their declarations."""

    def __init__(self, name: str) -> None:
        super().__init__(f"api-{name}", __name__)
        self.operations: list[Operation] = []
        self.tag = name

    def api(
        self,
        method: str,
        path: str,
        *,
        permission: Permission | None,
        body: type[Body] | None = None,
        query: type[Body] | None = None,
        response: dict[str, Any],
        status: int = 200,
        statuses: Sequence[int] = (),
        limit: int = BODY_LIMIT,
        stream: bool = False,
        body_required: bool = True,
        site_key: bool = False,
        recent_key: bool = False,
        media_type: str = "application/json",
        reader: Callable[[int], Any] | None = None,
        parts: Mapping[str, dict[str, Any]] | None = None,
        parameters: Sequence[dict[str, Any]] = (),
    ) -> Callable[[View], View]:
        """Declare a route. The view gets `call: Caller` unless the route is public, `body` and `query` where declared,
        and the path parameters as strings. A parameter named `…_id` that is not an id answers 404.

        With `site_key` pages of other origins may call it: the view gets `call: PageCaller`, and without `permission`
        only a site key is accepted. `recent_key` is for paths that take hundreds of requests a second."""

        def declare(view: View) -> View:
            summary, _, description = " ".join((view.__doc__ or "").split()).partition(".")
            self.operations.append(
                Operation(
                    method,
                    path,
                    permission,
                    body,
                    query,
                    response,
                    status,
                    tuple(statuses),
                    limit,
                    summary,
                    view.__name__,
                    stream,
                    body_required,
                    site_key,
                    recent_key,
                    media_type,
                    reader,
                    parts or {},
                    tuple(parameters),
                    self.tag,
                    description.strip(),
                )
            )
            rule = re.sub(r"{(\w+)}", r"<\1>", path)
            endpoint = f"{method.lower()}_{view.__name__}"
            self.add_url_rule(rule, endpoint, _guard_view(view, self.operations[-1]), methods=[method])
            return view

        return declare


def _guard_view(view: View, operation: Operation) -> View:
    def handle_request(**parts: str) -> Any:
        arguments: dict[str, Any] = {}
        if operation.site_key:
            arguments["call"] = _authorize_page(operation)
        elif operation.permission is not None:
            arguments["call"] = _authorize(operation, operation.permission, parts)
        for name, part in parts.items():
            if name.endswith("_id") and not is_id(part):
                raise not_found()
        if operation.query is not None:
            arguments["query"] = bodies.read_query(operation.query)
        if operation.body is not None:
            arguments["body"] = _read_body(operation, operation.body)
        return view(
            **arguments, **{name: part.lower() if name.endswith("_id") else part for name, part in parts.items()}
        )

    return handle_request


def _read_body(operation: Operation, model: type[Body]) -> Any:
    if operation.reader is not None:
        return operation.reader(operation.limit)
    if not operation.body_required and not bodies.read_bytes(operation.limit):
        return model()
    return report_bodies.read(model, operation.limit) if operation.site_key else bodies.read(model, operation.limit)


def _authorize_page(operation: Operation) -> PageCaller:
    return require_site_key() if operation.permission is None else require_producer(operation.permission)


def _authorize(operation: Operation, permission: Permission, parts: dict[str, str]) -> Caller:
    return require_permission(
        permission,
        parts.pop("workspace_id", None),
        is_stream=operation.stream,
        may_be_recent=operation.recent_key,
    )
