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
from dashboard.api.request_schemas import (
    HOOK_PAYLOAD,
    JSON_VALUE,
    REF,
    TIME_ZONE,
    build_definition_components,
    describe_parameter,
    refuse_control_characters,
    rename_keywords,
)
from dashboard.producers import SITE_KEY_HEADER, SITE_KEY_PARAMETER
from dashboard.resource import Operation

#: What every operation may answer: an unknown host, too many requests, a server that is missing.
_COMMON_STATUSES = frozenset({421, 429, 503})
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer", "minimum": 0}}
}
_DESCRIPTION = (
    "Messaging automations: start them by triggers, report what playbooks did, and operate them. Errors are problem "
    "documents (RFC 9457) with the invalid fields. A request that fits its schema may still be answered 422 where "
    "fields contradict each other, such as a period that ends before it begins, or where a text has a syntax of its "
    "own: the templates and conditions of a definition, and CSV."
)
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
        {operation.body for operation in declared if operation.body is not None},
        key=lambda model: model.__name__,
    )
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=REF)
    bodies = definitions.get("$defs", {})
    cleaned = {operation.body.__name__ for operation in declared if operation.body is not None and operation.site_key}
    components = {
        "JsonValue": JSON_VALUE,
        "TimeZone": TIME_ZONE,
        "HookPayload": HOOK_PAYLOAD,
        **build_definition_components(),
    }
    for name, schema in bodies.items():
        # What browsers report is cleaned of control characters instead of refused.
        is_cleaned = name in cleaned or name.startswith("Reported")
        body = rename_keywords(_reference_bodies(schema, bodies, name))
        components[name] = body if is_cleaned else refuse_control_characters(body)
    paths: dict[str, Any] = {}
    for operation in declared:
        described = _reference_components(_describe_operation(operation), components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Beckon",
            "version": metrics.read_version(),
            "description": _DESCRIPTION,
            "contact": {"name": "The Beckon authors"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": url}],
        "tags": [
            {"name": tag, "description": _describe_tag(tag)}
            for tag in sorted({operation.tag for operation in declared})
        ],
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
        return {"$ref": REF.format(model=title)}
    return {key: _reference_bodies(item, bodies) for key, item in value.items()}


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
    return {"$ref": REF.format(model=value.name)}


def _describe_operation(operation: Operation) -> dict[str, Any]:
    operation_object: dict[str, Any] = {
        "operationId": f"{operation.name}_{operation.method.lower()}"
        if operation.method in ("PUT", "PATCH")
        else operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [
            *_build_path_parameters(operation),
            *_build_query_parameters(operation),
            *operation.parameters,
        ],
        "responses": _build_responses(operation),
        "security": _build_security(operation),
    }
    operation_object["description"] = _describe(operation)
    if operation.body is not None:
        schema = {"$ref": REF.format(model=operation.body.__name__)}
        operation_object["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": schema}},
        }
    elif operation.limit and operation.method == "POST" and operation.permission is None:
        operation_object["requestBody"] = {
            "required": False,
            "content": {"application/json": {"schema": {"$ref": REF.format(model="HookPayload")}}},
        }
    return operation_object


def _describe_tag(tag: str) -> str:
    return f"The operations on {tag.replace('-', ' ')}."


def _describe(operation: Operation) -> str:
    sentences = [operation.description] if operation.description else []
    if operation.permission:
        role = LOWEST_ROLE[operation.permission]
        sentences.append(f"Requires a key with the scope `{operation.permission}`, or the role {role} or a higher one.")
    if operation.site_key and operation.body is not None:
        sentences.append("With a site key the body may be `text/plain`, as beacons send it.")
    return " ".join(sentences) or f"{operation.summary}."


def _build_security(operation: Operation) -> list[dict[str, list[str]]]:
    """A key with the scope, a session with at least the role, or a site key."""
    site_keys: list[dict[str, list[str]]] = [{"siteKey": []}, {"siteKeyInUrl": []}] if operation.site_key else []
    if operation.permission is None:
        return site_keys
    return [{"apiKey": [operation.permission]}, {"session": [LOWEST_ROLE[operation.permission]]}, *site_keys]


def _build_path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _describe_part(operation, name)}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _describe_part(operation: Operation, name: str) -> dict[str, Any]:
    if name in operation.parts:
        return operation.parts[name]
    return schemas.ID if name.endswith("_id") else {"type": "string", "minLength": 1, "maxLength": 100}


def _build_query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(by_alias=True)
    return [
        describe_parameter(name, field, is_required=name in schema.get("required", ()))
        for name, field in schema["properties"].items()
    ]


def _build_responses(operation: Operation) -> dict[str, Any]:
    return {
        str(status): _build_response(operation, status)
        for status in sorted({operation.status, *operation.statuses, *_list_error_statuses(operation)})
    }


def _build_response(operation: Operation, status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if status in (429, 503):
        response["headers"] = _RETRY_AFTER
    if status >= 400:
        return {**response, "content": {"application/problem+json": {"schema": _PROBLEM}}}
    if status == 304:
        return response
    if operation.stream:
        return {**response, "content": {"text/event-stream": {"schema": _build_event_schema(operation)}}}
    if operation.media_type == "application/yaml":
        # A definition's text is YAML or JSON, as its author wrote it.
        value = {"schema": {"type": "object"}}
        return {**response, "content": {"application/yaml": value, "application/json": value}}
    is_json = operation.media_type == "application/json"
    schema = _build_success_schema(operation) if is_json else {"type": "string"}
    return {**response, "content": {operation.media_type: {"schema": schema}}}


def _build_event_schema(operation: Operation) -> dict[str, Any]:
    """One event of a stream: its data is JSON."""
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": operation.response}
    return {
        "type": "object",
        "required": ["data"],
        "properties": {"event": schemas.TEXT, "id": schemas.TEXT, "data": data},
    }


def _build_success_schema(operation: Operation) -> dict[str, Any]:
    if isinstance(operation.response, schemas.Component):
        return operation.response
    # The fields of a response may differ with its status.
    fields = {"success": {"const": True}, **operation.response}
    return {"type": "object", "required": ["success"], "properties": fields}


def _list_error_statuses(operation: Operation) -> set[int]:
    statuses = set(_COMMON_STATUSES)
    if operation.permission is not None or operation.site_key:
        statuses |= {401, 403}
    if "{" in operation.path:
        statuses.add(404)
    if operation.method != "GET":
        # A body that is too long or broken off is refused even where none is read.
        statuses |= {400, 413}
    if operation.body is not None:
        statuses |= {415, 422}
    if operation.query is not None:
        statuses.add(422)
    return statuses
