"""Is it healthy: every part asked, each with a limit of its own, so that one that is away is named by the others."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from dashboard.access import Caller, deployment_fields, settings
from dashboard.answers import named, success
from dashboard.api import shapes
from dashboard.resource import Resource
from ephemeral import heartbeats, workflow_cache
from ephemeral.connection import ERRORS, ephemeral
from ephemeral.heartbeats import Worker
from models import duty, pause, workspace
from models.database import Row, acting_as
from models.reports import health as report
from settings import Settings
from tasks import accounts
from tasks.broker import QUEUES
from tasks.model_settings import in_use
from tasks.writers import default_provider

health = Resource("health")

#: Each service of the page, with the provider behind it and what is blocked without it.
_SERVICES = {"email": "mailgun", "sms": "telnyx"}
#: What the service "messaging" speaks through.
_MESSAGING = ("facebook", "instagram")

_SERVICE = shapes.record(status=shapes.TEXT, detail=shapes.TEXT)
#: A process's fields that name the machine.
_MACHINE = ("host", "pid")
_PROCESS = {"host": shapes.maybe(shapes.TEXT), "pid": shapes.maybe(shapes.COUNT)}


@health.api(
    "GET",
    "/api/health",
    permission="read",
    answer={
        "status": {"enum": ["ok", "degraded", "down"]},
        "processor": shapes.record(
            status=shapes.TEXT,
            workers=shapes.listing(
                shapes.record(
                    **_PROCESS, queues=shapes.listing(shapes.TEXT), startedAt=shapes.TIME, lastSeen=shapes.TIME
                )
            ),
            leader=shapes.record(**_PROCESS, since=shapes.TIME, seenAt=shapes.TIME) | {"type": ["object", "null"]},
        ),
        "pending": shapes.record(count=shapes.COUNT, oldestSeconds=shapes.NUMBER),
        "recentFailures": shapes.record(
            lastHour=shapes.COUNT, last24Hours=shapes.COUNT, items=shapes.listing(shapes.ANY)
        ),
        "cache": shapes.record(
            size=shapes.maybe(shapes.COUNT), capacity=shapes.maybe(shapes.COUNT), hits=shapes.maybe(shapes.COUNT),
            misses=shapes.maybe(shapes.COUNT), utilization=shapes.maybe(shapes.NUMBER),
        ),
        "services": shapes.record(
            executor=_SERVICE, email=_SERVICE, sms=_SERVICE, messaging=_SERVICE, ai=_SERVICE
        ),
        "database": shapes.record(status=shapes.TEXT, latencyMs=shapes.NUMBER, activeAutomations=shapes.COUNT,
                                  migration=shapes.maybe(shapes.TEXT)),
        "redis": shapes.record(status=shapes.TEXT, latencyMs=shapes.maybe(shapes.NUMBER)),
        "configuration": shapes.listing(shapes.record(variable=shapes.TEXT, blocks=shapes.TEXT)),
    },
)  # fmt: skip
def show_health(call: Caller) -> Any:
    """Show how everything is."""
    told = in_use(settings(), call.workspace_id).settings
    redis_facts, workers = _redis()
    processor = _processor(call, workers, redis_up=redis_facts["status"] == "ok")
    with acting_as(call.workspace_id):
        pauses = pause.every(call.workspace_id)
        own = workspace.get(call.workspace_id)
    sandboxed = told.sandbox == "auto" and bool(own and own["demo"])
    services = _services(told, pauses, sandboxed, processor["status"])
    healthy = redis_facts["status"] == "ok" and processor["status"] == "running"
    failing = any(service["status"] == "failing" for service in services.values())
    failures = report.recent_failures(call.workspace_id)
    failures["items"] = [named(one) for one in failures["items"]]
    return success(
        status="ok" if healthy and not failing else "degraded",
        processor=processor,
        pending=named(report.pending(call.workspace_id)),
        recentFailures=named(failures),
        # The process's cache serves every workspace.
        cache=deployment_fields(call, workflow_cache.facts()),
        services=services,
        database={"status": "ok", **named(report.database(call.workspace_id))},
        redis=redis_facts,
        configuration=_configuration(told),
    )


def _redis() -> tuple[dict[str, Any], list[Worker]]:
    began = time.perf_counter()
    try:
        ephemeral().ping()
        latency_ms = round((time.perf_counter() - began) * 1000, 2)
        return {"status": "ok", "latencyMs": latency_ms}, heartbeats.workers()
    except ERRORS:
        return {"status": "down", "latencyMs": None}, []


def _processor(call: Caller, workers: list[Worker], redis_up: bool) -> dict[str, Any]:
    served = {queue for worker in workers for queue in worker.queues}
    leader = duty.leader()
    status = "running" if redis_up and served >= set(QUEUES) and leader else "degraded"
    if redis_up and not workers:
        status = "stopped"
    processes = [_process(call, asdict(worker)) for worker in workers]
    return {"status": status, "workers": processes, "leader": leader and _process(call, leader)}


def _process(call: Caller, process: Row) -> dict[str, Any]:
    machine = deployment_fields(call, {name: process[name] for name in _MACHINE})
    return named({**process, **machine})


def _services(told: Settings, pauses: list[Row], sandboxed: bool, processor: str) -> dict[str, dict[str, str]]:
    executor = {
        "running": {"status": "ready", "detail": "Every queue has a worker."},
        "degraded": {"status": "failing", "detail": "Not every queue has a worker, or no scheduler leads."},
        "stopped": {"status": "failing", "detail": "No worker was heard of."},
    }[processor]
    services = {name: _service(told, provider, pauses, sandboxed) for name, provider in _behind(told).items()}
    channels = [_service(told, provider, pauses, sandboxed) for provider in _MESSAGING]
    messaging = next((one for one in channels if one["status"] != "ready"), channels[0])
    return {"executor": executor, **services, "messaging": messaging}


def _behind(told: Settings) -> dict[str, str]:
    """The provider behind each service, which of those that write is the settings' to say."""
    return {**_SERVICES, "ai": default_provider(told)}


def _service(told: Settings, provider: str, pauses: list[Row], sandboxed: bool) -> dict[str, str]:
    held = next((one for one in pauses if one["kind"] == "provider" and one["name"] == provider), None)
    if held is not None and held["reason"] == "configuration":
        return {
            "status": "failing",
            "detail": f"Refused since {held['created_at']:%Y-%m-%d %H:%M} UTC: {held['message']}",
        }
    if held is not None:
        return {"status": "paused", "detail": "An operator holds it."}
    absent = accounts.missing(told, provider)
    if not absent:
        return {"status": "ready", "detail": f"Through {provider}."}
    if sandboxed:
        return {"status": "ready", "detail": "Through the sandbox: nothing leaves this machine."}
    return {"status": "not_configured", "detail": f"{', '.join(absent)} is not set."}


def _configuration(told: Settings) -> list[dict[str, str]]:
    behind = {**_behind(told), "messaging": _MESSAGING[0]}
    return [
        {"variable": variable, "blocks": name}
        for name, provider in behind.items()
        for variable in accounts.missing(told, provider)
    ]
