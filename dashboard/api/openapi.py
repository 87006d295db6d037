"""The OpenAPI 3.1 document, built from the declarations that guard and validate the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

import metrics
from dashboard.access import LOWEST_ROLE
from dashboard.api import schemas
from dashboard.producers import SITE_KEY_HEADER, SITE_KEY_PARAMETER
from dashboard.resource import Operation

#: Bounds of a type with a validator of its own, which pydantic writes under its own names.
_KEYWORDS = {"ge": "minimum", "le": "maximum"}
_REF = "#/components/schemas/{model}"
_PROBLEM = schemas.component(
    "Problem",
    "An error (RFC 9457), with the invalid fields.",
    type=schemas.TEXT,
    title=schemas.TEXT,
    status=schemas.COUNT,
    detail=schemas.TEXT,
    success={"const": False},
    errors=schemas.PROBLEMS,
)


def build_document(operations: Iterable[Operation], url: str) -> dict[str, Any]:
    """The document for the server at `url`."""
    declared = list(operations)
    models = sorted(
        {model for operation in declared for model in (operation.body, operation.query) if model is not None},
        key=lambda model: model.__name__,
    )
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    bodies = definitions.get("$defs", {})
    components = {name: _reference_bodies(schema, bodies, name) for name, schema in bodies.items()}
    paths: dict[str, Any] = {}
    for operation in declared:
        described = _reference_components(_describe_operation(operation), components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Beckon", "version": metrics.read_version(), "description": "Messaging automations."},
        "servers": [{"url": url}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "beckon_session"},
                "siteKey": {"type": "apiKey", "in": "header", "name": SITE_KEY_HEADER},
                "siteKeyInUrl": {"type": "apiKey", "in": "query", "name": SITE_KEY_PARAMETER},
            },
        },
    }


def _reference_bodies(value: Any, bodies: dict[str, Any], name: str = "") -> Any:
    """`value`, the schema named `name`, with a reference in place of each other body that it repeats
    (`rules.bodies.DescribedAs`)."""
    if isinstance(value, list):
        return [_reference_bodies(item, bodies) for item in value]
    if not isinstance(value, dict):
        return value
    title = value.get("title")
    if isinstance(title, str) and title != name and bodies.get(title) == value:
        return {"$ref": _REF.format(model=title)}
    return {_KEYWORDS.get(key, key): _reference_bodies(item, bodies) for key, item in value.items()}


def _reference_components(value: Any, components: dict[str, Any]) -> Any:
    """`value` with a reference in place of each named schema, which is added to `components`."""
    if isinstance(value, list):
        return [_reference_components(item, components) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {name: _reference_components(item, components) for name, item in value.items()}
    if not isinstance(value, schemas.Component):
        return schema
    components[value.name] = schema
    return {"$ref": _REF.format(model=value.name)}


def _describe_operation(operation: Operation) -> dict[str, Any]:
    operation_object: dict[str, Any] = {
        "operationId": f"{operation.name}_{operation.method.lower()}"
        if operation.method in ("PUT", "PATCH")
        else operation.name,
        "summary": operation.summary,
        "parameters": [
            *_build_path_parameters(operation),
            *_build_query_parameters(operation),
            *_build_header_parameters(operation),
        ],
        "responses": _build_responses(operation),
        "security": _build_security(operation),
    }
    if operation.permission:
        operation_object["description"] = f"Requires the permission `{operation.permission}`."
    if operation.body is not None:
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        operation_object["requestBody"] = {
            "required": operation.body_required,
            "content": {media_type: {"schema": schema} for media_type in _list_body_types(operation)},
        }
    elif operation.limit and operation.method == "POST" and operation.permission is None:
        operation_object["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    return operation_object


def _list_body_types(operation: Operation) -> list[str]:
    return ["application/json", "text/plain"] if operation.site_key else ["application/json"]


def _build_security(operation: Operation) -> list[dict[str, list[str]]]:
    """A key with the scope, a session with at least the role, or a site key."""
    site_keys: list[dict[str, list[str]]] = [{"siteKey": []}, {"siteKeyInUrl": []}] if operation.site_key else []
    if operation.permission is None:
        return site_keys
    return [{"apiKey": [operation.permission]}, {"session": [LOWEST_ROLE[operation.permission]]}, *site_keys]


def _build_path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _build_query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(by_alias=True)
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _reference_bodies(field, {}),
        }
        for name, field in schema["properties"].items()
    ]


def _build_header_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.name not in ("accept_trigger", "accept_hook", "accept_test"):
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}]


def _build_responses(operation: Operation) -> dict[str, Any]:
    media_type = "text/event-stream" if operation.stream else operation.media_type
    is_json = media_type == "application/json"
    media = {media_type: {"schema": _build_success_schema(operation) if is_json else {"type": "string"}}}
    responses: dict[str, Any] = {}
    for status in sorted({operation.status, *operation.statuses, *_list_error_statuses(operation)}):
        content = media if status < 400 else {"application/problem+json": {"schema": _PROBLEM}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return responses


def _build_success_schema(operation: Operation) -> dict[str, Any]:
    if isinstance(operation.response, schemas.Component):
        return operation.response
    # The fields of a response may differ with its status.
    fields = {"success": {"const": True}, **operation.response}
    return {"type": "object", "required": ["success"], "properties": fields}


def _list_error_statuses(operation: Operation) -> set[int]:
    statuses = {429, 503}
    if operation.permission is not None or operation.site_key:
        statuses |= {401, 403}
    if "{" in operation.path:
        statuses.add(404)
    if operation.body is not None:
        statuses |= {400, 413, 415, 422}
    if operation.query is not None:
        statuses.add(422)
    return statuses
