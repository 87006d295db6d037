"""The OpenAPI 3.1 document, made of the declarations that guard and validate the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

import metrics
from dashboard.access import LOWEST_ROLE
from dashboard.resource import Operation

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "success", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "success": {"const": False},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def document(operations: Iterable[Operation], url: str) -> dict[str, Any]:
    """The whole document, for the server at `url`."""
    declared = list(operations)
    models = sorted(
        {model for one in declared for model in (one.body, one.query) if model is not None},
        key=lambda one: one.__name__,
    )
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    components: dict[str, Any] = {**schemas.get("$defs", {}), "Problem": _PROBLEM}
    paths: dict[str, Any] = {}
    for one in declared:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Beckon", "version": metrics.released(), "description": "Messaging automations."},
        "servers": [{"url": url}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "beckon_session"},
            },
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": f"{one.name}_{one.method.lower()}" if one.method in ("PUT", "PATCH") else one.name,
        "summary": one.summary,
        "parameters": [*_path_parameters(one), *_query_parameters(one), *_header_parameters(one)],
        "responses": _responses(one),
        "security": _security(one),
    }
    if one.permission:
        shown["description"] = f"Needs the permission `{one.permission}`."
    if one.body is not None:
        schema = {"$ref": _REF.format(model=one.body.__name__)}
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    elif one.limit and one.method == "POST" and one.permission is None:
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return shown


def _security(one: Operation) -> list[dict[str, list[str]]]:
    """A key's scope, or a signed-in person's lowest role; either is enough."""
    if one.permission is None:
        return []
    return [{"apiKey": [one.permission]}, {"session": [LOWEST_ROLE[one.permission]]}]


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", one.path)
    ]


def _query_parameters(one: Operation) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    schema = one.query.model_json_schema(by_alias=True)
    return [
        {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        for name, field in schema["properties"].items()
    ]


def _header_parameters(one: Operation) -> list[dict[str, Any]]:
    if one.name not in ("accept_trigger", "accept_hook", "accept_test"):
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}]


def _responses(one: Operation) -> dict[str, Any]:
    fields = {"success": {"const": True}, **one.answer}
    # Which of the fields an answer has may differ with its status.
    good: dict[str, Any] = {"type": "object", "required": ["success"], "properties": fields}
    media = (
        {"text/event-stream": {"schema": {"type": "string"}}} if one.stream else {"application/json": {"schema": good}}
    )
    responses: dict[str, Any] = {}
    for status in sorted({one.status, *one.statuses, *_refusals(one)}):
        content = (
            media if status < 400 else {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
        )
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return responses


def _refusals(one: Operation) -> set[int]:
    statuses = {429, 503}
    if one.permission is not None:
        statuses |= {401, 403}
    if "{" in one.path:
        statuses.add(404)
    if one.body is not None:
        statuses |= {400, 413, 415, 422}
    if one.query is not None:
        statuses.add(422)
    return statuses
