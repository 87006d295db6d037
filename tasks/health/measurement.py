"""Measures the whole: `measure` reads every part under its own deadline and judges it. It never raises for a server
that is down, slow or hangs: that is what it reports."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cachetools import TTLCache

import clock
from ephemeral.heartbeats import Process
from models.leadership import LastLeaderRow
from models.reports.failure_groups import FailureGroup
from models.reports.health import PendingRow, RecentFailures, ServerFacts
from models.reports.provider_calls import Calls
from settings import Settings
from tasks.health import cache, leader, queues, stores, tracking, work
from tasks.health.cache import CacheTotals
from tasks.health.configuration import list_missing_settings
from tasks.health.facts import Facts, Pauses, Processes, RedisFacts, WorkspaceFacts, read_deployment, read_workspace
from tasks.health.leader import ProcessorStatus
from tasks.health.parts import MissingSetting, Part, Problem, Status, judge_status, sort_problems
from tasks.health.problem_times import fill_times
from tasks.health.services import SERVICES, ProviderFacts, build_service_parts

#: Seconds for which `measure_recent` reuses a measurement.
RECENT_SECONDS = 3.0
#: Seconds for which `read_last` returns a measurement while a new one is made.
LAST_SECONDS = 60.0
#: The parts in the order of the page; the groups follow from it.
_ORDER = (
    "queue:triggers", "queue:executions", "queue:generation", "queue:sending", "queue:tracking", "leader", "pending",
    "cache", "failures", "executor", *SERVICES, "postgres", "redis", "disk",
)  # fmt: skip


@dataclass(frozen=True)
class Health:
    """Everything that Health says about a workspace and the copy that it runs on."""

    at: datetime
    status: Status
    processor: ProcessorStatus
    parts: tuple[Part, ...]
    #: Worst first.
    problems: tuple[Problem, ...]
    configuration: tuple[MissingSetting, ...]
    workers: tuple[Process, ...]
    leader: LastLeaderRow | None
    #: None for what could not be measured.
    pending: PendingRow | None
    failures: RecentFailures | None
    failure_groups: tuple[FailureGroup, ...]
    cache: CacheTotals | None
    database: ServerFacts | None
    active_automations: int | None
    migration: str | None
    redis: RedisFacts | None

    @property
    def urgent(self) -> int:
        """How many problems need a person; what an operator has paused does not count."""
        return sum(problem.severity != "notice" for problem in self.problems)

    def find_part(self, name: str) -> Part:
        """Return a part by its name."""
        return next(part for part in self.parts if part.name == name)


def measure(settings: Settings, workspace_id: str, *, deployment_owner: bool = False) -> Health:
    """Measure everything now. Only for a deployment owner it names hosts and counts the work of all workspaces."""
    now = clock.now()
    deployment = read_deployment(settings)
    own = read_workspace(settings, workspace_id) if deployment.is_measured("postgres") else Facts({})
    now = max(now, clock.now())
    active = own.get("automations", int)
    common = [
        leader.build_leader_part(deployment, deployment_owner=deployment_owner),
        cache.build_cache_part(deployment),
        work.build_executor_part(deployment, own, now),
        stores.build_postgres_part(deployment, active, settings),
        stores.build_redis_part(deployment, now, settings, deployment_owner=deployment_owner),
        stores.build_disk_part(deployment, settings),
    ]
    paused_queues = [row["name"] for row in _list_pauses(own).rows if row["kind"] == "queue"]
    queue_parts = queues.build_queue_parts(
        deployment, own.results["backlogs"] if own.is_measured("backlogs") else {},
        paused_queues, now, deployment_owner=deployment_owner,
    )  # fmt: skip
    queue_parts = tracking.add_tracking(queue_parts, own, now)
    services = _read_service_facts(deployment, own, now)
    parts = _arrange([
        *fill_times([*queue_parts, *common], now),
        work.build_pending_part(deployment, own, now),
        work.build_failures_part(own, now),
        *(build_service_parts(services) if services else _build_unknown_services()),
    ])  # fmt: skip
    problems = sort_problems(problem for part in parts for problem in part.problems)
    verdict = leader.judge_processor(deployment)
    return Health(
        at=now,
        status=judge_status(parts, is_down=verdict == "stopped" or not deployment.is_measured("postgres")),
        processor=verdict,
        parts=tuple(parts),
        problems=problems,
        configuration=tuple(list_missing_settings(services)) if services else (),
        workers=_list_workers(deployment),
        leader=deployment.results["leader"] if leader.is_leading(deployment) else None,
        pending=own.results["pending"] if own.is_measured("pending") else None,
        failures=own.results["failures"] if own.is_measured("failures") else None,
        failure_groups=tuple(own.results["failure_groups"]) if own.is_measured("failure_groups") else (),
        cache=cache.sum_caches(deployment),
        database=deployment.get("postgres", ServerFacts),
        active_automations=active,
        migration=deployment.results["migrations"] if deployment.is_measured("migrations") else None,
        redis=deployment.get("redis", RedisFacts),
    )


_recent: TTLCache[tuple[str, bool], Health] = TTLCache(1_000, RECENT_SECONDS)
_recent_lock = threading.Lock()


def measure_recent(settings: Settings, workspace_id: str, *, deployment_owner: bool = False) -> Health:
    """Return a measurement that is at most RECENT_SECONDS old, for what every page shows."""
    key = (workspace_id, deployment_owner)
    with _recent_lock:
        health = _recent.get(key)
    if health is None:
        health = measure(settings, workspace_id, deployment_owner=deployment_owner)
        with _recent_lock:
            _recent[key] = _last[key] = health
    return health


#: The last measurements, for what must not wait for one.
_last: TTLCache[tuple[str, bool], Health] = TTLCache(1_000, LAST_SECONDS)
_refreshing: set[tuple[str, bool]] = set()


def read_last(settings: Settings, workspace_id: str, *, deployment_owner: bool = False) -> Health | None:
    """Return the last measurement, or None, at once. One that is not recent is repeated in the background."""
    key = (workspace_id, deployment_owner)
    with _recent_lock:
        if key not in _recent and key not in _refreshing:
            _refreshing.add(key)
            threading.Thread(target=_refresh, args=(settings, key), name="health", daemon=True).start()
        return _recent.get(key) or _last.get(key)


def _refresh(settings: Settings, key: tuple[str, bool]) -> None:
    try:
        measure_recent(settings, key[0], deployment_owner=key[1])
    finally:
        _refreshing.discard(key)


def _list_workers(facts: Facts) -> tuple[Process, ...]:
    processes = facts.get("processes", Processes)
    return tuple(process for process in processes.live if process.queues) if processes else ()


def _arrange(parts: Sequence[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: _ORDER.index(part.name))


def _list_pauses(own: Facts) -> Pauses:
    return own.get("pauses", Pauses) or Pauses([], {})


def _read_service_facts(deployment: Facts, own: Facts, now: datetime) -> ProviderFacts | None:
    """Return what the services are judged by; None while PostgreSQL gives no answer."""
    workspace = own.get("workspace", WorkspaceFacts)
    if workspace is None:
        return None
    return ProviderFacts(
        workspace,
        _list_pauses(own),
        own.get("calls", Calls) or Calls([], [], None),
        own.results["used"] if own.is_measured("used") else set(),
        now,
        deployment.is_measured("sandbox"),
        own.results["rates"] if own.is_measured("rates") else None,
        own.results["refusals"] if own.is_measured("refusals") else {},
    )


def _build_unknown_services() -> list[Part]:
    detail = "PostgreSQL does not answer, so its calls are unknown"
    return [Part(name, label, "services", "unknown", detail) for name, label in SERVICES.items()]
