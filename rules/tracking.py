"""Validates the executions of playbooks that producers report, and bounds and cleans them before they are stored.

A report is text from a visitor's browser: nothing of it may be lost because of a character that PostgreSQL cannot
store, so NUL is removed and half a surrogate pair replaced (`rules.json_text.clean_json`) before the validation. A
field of the wrong type, size or name is a problem with its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from rules.bodies import MAX_DEPTH, Body, WholeNumber, check
from rules.json_text import dump_json
from rules.problems import Problem

ExecutionResult = Literal["success", "error", "timeout"]
DeviceType = Literal["desktop", "mobile", "tablet"]
EXECUTION_RESULTS: tuple[ExecutionResult, ...] = get_args(ExecutionResult)
DEVICE_TYPES: tuple[DeviceType, ...] = get_args(DeviceType)

#: Maximum entries of a batch.
MAX_BATCH_SIZE = 500
#: Maximum actions of an execution: as many as a workflow has steps.
MAX_ACTIONS = 100
#: Maximum time of an execution or action: one day.
MAX_TIME_MS = 86_400_000
#: Maximum bytes of an action's configuration, as JSON.
MAX_CONFIG_BYTES = 8192
#: Maximum values of a body per KiB of its limit. Real reports have 40; parsing more costs memory and time.
MAX_VALUES_PER_KIB = 100

_URL = re.compile(r"https?://\S+", re.IGNORECASE)


def _check_url(text: str) -> str:
    if _URL.fullmatch(text):
        return text
    raise ValueError("must be a URL that starts with http:// or https://")


def _check_config(config: dict[str, Any]) -> dict[str, Any]:
    if _is_deeper(config, MAX_DEPTH):
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if len(dump_json(config).encode(errors="replace")) > MAX_CONFIG_BYTES:
        raise ValueError(f"must have at most {MAX_CONFIG_BYTES} bytes as JSON")
    return config


def _is_deeper(value: object, levels: int) -> bool:
    """Whether objects and lists are nested more than `levels` deep."""
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value)
    return False


ExecutionId = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]
AutomationId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
OptionalName = Annotated[str, StringConstraints(max_length=200)]
Milliseconds = Annotated[WholeNumber, Field(ge=0, le=MAX_TIME_MS)]
PageUrl = Annotated[
    str,
    Field(max_length=4096),
    AfterValidator(_check_url),
    WithJsonSchema({"type": "string", "maxLength": 4096, "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://\S+$"}),
]
Config = Annotated[dict[str, Any], AfterValidator(_check_config)]


class ReportedAction(Body):
    """One action of a reported execution; `error` says why it failed."""

    name: Name
    selector: Annotated[str, StringConstraints(max_length=1000)] | None = None
    execution_time_ms: Milliseconds | None = Field(None, alias="executionTimeMs")
    config: Config | None = None
    error: Annotated[str, StringConstraints(max_length=500)] | None = None


class ReportedExecution(Body):
    """One execution of a playbook. With an `executionId` the report can be repeated without being counted twice."""

    execution_id: ExecutionId | None = Field(None, alias="executionId")
    workflow_id: AutomationId = Field(alias="workflowId")
    user_id: OptionalName | None = Field(None, alias="userId")
    status: ExecutionResult = "success"
    execution_time_ms: Milliseconds | None = Field(None, alias="executionTimeMs")
    page_url: PageUrl | None = Field(None, alias="pageUrl")
    session_id: OptionalName | None = Field(None, alias="sessionId")
    device_type: DeviceType | None = Field(None, alias="deviceType")
    trigger_name: OptionalName | None = Field(None, alias="triggerName")
    actions: Annotated[list[ReportedAction], Field(max_length=MAX_ACTIONS)] = Field(default_factory=list)


class ExecutionReports(Body):
    """Several executions; each is validated separately."""

    executions: Annotated[
        list[Any],
        Field(
            min_length=1,
            max_length=MAX_BATCH_SIZE,
            json_schema_extra={"items": {"$ref": "#/components/schemas/ReportedExecution"}},
        ),
    ]


@dataclass(frozen=True, slots=True)
class TrackedAction:
    """A valid action. `error` is None unless it failed."""

    name: str
    selector: str | None
    execution_time_ms: int | None
    config: Mapping[str, Any] | None
    error: str | None


@dataclass(frozen=True, slots=True)
class TrackedExecution:
    """A valid execution, whose texts PostgreSQL can store. `workflow_id` is in lower case."""

    execution_id: str
    workflow_id: str
    user_id: str | None
    status: ExecutionResult
    execution_time_ms: int | None
    page_url: str | None
    session_id: str | None
    device_type: DeviceType | None
    trigger_name: str | None
    actions: tuple[TrackedAction, ...] = field(default=())


def compute_max_report_values(limit: int) -> int:
    """Compute the values that a body may have whose limit is `limit` bytes: more than any report has."""
    return limit // 1024 * MAX_VALUES_PER_KIB


def parse_tracked_execution(value: object, default_id: str, path: str = "") -> TrackedExecution | list[Problem]:
    """Return the execution in a cleaned JSON value, or all of its problems.

    `default_id` becomes the execution's id where the producer names none.
    """
    reported, problems = check(ReportedExecution, value, path)
    return problems if reported is None else build_tracked_execution(reported, default_id)


def build_tracked_execution(reported: ReportedExecution, default_id: str) -> TrackedExecution:
    """Return the execution of a valid report; an empty optional text counts as absent."""
    return TrackedExecution(
        reported.execution_id or default_id,
        reported.workflow_id.lower(),
        reported.user_id or None,
        reported.status,
        reported.execution_time_ms,
        reported.page_url,
        reported.session_id or None,
        reported.device_type,
        reported.trigger_name or None,
        tuple([_build_action(action) for action in reported.actions]),
    )


def _build_action(action: ReportedAction) -> TrackedAction:
    return TrackedAction(
        action.name, action.selector or None, action.execution_time_ms, action.config or None, action.error or None
    )
