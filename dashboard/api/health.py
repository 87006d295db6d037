"""The health of every component, each checked with its own timeout, so that a component that is down hides no other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from dashboard.access import Caller, current_settings, redact_deployment_fields
from dashboard.api import schemas
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from ephemeral import heartbeats, workflow_cache
from ephemeral.connection import ERRORS, get_ephemeral
from ephemeral.heartbeats import Process
from models import pause, periodic_job, workspace
from models.database import acting_as
from models.pause import PausedRow
from models.reports import health as report
from rules.channels import CHANNELS, CONTACT_CHANNELS, CONVERSATION_CHANNELS
from settings import Settings
from tasks.runtime.broker import QUEUES
from tasks.steps import accounts
from tasks.steps.model_choice import find_default_provider
from tasks.steps.model_settings import resolve_model_settings

health = Resource("health")

#: The provider behind each service.
_SERVICES = {name: CHANNELS[name].provider for name in CONTACT_CHANNELS if name not in CONVERSATION_CHANNELS}
#: The providers of the service "messaging".
_MESSAGING = CONVERSATION_CHANNELS

_SERVICE = schemas.record(status=schemas.TEXT, detail=schemas.TEXT)
#: Fields of a process that identify the machine.
_MACHINE_FIELDS = ("host", "pid")
_WORKER_FIELDS = (*_MACHINE_FIELDS, "queues", "started_at", "last_seen")
_PROCESS = {"host": schemas.nullable(schemas.TEXT), "pid": schemas.nullable(schemas.COUNT)}


@health.api(
    "GET",
    "/api/health",
    permission="read",
    response={
        "status": {"enum": ["ok", "degraded", "down"]},
        "processor": schemas.record(
            status=schemas.TEXT,
            workers=schemas.array_of(
                schemas.record(
                    **_PROCESS, queues=schemas.array_of(schemas.TEXT), startedAt=schemas.TIME, lastSeen=schemas.TIME
                )
            ),
            leader=schemas.record(**_PROCESS, since=schemas.TIME, seenAt=schemas.TIME) | {"type": ["object", "null"]},
        ),
        "pending": schemas.record(count=schemas.COUNT, oldestSeconds=schemas.NUMBER),
        "recentFailures": schemas.record(
            lastHour=schemas.COUNT, last24Hours=schemas.COUNT, items=schemas.array_of(schemas.ANY)
        ),
        "cache": schemas.record(
            size=schemas.nullable(schemas.COUNT), capacity=schemas.nullable(schemas.COUNT),
            hits=schemas.nullable(schemas.COUNT), misses=schemas.nullable(schemas.COUNT),
            utilization=schemas.nullable(schemas.NUMBER),
        ),
        "services": schemas.record(
            executor=_SERVICE, email=_SERVICE, sms=_SERVICE, messaging=_SERVICE, ai=_SERVICE
        ),
        "database": schemas.record(status=schemas.TEXT, latencyMs=schemas.NUMBER, activeAutomations=schemas.COUNT,
                                  migration=schemas.nullable(schemas.TEXT)),
        "redis": schemas.record(status=schemas.TEXT, latencyMs=schemas.nullable(schemas.NUMBER)),
        "configuration": schemas.array_of(schemas.record(variable=schemas.TEXT, blocks=schemas.TEXT)),
    },
)  # fmt: skip
def show_health(call: Caller) -> Any:
    """Show the health of all components."""
    config = resolve_model_settings(current_settings(), call.workspace_id).settings
    redis_facts, workers = _check_redis()
    processor = _describe_processor(call, workers, redis_up=redis_facts["status"] == "ok")
    with acting_as(call.workspace_id):
        pauses = pause.list_all(call.workspace_id)
        workspace_row = workspace.get(call.workspace_id)
    sandboxed = config.sandbox == "auto" and bool(workspace_row and workspace_row["demo"])
    services = _describe_services(config, pauses, sandboxed, processor["status"])
    healthy = redis_facts["status"] == "ok" and processor["status"] == "running"
    failing = any(service["status"] == "failing" for service in services.values())
    failures = report.fetch_recent_failures(call.workspace_id)
    failure_items = [to_api_fields(failure) for failure in failures["items"]]
    return success(
        status="ok" if healthy and not failing else "degraded",
        processor=processor,
        pending=to_api_fields(report.count_pending(call.workspace_id)),
        recentFailures={**to_api_fields(failures), "items": failure_items},
        # The cache of the process is shared by all workspaces.
        cache=redact_deployment_fields(call, workflow_cache.read_stats()),
        services=services,
        database={"status": "ok", **to_api_fields(report.measure_database(call.workspace_id))},
        redis=redis_facts,
        configuration=_list_missing_settings(config),
    )


def _check_redis() -> tuple[dict[str, Any], list[Process]]:
    started_at = time.perf_counter()
    try:
        get_ephemeral().ping()
        latency_ms = round((time.perf_counter() - started_at) * 1000, 2)
        return {"status": "ok", "latencyMs": latency_ms}, heartbeats.list_workers()
    except ERRORS:
        return {"status": "down", "latencyMs": None}, []


def _describe_processor(call: Caller, workers: list[Process], redis_up: bool) -> dict[str, Any]:
    served = {queue for worker in workers for queue in worker.queues}
    leader = periodic_job.fetch_leader()
    status = "running" if redis_up and served >= set(QUEUES) and leader else "degraded"
    if redis_up and not workers:
        status = "stopped"
    processes = [
        _describe_process(call, {name: getattr(worker, name) for name in _WORKER_FIELDS}) for worker in workers
    ]
    return {"status": status, "workers": processes, "leader": leader and _describe_process(call, leader)}


def _describe_process(call: Caller, process: Mapping[str, Any]) -> dict[str, Any]:
    machine = redact_deployment_fields(call, {name: process[name] for name in _MACHINE_FIELDS})
    return to_api_fields({**process, **machine})


def _describe_services(
    config: Settings, pauses: list[PausedRow], sandboxed: bool, processor: str
) -> dict[str, dict[str, str]]:
    executor = {
        "running": {"status": "ready", "detail": "Every queue has a worker."},
        "degraded": {"status": "failing", "detail": "A queue has no worker, or no scheduler is leader."},
        "stopped": {"status": "failing", "detail": "No worker is alive."},
    }[processor]
    services = {
        name: _describe_service(config, provider, pauses, sandboxed)
        for name, provider in _map_providers(config).items()
    }
    channels = [_describe_service(config, provider, pauses, sandboxed) for provider in _MESSAGING]
    messaging = next((channel for channel in channels if channel["status"] != "ready"), channels[0])
    return {"executor": executor, **services, "messaging": messaging}


def _map_providers(config: Settings) -> dict[str, str]:
    """The provider behind each service; the settings name the text generator."""
    return {**_SERVICES, "ai": find_default_provider(config)}


def _describe_service(config: Settings, provider: str, pauses: list[PausedRow], sandboxed: bool) -> dict[str, str]:
    active_pause = next((row for row in pauses if row["kind"] == "provider" and row["name"] == provider), None)
    if active_pause is not None and active_pause["reason"] == "configuration":
        return {
            "status": "failing",
            "detail": f"Failing since {active_pause['created_at']:%Y-%m-%d %H:%M} UTC: {active_pause['message']}",
        }
    if active_pause is not None:
        return {"status": "paused", "detail": "Paused by an operator."}
    absent = accounts.find_missing_secrets(config, provider)
    if not absent:
        return {"status": "ready", "detail": f"Uses {provider}."}
    if sandboxed:
        return {"status": "ready", "detail": "Uses the sandbox: nothing leaves this machine."}
    return {"status": "not_configured", "detail": f"{', '.join(absent)} is not set."}


def _list_missing_settings(config: Settings) -> list[dict[str, str]]:
    providers = {**_map_providers(config), "messaging": _MESSAGING[0]}
    return [
        {"variable": variable, "blocks": name}
        for name, provider in providers.items()
        for variable in accounts.find_missing_secrets(config, provider)
    ]
