"""The health of all parts, as the Health page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import flask

from dashboard.access import Caller, current_settings, redact_deployment_fields
from dashboard.api import schemas
from dashboard.errors import RETRY_AFTER_SECONDS, ProblemError
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from tasks.health.measurement import Health, measure
from tasks.health.parts import Part, Problem
from tasks.health.readiness import judge_readiness

health = Resource("health")

#: The services of the response. A part that works with a warning is ready.
_SERVICES = ("executor", "email", "sms", "messaging", "ai", "notices")
_SERVICE_STATES = {"degraded": "failing", "unknown": "failing"}
#: Paths that answer at once while PostgreSQL hangs: without it no caller can be checked.
_PATHS = ("/api/health", "/health")

_SERVICE = schemas.record(status=schemas.TEXT, detail=schemas.TEXT, provider=schemas.TEXT,
                          since=schemas.nullable(schemas.TIME))  # fmt: skip
_PROCESS = {"host": schemas.nullable(schemas.TEXT), "pid": schemas.nullable(schemas.COUNT)}
_NUMBER, _COUNT = schemas.nullable(schemas.NUMBER), schemas.nullable(schemas.COUNT)
_PROBLEM = schemas.record(
    key=schemas.TEXT, part=schemas.TEXT, severity={"enum": ["critical", "warning", "notice"]}, title=schemas.TEXT,
    since=schemas.nullable(schemas.TIME), meaning=schemas.TEXT, remedy=schemas.TEXT,
)  # fmt: skip


@health.before_app_request
def require_database() -> None:
    """Answer 503 with the cause at once where PostgreSQL gives no answer, so that Health itself never hangs."""
    if flask.request.path in _PATHS and not judge_readiness(current_settings()).database_answers:
        raise ProblemError(
            503,
            "PostgreSQL does not answer, so no session or key can be checked and no part is shown. Start PostgreSQL, "
            "or check DATABASE_URL; `beckon doctor` on the server checks every part.",
            retry_after=RETRY_AFTER_SECONDS,
        )


@health.api(
    "GET",
    "/api/health",
    permission="read",
    response={
        "status": {"enum": ["ok", "degraded", "down"]},
        "processor": schemas.record(
            status={"enum": ["running", "degraded", "stopped"]},
            workers=schemas.array_of(
                schemas.record(
                    **_PROCESS, program=schemas.TEXT, queues=schemas.array_of(schemas.TEXT), startedAt=schemas.TIME,
                    lastSeen=schemas.TIME, clockSkewSeconds=schemas.NUMBER,
                )
            ),
            leader=schemas.record(**_PROCESS, since=schemas.TIME, seenAt=schemas.TIME) | {"type": ["object", "null"]},
        ),
        "pending": schemas.record(count=_COUNT, oldestSeconds=_NUMBER),
        "recentFailures": schemas.record(
            lastHour=_COUNT, last24Hours=_COUNT, items=schemas.array_of(schemas.ANY),
            groups=schemas.array_of(
                schemas.record(
                    errorClass=schemas.TEXT, provider=schemas.nullable(schemas.TEXT),
                    code=schemas.nullable(schemas.TEXT), count=schemas.COUNT, firstAt=schemas.TIME, lastAt=schemas.TIME,
                )
            ),
        ),
        "cache": schemas.record(size=_COUNT, capacity=_COUNT, hits=_COUNT, misses=_COUNT, utilization=_NUMBER),
        "services": schemas.record(**dict.fromkeys(_SERVICES, _SERVICE)),
        "database": schemas.record(status=schemas.TEXT, latencyMs=_NUMBER, activeAutomations=_COUNT,
                                   migration=schemas.nullable(schemas.TEXT), migrations=schemas.TEXT),
        "redis": schemas.record(status=schemas.TEXT, latencyMs=_NUMBER, policy=schemas.nullable(schemas.TEXT),
                                usedBytes=_COUNT, limitBytes=_COUNT),
        "disk": schemas.record(status=schemas.TEXT, detail=schemas.TEXT),
        "problems": schemas.array_of(_PROBLEM),
        "configuration": schemas.array_of(
            schemas.record(variable=schemas.TEXT, blocks=schemas.TEXT, meaning=schemas.TEXT, setIn=schemas.TEXT)
        ),
    },
)  # fmt: skip
def show_health(call: Caller) -> Any:
    """Show the health of all components."""
    state = measure(current_settings(), call.workspace_id, deployment_owner=call.deployment_owner)
    return success(
        status=state.status,
        processor=_describe_processor(call, state),
        pending=to_api_fields(state.pending or {"count": None, "oldest_seconds": None}),
        recentFailures=_describe_failures(state),
        cache=_describe_cache(state),
        services={name: _describe_service(state.find_part(name)) for name in _SERVICES},
        database=_describe_database(state),
        redis=_describe_redis(call, state),
        disk={"status": state.find_part("disk").state, "detail": state.find_part("disk").text},
        problems=[_describe_problem(problem) for problem in state.problems],
        configuration=[
            {"variable": row.variable, "blocks": row.blocks, "meaning": row.meaning, "setIn": row.place}
            for row in state.configuration
        ],
    )


def _describe_processor(call: Caller, state: Health) -> dict[str, Any]:
    fields = ("host", "pid", "program", "queues", "started_at", "last_seen", "clock_skew_seconds")
    workers = [{name: getattr(worker, name) for name in fields} for worker in state.workers]
    return {
        "status": state.processor,
        "workers": [_describe_process(call, worker) for worker in workers],
        "leader": state.leader and _describe_process(call, state.leader),
    }


def _describe_process(call: Caller, process: Mapping[str, Any]) -> dict[str, Any]:
    machine = redact_deployment_fields(call, {name: process[name] for name in ("host", "pid")})
    return to_api_fields({**process, **machine})


def _describe_failures(state: Health) -> dict[str, Any]:
    counts = state.failures or {"last_hour": None, "last24_hours": None}
    items = state.failures["items"] if state.failures else []
    return {
        **to_api_fields(counts),
        "items": [to_api_fields(item) for item in items],
        "groups": [to_api_fields(group) for group in state.failure_groups],
    }


def _describe_cache(state: Health) -> dict[str, Any]:
    if state.cache is None:
        return dict.fromkeys(("size", "capacity", "hits", "misses", "utilization"))
    return {**asdict(state.cache), "utilization": state.cache.utilization}


def _describe_service(part: Part) -> dict[str, Any]:
    return {
        "status": _SERVICE_STATES.get(part.state, part.state),
        "detail": part.text,
        "provider": part.note,
        "since": part.since,
    }


def _describe_database(state: Health) -> dict[str, Any]:
    part = state.find_part("postgres")
    problem_keys = {problem.key for problem in part.problems}
    return {
        "status": {"ready": "ok", "degraded": "slow"}.get(part.state, "failing") if state.database else "down",
        "latencyMs": state.database and state.database.latency_ms,
        "activeAutomations": state.active_automations,
        "migration": state.migration,
        "migrations": "pending" if "migrations_pending" in problem_keys else "up_to_date",
    }


def _describe_redis(call: Caller, state: Health) -> dict[str, Any]:
    if state.redis is None:
        return {"status": "down", **dict.fromkeys(("latencyMs", "policy", "usedBytes", "limitBytes"))}
    memory = {"used_bytes": state.redis.used_bytes, "limit_bytes": state.redis.limit_bytes or None}
    return {
        "status": "ok" if state.find_part("redis").state == "ready" else "failing",
        "latencyMs": state.redis.latency_ms,
        "policy": state.redis.policy,
        **to_api_fields(redact_deployment_fields(call, memory)),
    }


def _describe_problem(problem: Problem) -> dict[str, Any]:
    return {
        "key": problem.key, "part": problem.part, "severity": problem.severity, "title": problem.title,
        "since": problem.since, "meaning": problem.meaning, "remedy": problem.remedy,
    }  # fmt: skip
