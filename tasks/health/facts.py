"""Reads what Health judges: each source by itself, under its own deadline. Nothing here decides anything."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dramatiq

from ephemeral import heartbeats, rates
from ephemeral.connection import RedisRefusedError, get_ephemeral
from ephemeral.heartbeats import Process
from ephemeral.redis_breaker import ANSWERS, describe_answer
from models import leadership, look_up_refusal, pause, periodic_job, workspace
from models.database import acting_as
from models.look_up_refusal import LookUpRefusalRow
from models.reports import failure_groups, open_work, pending, provider_calls, tracking_intake
from models.reports import health as report
from models.reports import summary as summary_report
from providers.registry import FEATURES, PROVIDERS
from settings import Settings
from tasks.health.deadlines import Unmeasured, measure_all
from tasks.runtime.broker import read_queue_depths
from tasks.steps import accounts
from tasks.steps.model_settings import resolve_model_settings

Fact = TypeVar("Fact")

#: Seconds that one measurement has for a probe, which is answered within two.
PROBE_SECONDS = 1.5


#: Lifetime of the key by which a measurement tries whether Redis accepts changes.
HEALTH_KEY_SECONDS = 60


@dataclass(frozen=True)
class RedisFacts:
    """What Redis said of itself. `limit_bytes` is 0 without a limit."""

    latency_ms: float
    version: str
    policy: str
    used_bytes: int
    limit_bytes: int
    uptime_seconds: int
    #: The error with which Redis answers a change of the queues' or of ephemeral data; empty where it accepts both.
    refusal: str = ""


@dataclass(frozen=True)
class Processes:
    """The live processes, and those that ended without a word."""

    live: list[Process]
    lost: list[Process]


@dataclass(frozen=True)
class Pauses:
    """A workspace's pauses, and how many executions each holds, by its name in `models.holds`."""

    rows: list[pause.PausedRow]
    held: Mapping[str, int]


@dataclass(frozen=True)
class DiskFacts:
    """The disk of BECKON_HOME, in bytes."""

    total: int
    free: int


@dataclass(frozen=True)
class Facts:
    """The results of the measurements by name; a missing or unanswered one is `Unmeasured`."""

    results: Mapping[str, Any]

    def get(self, name: str, kind: type[Fact]) -> Fact | None:
        """Return a result of this type; None where it could not be measured."""
        result = self.results.get(name)
        return result if isinstance(result, kind) else None

    def reason(self, name: str) -> str:
        """Why this was not measured."""
        result = self.results.get(name)
        return result.reason if isinstance(result, Unmeasured) else "not measured"

    def is_measured(self, name: str) -> bool:
        """Whether there is an answer, which may be None."""
        return name in self.results and not isinstance(self.results[name], Unmeasured)


def read_deployment(settings: Settings) -> Facts:
    """Read what is the same for every workspace."""
    more = {
        "engine": report.fetch_engine_counts,
        "successes": periodic_job.fetch_last_successes,
        "depths": read_queue_depths,
        "sandbox": lambda: connect_to_sandbox(settings),
    }
    return Facts(measure_all({**_list_essential(settings), **more}))


def read_essential(settings: Settings) -> Facts:
    """Read what decides whether work can be accepted and processed: a few single rows, for probes."""
    return Facts(measure_all(_list_essential(settings), PROBE_SECONDS))


def _list_essential(settings: Settings) -> dict[str, Callable[[], Any]]:
    return {
        "postgres": report.measure_server,
        "migrations": report.fetch_newest_migration,
        "leader": leadership.fetch_last_leader,
        "pause_counts": open_work.count_pauses,
        "redis": measure_redis,
        "processes": read_processes,
        "disk": lambda: measure_disk(settings),
    }


def read_workspace(settings: Settings, workspace_id: str) -> Facts:
    """Read what belongs to one workspace."""
    measures = {
        "workspace": lambda: _read_workspace_row(settings, workspace_id),
        "pauses": lambda: _read_pauses(workspace_id),
        "refusals": lambda: _read_refusals(settings, workspace_id),
        "pending": lambda: report.count_pending(workspace_id),
        "backlogs": lambda: pending.count_by_queue(workspace_id),
        "failures": lambda: report.fetch_recent_failures(workspace_id),
        "failure_groups": lambda: failure_groups.fetch_failure_groups(workspace_id),
        "unknown": lambda: failure_groups.count_unknown_outcomes(workspace_id),
        "rates": lambda: rates.read(workspace_id),
        "calls": lambda: provider_calls.fetch_calls(workspace_id),
        "automations": lambda: report.count_active_automations(workspace_id),
        "used": lambda: report.list_used_names(workspace_id),
        "tracking": lambda: tracking_intake.fetch_own(workspace_id),
    }
    named = measure_all({f"{name}:{workspace_id}": measure for name, measure in measures.items()})
    return Facts({name.partition(":")[0]: result for name, result in named.items()})


@dataclass(frozen=True)
class WorkspaceFacts:
    """A workspace: the settings of its calls, the variables that each provider lacks, and whether it may use the
    sandbox instead."""

    settings: Settings
    missing_secrets: Mapping[str, list[str]]
    sandboxed: bool


def _read_workspace_row(settings: Settings, workspace_id: str) -> WorkspaceFacts:
    own = resolve_model_settings(settings, workspace_id).settings
    with acting_as(workspace_id):
        row = workspace.get(workspace_id)
        missing = {provider: _find_missing(own, provider, workspace_id) for provider in FEATURES}
    return WorkspaceFacts(own, missing, own.sandbox == "auto" and bool(row and row["demo"]))


def _find_missing(settings: Settings, provider: str, workspace_id: str) -> list[str]:
    # An account of the workspace's own has its token.
    own = PROVIDERS[provider].required_settings if accounts.list_own_tokens(provider, workspace_id) else ()
    return accounts.find_missing_secrets(settings, provider, own)


def _read_pauses(workspace_id: str) -> Pauses:
    with acting_as(workspace_id):
        rows = pause.list_all(workspace_id)
        names = [f"{row['kind']}:{row['name']}" for row in rows]
        return Pauses(rows, {name: summary_report.count_held(workspace_id, name) for name in names})


def _read_refusals(settings: Settings, workspace_id: str) -> dict[str, LookUpRefusalRow]:
    """Return the refused look-ups by provider, except of credentials that have changed since."""
    own = resolve_model_settings(settings, workspace_id).settings
    return {
        row["provider"]: row
        for row in look_up_refusal.list_all(workspace_id)
        if row["credentials_fingerprint"] == accounts.fingerprint(own, row["provider"], workspace_id)
    }


def measure_redis() -> RedisFacts:
    """Ask Redis for its latency, policy and memory, and whether it accepts changes. Raises an error of a connection
    where it does not answer."""
    began = time.perf_counter()
    refusal = find_refusal()
    latency_ms = round((time.perf_counter() - began) * 1000 / 2, 2)
    info = _read_redis_info()
    return RedisFacts(
        latency_ms,
        str(info.get("valkey_version") or info.get("redis_version", "")),
        str(info.get("maxmemory_policy", "noeviction")),
        int(info.get("used_memory", 0)),
        int(info.get("maxmemory", 0)),
        int(info.get("uptime_in_seconds", 0)),
        refusal,
    )


def _read_redis_info() -> dict[str, Any]:
    client = get_ephemeral()
    try:
        return {**client.info("memory"), **client.info("server")}
    except ANSWERS:
        # It refuses this too, or has no right to tell.
        return {}


def find_refusal() -> str:
    """Return the error with which Redis answers a change, empty where it accepts it, in both of its databases.

    Raises an error of a connection where it does not answer.
    """
    broker: Any = dramatiq.get_broker()
    try:
        get_ephemeral().set("health", "1", ex=HEALTH_KEY_SECONDS)
        broker.client.set(f"{broker.namespace}:health", "1", ex=HEALTH_KEY_SECONDS)
    except (*ANSWERS, RedisRefusedError) as error:
        return describe_answer(error)
    return ""


def read_processes() -> Processes:
    """List the live and the lost processes. Raises an error of Redis that refuses heartbeats, or does not answer."""
    refusal = find_refusal()
    if refusal:
        raise RedisRefusedError(refusal)
    live = heartbeats.list_processes()
    return Processes(live, heartbeats.list_lost(live))


def connect_to_sandbox(settings: Settings) -> None:
    """Connect to the sandbox, where it is used. Raises `OSError` where it does not answer."""
    if settings.sandbox == "auto":
        parts = urlsplit(settings.sandbox_url)
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=1).close()


def measure_disk(settings: Settings) -> DiskFacts:
    """Measure the disk of BECKON_HOME."""
    usage = shutil.disk_usage(settings.home)
    return DiskFacts(usage.total, usage.free)
