"""Queues and pauses over HTTP: queue depths, and pausing automations, queues and providers."""

from __future__ import annotations

from typing import Any

from dashboard.access import Caller, redact_deployment_fields
from dashboard.api import schemas
from dashboard.errors import not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from ephemeral import heartbeats
from models import pause
from models.database import acting_as
from models.ids import is_id
from models.reports import automations
from providers.registry import PROVIDERS
from tasks.operators import actions as operator_actions
from tasks.runtime.broker import BROKER_ERRORS, EXECUTION_QUEUES, QUEUES, read_queue_depths

queues = Resource("queues")

_STATES = ("ready", "delayed", "unacked", "dead")
#: Providers that may be paused: channels and text generators.
_PROVIDERS = frozenset(PROVIDERS)


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
                paused=schemas.BOOL,
            )
        ),
        "pauses": schemas.array_of(
            schemas.record(kind=schemas.TEXT, name=schemas.TEXT, reason=schemas.TEXT, createdAt=schemas.TIME)
        ),
    },
)  # fmt: skip
def list_queues(call: Caller) -> Any:
    """Show the queues, their workers, and the active pauses."""
    try:
        depths, workers, redis_up = read_queue_depths(), heartbeats.list_workers(), True
    except BROKER_ERRORS:
        depths, workers, redis_up = {}, [], False
    with acting_as(call.workspace_id):
        pauses = pause.list_all(call.workspace_id)
    paused_queues = {row["name"] for row in pauses if row["kind"] == "queue"}
    unknown = dict.fromkeys(_STATES)
    items = [
        {
            "name": name,
            # A queue has the messages of all workspaces.
            **redact_deployment_fields(call, depths.get(name) or unknown),
            "workers": sum(name in worker.queues for worker in workers),
            "paused": name in paused_queues,
        }
        for name in QUEUES
    ]
    return success(redis="ok" if redis_up else "down", queues=items, pauses=[to_api_fields(row) for row in pauses])


def _declare_pause_routes(kind: str, plural: str) -> None:
    def pause_target(call: Caller, name: str) -> Any:
        operator_actions.set_pause(kind, _require_target(call, kind, name), call.workspace_id, call.actor)
        return success(paused=True)

    def resume_target(call: Caller, name: str) -> Any:
        resumed = operator_actions.resume(kind, _require_target(call, kind, name), call.workspace_id, call.actor)
        return success(paused=False, resumed=resumed)

    for verb, view in (("pause", pause_target), ("resume", resume_target)):
        view.__name__ = f"{verb}_{kind}"
        view.__doc__ = f"{verb.title()} {'an' if kind[0] in 'aeiou' else 'a'} {kind}."
        queues.api("POST", f"/api/{plural}/{{name}}/{verb}", permission="write", response={"paused": schemas.BOOL})(
            view
        )


def _require_target(call: Caller, kind: str, name: str) -> str:
    if kind == "automation":
        exists = is_id(name) and automations.find(call.workspace_id, name) is not None
    else:
        exists = name in {"queue": EXECUTION_QUEUES, "provider": _PROVIDERS}[kind]
    if not exists:
        raise not_found(f"There is no {kind} by that name.")
    return name


_declare_pause_routes("automation", "automations")
_declare_pause_routes("queue", "queues")
_declare_pause_routes("provider", "providers")
