"""Builds triggers and tracked executions from keyword arguments, each with the id that makes it repeatable."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from beckon_client.entries import Entry, build_entry
from beckon_client.schema import ExecutionArguments, TriggerArguments


def build_trigger(type: str, arguments: TriggerArguments) -> tuple[Entry, str]:
    """The entry of a trigger, and its idempotency key. Raises `TypeError` and `InvalidBodyError`."""
    fields = _rename(arguments, TriggerArguments)
    key = fields.get("idempotencyKey") or uuid.uuid4().hex
    return build_entry({"type": type, **fields, "idempotencyKey": key}), key


def build_execution(workflow_id: str, arguments: ExecutionArguments) -> tuple[Entry, str]:
    """The entry of a tracked execution, and its id. Raises `TypeError` and `InvalidBodyError`."""
    fields = _rename(arguments, ExecutionArguments)
    execution_id = fields.get("executionId") or str(uuid.uuid4())
    return build_entry({"workflowId": workflow_id, **fields, "executionId": execution_id}), execution_id


def _rename(arguments: Mapping[str, Any], declared: type) -> dict[str, Any]:
    """The arguments by the API's names."""
    unexpected = arguments.keys() - declared.__annotations__.keys()
    if unexpected:
        raise TypeError(f"unexpected argument {min(unexpected)!r}")
    return {_to_camel_case(name): value for name, value in arguments.items()}


def _to_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
