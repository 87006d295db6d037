"""Queues, providers and processes over HTTP: their state, and pausing automations, queues and providers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from dashboard import queue_status
from dashboard.access import Caller, redact_deployment_fields
from dashboard.api import schemas
from dashboard.bodies import Body
from dashboard.errors import not_found
from dashboard.queue_status import ProviderStatus, QueueStatus, Rate
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from ephemeral.heartbeats import Process
from models.ids import is_id
from models.pause import PausedRow
from models.reports import automations
from providers.registry import PROVIDERS
from rules.bodies import OptionalText
from tasks.operators import actions as operator_actions
from tasks.runtime.broker import EXECUTION_QUEUES

queues = Resource("queues")

PauseTarget = Literal["automation", "queue", "provider"]

#: The names of what may be paused; an automation is named by its id.
_NAMES: dict[PauseTarget, dict[str, dict[str, Any]]] = {
    "automation": {"name": schemas.ID},
    "queue": {"name": schemas.one_of(EXECUTION_QUEUES)},
    "provider": {"name": schemas.one_of(PROVIDERS)},
}
_SERIES = schemas.nullable(schemas.array_of(schemas.COUNT))
_RATE = schemas.nullable(schemas.NUMBER)
_POOL = schemas.record(size=schemas.COUNT, busy=schemas.COUNT)
_PAUSE = schemas.record(
    reason=schemas.TEXT, message=schemas.TEXT, by=schemas.nullable(schemas.TEXT), since=schemas.TIME,
    retryAt=schemas.nullable(schemas.TIME), draining=schemas.BOOL,
)  # fmt: skip


class PauseRequest(Body):
    """Why an operator pauses: shown beside the pause, and kept in the audit log."""

    reason: OptionalText = ""


@queues.api(
    "GET",
    "/api/queues",
    permission="read",
    response={
        "redis": schemas.TEXT,
        "queues": schemas.array_of(
            schemas.record(
                name=schemas.TEXT, ready=schemas.nullable(schemas.COUNT), delayed=schemas.nullable(schemas.COUNT),
                unacked=schemas.nullable(schemas.COUNT), dead=schemas.nullable(schemas.COUNT), workers=schemas.COUNT,
                paused=schemas.BOOL, state=schemas.TEXT, depth=schemas.nullable(schemas.COUNT),
                oldestSeconds=schemas.nullable(schemas.NUMBER), running=schemas.nullable(schemas.COUNT),
                inPerMinute=_RATE, outPerMinute=_RATE, **{"in": _SERIES}, out=_SERIES,
                threads=schemas.nullable(_POOL), pause=schemas.nullable(_PAUSE),
            )
        ),
        "providers": schemas.array_of(
            schemas.record(
                name=schemas.TEXT, state=schemas.TEXT, acceptedPerMinute=_RATE, failedPerMinute=_RATE,
                accepted=_SERIES, failed=_SERIES, p95Ms=schemas.nullable(schemas.COUNT), waiting=schemas.COUNT,
                limit=schemas.nullable(
                    schemas.record(used=schemas.COUNT, limit=schemas.COUNT, stoppedSeconds=schemas.NUMBER)
                ),
                pause=schemas.nullable(_PAUSE),
            )
        ),
        "processes": schemas.array_of(
            schemas.record(
                program=schemas.TEXT, name=schemas.TEXT, host=schemas.nullable(schemas.TEXT),
                pid=schemas.nullable(schemas.COUNT), queues=schemas.array_of(schemas.TEXT), pools=schemas.ANY,
                memoryBytes=schemas.COUNT, startedAt=schemas.TIME, lastSeen=schemas.TIME, version=schemas.TEXT,
                leader=schemas.BOOL, clockSkewSeconds=schemas.NUMBER,
            )
        ),
        "pauses": schemas.array_of(
            schemas.record(kind=schemas.TEXT, name=schemas.TEXT, reason=schemas.TEXT, createdAt=schemas.TIME)
        ),
    },
)  # fmt: skip
def list_queues(call: Caller) -> Any:
    """Show the queues, the providers, the processes, and the active pauses."""
    status = queue_status.read(call)
    return success(
        redis="ok" if status.redis_up else "down",
        queues=[_format_queue(row) for row in status.queues],
        providers=[_format_provider(row) for row in status.providers],
        processes=[_format_process(call, row) for row in status.processes],
        pauses=[to_api_fields(row) for row in status.pauses],
    )


def _format_queue(row: QueueStatus) -> dict[str, Any]:
    return {
        "name": row.name,
        **row.messages,
        "workers": row.workers,
        "paused": row.pause is not None,
        "state": row.state,
        "depth": row.depth,
        "oldestSeconds": row.oldest_seconds,
        "running": row.running,
        **_format_rate("in", row.in_rate),
        **_format_rate("out", row.out_rate),
        "threads": row.threads and asdict(row.threads),
        "pause": _format_pause(row.pause),
    }


def _format_provider(row: ProviderStatus) -> dict[str, Any]:
    return {
        "name": row.name,
        "state": row.state,
        **_format_rate("accepted", row.accepted),
        **_format_rate("failed", row.failed),
        "p95Ms": row.p95_ms,
        "limit": row.limit and to_api_fields(asdict(row.limit)),
        "waiting": row.waiting,
        "pause": _format_pause(row.pause),
    }


def _format_rate(name: str, rate: Rate | None) -> dict[str, Any]:
    return {f"{name}PerMinute": rate and rate.per_minute, name: rate and list(rate.series)}


def _format_process(call: Caller, process: Process) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(process).items() if name != "cache"}
    machine = redact_deployment_fields(call, {"host": process.host, "pid": process.pid})
    return to_api_fields({**fields, **machine})


def _format_pause(row: PausedRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "reason": row["reason"],
        "message": row["message"],
        "by": row["actor_name"],
        "since": row["created_at"],
        "retryAt": row["retry_at"],
        "draining": row["draining"],
    }


def _declare_pause_routes(kind: PauseTarget, plural: str) -> None:
    def pause_target(call: Caller, body: PauseRequest, name: str) -> Any:
        target = require_target(call, kind, name)
        operator_actions.set_pause(kind, target, call.workspace_id, call.actor, reason=body.reason)
        return success(paused=True)

    def resume_target(call: Caller, name: str) -> Any:
        resumed = operator_actions.resume(kind, require_target(call, kind, name), call.workspace_id, call.actor)
        return success(paused=False, resumed=resumed)

    for verb, view, body in (("pause", pause_target, PauseRequest), ("resume", resume_target, None)):
        view.__name__ = f"{verb}_{kind}"
        view.__doc__ = f"{verb.title()} {'an' if kind[0] in 'aeiou' else 'a'} {kind}."
        queues.api(
            "POST", f"/api/{plural}/{{name}}/{verb}", permission="write", body=body, body_required=False,
            response={"paused": schemas.BOOL}, parts=_NAMES[kind],
        )(view)  # fmt: skip


@queues.api(
    "POST",
    "/api/queues/{name}/drain",
    permission="write",
    body=PauseRequest,
    body_required=False,
    response={"draining": schemas.BOOL},
    parts=_NAMES["queue"],
)
def drain_queue(call: Caller, body: PauseRequest, name: str) -> Any:
    """Drain a queue. Running executions finish, and nothing new is taken until it is resumed."""
    target = require_target(call, "queue", name)
    operator_actions.set_pause("queue", target, call.workspace_id, call.actor, reason=body.reason, draining=True)
    return success(draining=True)


@queues.api(
    "POST",
    "/api/providers/{name}/try",
    permission="write",
    response={"executionId": schemas.nullable(schemas.ID)},
    statuses=[409],
    parts=_NAMES["provider"],
)
def try_provider(call: Caller, name: str) -> Any:
    """Try a provider that refused its credentials, with the execution that has waited longest."""
    target = require_target(call, "provider", name)
    return success(executionId=operator_actions.try_provider(target, call.workspace_id, call.actor))


def require_target(call: Caller, kind: PauseTarget, name: str) -> str:
    """The name of what may be paused, or the automation's id. Raises `ProblemError` 404 where there is none."""
    if kind == "automation":
        exists = is_id(name) and automations.find(call.workspace_id, name) is not None
    else:
        exists = name in {"queue": EXECUTION_QUEUES, "provider": tuple(PROVIDERS)}[kind]
    if not exists:
        raise not_found(f"There is no {kind} by that name.")
    return name


_declare_pause_routes("automation", "automations")
_declare_pause_routes("queue", "queues")
_declare_pause_routes("provider", "providers")
