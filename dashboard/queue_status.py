"""The state of queues, providers and processes, for the API and the page.

Depths and rates are those of the caller's workspace, which links lead to; a deployment owner also sees the messages of
all workspaces, hosts and process ids. Without Redis, what it knows is None, and the rest is still shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import clock
from dashboard.access import Caller, current_settings
from ephemeral import rates
from ephemeral.heartbeats import Pool, Process
from models import account, pause, workspace
from models.database import acting_as
from models.pause import OPERATORS_REASONS, PausedRow
from models.reports import pending, provider_calls
from models.reports.pending import QueueCount
from models.reports.provider_calls import Calls
from providers.registry import PROVIDERS
from rules.channels import CONVERSATION_CHANNELS, TEXT_PROVIDERS
from settings import Settings
from tasks.health.facts import read_processes
from tasks.health.services import find_activity
from tasks.runtime.broker import BROKER_ERRORS, EXECUTION_QUEUES, QUEUES, read_oldest_ages, read_queue_depths
from tasks.steps import accounts, pacing
from tasks.steps.model_choice import find_default_provider
from tasks.steps.model_settings import resolve_model_settings

#: The minutes that the current rate is the mean of.
RATE_MINUTES = 5
#: A clock that is off by more than this is warned of: leases use PostgreSQL's, so nothing else depends on it.
MAX_SKEW_SECONDS = 5.0

QueueState = Literal["running", "paused", "draining", "drained", "no_workers", "unknown"]
ProviderState = Literal["ready", "paused", "failing", "not_configured", "sandbox"]


@dataclass(frozen=True)
class Rate:
    """What happens a minute: the mean of the last `RATE_MINUTES` minutes, and each of the last `rates.MINUTES`."""

    per_minute: float
    series: Sequence[int]


@dataclass(frozen=True)
class QueueStatus:
    """One queue. Numbers that the caller must not see, or that Redis cannot tell, are None."""

    name: str
    state: QueueState
    #: Whether the workspace can pause it; the other queues are shared by all workspaces.
    pausable: bool
    workers: int
    threads: Pool | None
    depth: int | None
    oldest_seconds: float | None
    running: int | None
    in_rate: Rate | None
    out_rate: Rate | None
    pause: PausedRow | None
    #: Messages in Redis by state, of all workspaces: for deployment owners.
    messages: Mapping[str, int | None]


@dataclass(frozen=True)
class Limit:
    """A sending limit: what is used of it now, and until when the provider has stopped the account."""

    used: int
    limit: int
    stopped_seconds: float


@dataclass(frozen=True)
class ProviderStatus:
    """One provider of the caller's workspace."""

    name: str
    state: ProviderState
    accepted: Rate | None
    failed: Rate | None
    p95_ms: int | None
    limit: Limit | None
    waiting: int
    pause: PausedRow | None
    missing_settings: Sequence[str] = ()


@dataclass(frozen=True)
class Status:
    """All queues, providers and processes; `redis_up` is false while Redis does not answer or refuses changes."""

    redis_up: bool
    queues: list[QueueStatus]
    providers: list[ProviderStatus]
    processes: list[Process]
    pauses: list[PausedRow]


@dataclass(frozen=True)
class _RedisFacts:
    processes: list[Process] = field(default_factory=list)
    depths: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    ages: Mapping[str, float] = field(default_factory=dict)
    #: The rates of the workspace and of all workspaces.
    own: rates.Series | None = None
    total: rates.Series | None = None


def read(call: Caller) -> Status:
    """Read everything that the caller may see."""
    facts, redis_up = _read_redis(call)
    with acting_as(call.workspace_id):
        pauses = pause.list_all(call.workspace_id)
    queue_counts = pending.count_by_queue(call.workspace_id)
    waiting = pending.count_waiting_by_provider(call.workspace_id)
    calls = provider_calls.fetch_calls(call.workspace_id)
    by_target = {(row["kind"], row["name"]): row for row in pauses}
    return Status(
        redis_up,
        [_build_queue(name, facts, queue_counts.get(name), by_target.get(("queue", name))) for name in QUEUES],
        [
            _build_provider(call, name, facts, calls, by_target.get(("provider", name)), waiting.get(name, 0))
            for name in PROVIDERS
        ],
        facts.processes,
        pauses,
    )


def _read_redis(call: Caller) -> tuple[_RedisFacts, bool]:
    try:
        processes, own = read_processes().live, rates.read(call.workspace_id)
        if not call.deployment_owner:
            return _RedisFacts(processes, own=own), True
        return _RedisFacts(processes, read_queue_depths(), read_oldest_ages(), own, rates.read()), True
    except BROKER_ERRORS:
        return _RedisFacts(), False


def _build_queue(name: str, facts: _RedisFacts, count: QueueCount | None, row: PausedRow | None) -> QueueStatus:
    workers = sum(name in process.queues for process in facts.processes)
    is_own = name in EXECUTION_QUEUES
    running = count["running"] if count else 0
    messages: Mapping[str, int | None] = facts.depths.get(name) or dict.fromkeys(
        ("ready", "delayed", "unacked", "dead")
    )
    series = facts.own if is_own else facts.total
    return QueueStatus(
        name=name,
        state=_find_queue_state(row, running, workers, redis_up=facts.own is not None),
        pausable=is_own,
        workers=workers,
        threads=_add_pools([process.pools[name] for process in facts.processes if name in process.pools]),
        depth=(count["due"] if count else 0) if is_own else messages["ready"],
        oldest_seconds=(count["oldest_seconds"] if count else None) if is_own else facts.ages.get(name) or None,
        running=running if is_own else None,
        # Producers may put triggers into their queue themselves, which no process counts.
        in_rate=None if name == "triggers" else _build_rate(series, f"in:{name}"),
        out_rate=_build_rate(series, f"out:{name}"),
        pause=row,
        messages=messages,
    )


def _find_queue_state(row: PausedRow | None, running: int, workers: int, *, redis_up: bool) -> QueueState:
    if row is not None and row["draining"]:
        return "draining" if running else "drained"
    if row is not None:
        return "paused"
    if not redis_up:
        return "unknown"
    return "running" if workers else "no_workers"


def _add_pools(pools: Sequence[Pool]) -> Pool | None:
    return Pool(sum(pool.size for pool in pools), sum(pool.busy for pool in pools)) if pools else None


def _build_rate(series: rates.Series | None, name: str) -> Rate | None:
    if series is None:
        return None
    numbers = rates.get(series, name)
    return Rate(round(sum(numbers[-RATE_MINUTES:]) / RATE_MINUTES, 1), numbers)


def _build_provider(
    call: Caller, name: str, facts: _RedisFacts, calls: Calls, row: PausedRow | None, waiting: int
) -> ProviderStatus:
    config = resolve_model_settings(current_settings(), call.workspace_id).settings
    own = PROVIDERS[name].required_settings if accounts.list_own_tokens(name, call.workspace_id) else ()
    missing = accounts.find_missing_secrets(config, name, own)
    return ProviderStatus(
        name=name,
        state="failing"
        if row is None and _is_failing(name, config, calls)
        else _find_state(call, config, missing, row),
        accepted=_build_rate(facts.own, f"accepted:{name}"),
        failed=_build_rate(facts.own, f"failed:{name}"),
        p95_ms=rates.compute_p95_ms(facts.own, name) if facts.own is not None else None,
        limit=_read_limit(call, config, name) if facts.own is not None else None,
        waiting=waiting,
        pause=row,
        missing_settings=missing,
    )


def _is_failing(name: str, config: Settings, calls: Calls) -> bool:
    """Whether its last calls failed, as Health judges it; texts are those of the workspace's generator."""
    if name in TEXT_PROVIDERS and name != find_default_provider(config):
        return False
    return find_activity(name, calls).is_failing(clock.now())


def _find_state(call: Caller, config: Settings, missing: list[str], row: PausedRow | None) -> ProviderState:
    if row is not None:
        return "paused" if row["reason"] in OPERATORS_REASONS else "failing"
    if not missing:
        return "ready"
    workspace_row = workspace.get(call.workspace_id)
    is_demo = workspace_row is not None and workspace_row["demo"]
    return "sandbox" if config.sandbox == "auto" and is_demo else "not_configured"


def _read_limit(call: Caller, config: Settings, provider: str) -> Limit | None:
    """The limit of the workspace's account that has used most of it; None for providers without a limit of ours."""
    if provider not in CONVERSATION_CHANNELS:
        return None
    ids = [row["external_id"] for row in account.list_all(call.workspace_id) if row["channel"] == provider]
    usages = [pacing.read_usage(config, f"{provider}:{external_id}") for external_id in ids or [call.workspace_id]]
    return max((Limit(*usage) for usage in usages), key=lambda limit: (limit.stopped_seconds, limit.used))


def is_clock_wrong(process: Process) -> bool:
    """Whether the clock of a process's host is warned of."""
    return abs(process.clock_skew_seconds) > MAX_SKEW_SECONDS
