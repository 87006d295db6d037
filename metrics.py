"""Every metric of Beckon's processes, declared once, and their exposition.

Code updates a metric where the event happens (`metrics.sends_total.labels(…).inc()`). Queue depths and ages are read
from PostgreSQL and Redis at scrape time, by the collectors passed to `format_exposition`. No label holds an id, a
user-defined name, a URL or free text: each has a small fixed set of values, initialized so that rates start at 0.

The programs under supervisord share one directory with a file per program slot (`BECKON_SLOT`, not the process id). A
restarted program continues in the same file, so counters neither leak nor reset. Without a slot (tests, the command
line) values stay in the process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from typing import Any, Self

import prometheus_client.values
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from rules.actions import WORKFLOW_ACTIONS
from rules.channels import CHANNELS, PROVIDER_NAMES, TEXT_PROVIDERS
from rules.errors import BY_CLASS
from rules.runs import KINDS

#: This process's slot among the programs, such as `engine-0`; no underscore, as it becomes part of a file name. A
#: slot without a number is that of a process which only forks those that count.
SLOT = os.environ.get("BECKON_SLOT", "")
DIRECTORY = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
SHARED = bool(SLOT and DIRECTORY)
#: The first size of a file of values.
_FILE_BYTES = 1 << 16


class _AllocatedValues(MmapedDict):
    """The values of a file that has its blocks before they are written: where the disk is full, the kernel ends a
    process that writes to a page without one (SIGBUS)."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode:
            _allocate(filename, _FILE_BYTES)
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        # As many bytes as a key takes at most.
        if self._used + len(key.encode()) + 64 > self._capacity:
            _allocate(self._fname, self._capacity * 2)
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _allocate(filename: str, size: int) -> None:
    """Make the file at least so large. Raises OSError where the disk has no room for it. macOS has no such call."""
    if not hasattr(os, "posix_fallocate"):
        return
    file = os.open(filename, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.posix_fallocate(file, 0, size)
    finally:
        os.close(file)


prometheus_client.values.MmapedDict = _AllocatedValues  # type: ignore[attr-defined]
# Must come before the first metric: each takes its value class when it is created.
prometheus_client.values.ValueClass = (
    prometheus_client.values.MultiProcessValue(process_identifier=lambda: SLOT)  # type: ignore[no-untyped-call]
    if SHARED
    else prometheus_client.values.MutexValue
)

# Creation timestamps are of no use here, and would add one series for each.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()

QUEUES = ("triggers", "executions", "generation", "sending", "tracking")
#: The programs that count, by the first part of their slots.
PROGRAMS = ("engine", "tracking", "scheduler", "dashboard")
#: Kinds of HTTP requests. Probes belong to none: orchestrators and Prometheus send most of them.
HTTP_GROUPS = ("api", "page", "webhook", "stream", "static")
#: Families of triggers: a user's own event names are all `event`.
TRIGGER_FAMILIES = ("event", "manual", "hook", "schedule", "inactive", "instagram", "facebook", "page")
#: Each channel with the provider that serves it.
ROUTES = tuple((channel.name, channel.provider) for channel in CHANNELS.values())
RULES = (
    "automation_off", "suppressed", "no_address", "tags", "where", "frequency_cap", "active_hours", "daily_limit",
    "contact_daily_limit", "reentry", "cancelled", "window_closed", "no_comment", "comment_too_old",
    "comment_deleted", "loop",
)  # fmt: skip
_WAIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
_WORK_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SENT_BUCKETS = (1, 5, 15, 30, 60, 300, 900, 3600)
_HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class _CachedSeriesMetric(MetricWrapperBase):
    """A metric that caches its series by label values; the library checks, sorts and locks at every call."""

    @cached_property
    def _series(self) -> dict[tuple[object, ...], Self]:
        return {}

    def labels(self, *values: Any, **label_kwargs: Any) -> Self:
        """Return the series of these label values."""
        key = (*values, *label_kwargs.items())
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = super().labels(*values, **label_kwargs)
        return series


class _Counter(_CachedSeriesMetric, Counter):
    """A counter."""


class _Histogram(_CachedSeriesMetric, Histogram):
    """A histogram."""


def _counter(name: str, documentation: str, *labels: str) -> Counter:
    return _Counter(f"beckon_{name}", documentation, labels, registry=REGISTRY)


def _histogram(name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return _Histogram(f"beckon_{name}", documentation, labels, buckets=buckets, registry=REGISTRY)


#: result: accepted, duplicate, invalid, rate_limited, unauthorized, unknown_account (of Meta's webhooks).
triggers_total = _counter("triggers_total", "Triggers received, by source and result.", "source", "result")
executions_started_total = _counter("executions_started_total", "Executions created, by trigger family.", "trigger")
executions_finished_total = _counter("executions_finished_total", "Executions finished, by status.", "status")
runs_counted_total = _counter("runs_counted_total", "Runs counted, by kind and result.", "kind", "result")
executions_tracked_total = _counter("executions_tracked_total", "Playbook executions sent by browsers.", "result")
actions_total = _counter("actions_total", "Steps finished, by action and status.", "type", "status")
#: outcome: sent, retryable, permanent, suppressed_duplicate, unknown.
sends_total = _counter("sends_total", "Attempts to send, by outcome.", "channel", "provider", "outcome")
#: kind: scheduled (reason: the error's class), manual (reason: operator), sweep (reason: due).
retries_total = _counter("retries_total", "Retries started, by error class.", "kind", "reason")
#: decision: yes, no, later; reason: the rule, or `none`.
eligibility_total = _counter(
    "eligibility_total", "Eligibility decisions, by decision and reason.", "decision", "reason"
)
#: kind: lease (its worker died), notification (it was lost), due (it was due without a notification).
deliveries_rescued_total = _counter("deliveries_rescued_total", "Executions that a sweep resumed, by kind.", "kind")
#: way: memory (the other pool of the same process), redis (that pool had no place, or is another process's).
transfers_total = _counter(
    "transfers_total", "Executions whose next outside call belongs to this queue, by the way they came.", "queue", "way"
)
schedule_ticks_skipped_total = _counter(
    "schedule_ticks_skipped_total", "Scheduled times that were skipped because they came too late."
)
quarantined_total = _counter("quarantined_total", "Executions quarantined after three dead deliveries.", "reason")
breakers_opened_total = _counter(
    "breakers_opened_total", "Breakers opened: a provider did not answer a workspace.", "provider"
)
cache_requests_total = _counter("cache_requests_total", "Cache requests, by result.", "cache", "result")
ai_tokens_total = _counter("ai_tokens_total", "Tokens used by generation, by model family.", "model", "direction")
operator_actions_total = _counter("operator_actions_total", "Operator actions, single and bulk.", "action", "result")

#: Notifications that Redis did not accept; the sweep requeues them.
notifications_lost_total = _counter("notifications_lost_total", "Notifications that Redis did not accept.")
#: The former name, for dashboards and alerts of the previous version; the next version removes it.
_former_notifications_lost_total = _counter("bells_lost_total", "Deprecated: use beckon_notifications_lost_total.")
rate_limits_unchecked_total = _counter(
    "rate_limits_unchecked_total",
    "Requests whose rate limit was not checked in Redis; sign-ins are limited without it.",
)
redis_unanswered_total = _counter(
    "redis_unanswered_total", "Calls of Redis without an answer; after the first, none is made until a probe has one."
)

#: result: parsed, refused (as invalid), too_costly, limited (its key has too many at once), failed (no process was
#: free, or it was killed).
parses_total = _counter("parses_total", "Requests parsed in a process of their own, by parser.", "parser", "result")

#: result: succeeded, failed (wrong e-mail or password), limited (not tried).
sign_ins_total = _counter("sign_ins_total", "Sign-in attempts, by result.", "result")

queue_wait_seconds = _histogram(
    "queue_wait_seconds", "Time from the notification to the worker.", _WAIT_BUCKETS, "queue"
)
step_duration_seconds = _histogram(
    "step_duration_seconds", "Processing time of one step, without waits.", _WORK_BUCKETS, "type"
)
#: outcome: ok, retryable, permanent, unknown.
provider_request_seconds = _histogram(
    "provider_request_seconds", "Duration of one request to a provider.", _WORK_BUCKETS, "provider", "outcome"
)
trigger_to_sent_seconds = _histogram(
    "trigger_to_sent_seconds", "Time from the trigger to the first message, without waits.", _SENT_BUCKETS, "channel"
)
#: By group, as each series of a histogram has many buckets; the counter has the route.
http_request_duration_seconds = _histogram(
    "http_request_duration_seconds", "Time until the response to an HTTP request begins.", _HTTP_BUCKETS,
    "group", "code_class",
)  # fmt: skip
#: route: the template, or `none`. Its series appear with the first request: there are too many to initialize.
http_requests_total = _counter("http_requests_total", "HTTP requests, by route.", "route", "code_class")
#: A program that is killed or crashes is restarted, and starts again.
process_starts_total = _counter("process_starts_total", "Starts of processes, by program.", "program")

monitor_tick_seconds = _histogram(
    "monitor_tick_seconds", "Time to read one automation's monitor for all its viewers.", _HTTP_BUCKETS
)

sse_clients = Gauge("beckon_sse_clients", "Open event streams.", registry=REGISTRY, multiprocess_mode="livesum")
parsers_busy = Gauge(
    "beckon_parsers_busy", "Requests that a parser process has, or that wait for one.", registry=REGISTRY,
    multiprocess_mode="livesum",
)  # fmt: skip
build_info = Gauge("beckon_build_info", "Always 1; the label is the version.", ["version"], registry=REGISTRY,
              multiprocess_mode="livemax")  # fmt: skip

_LABELS: tuple[tuple[Counter | Histogram, Iterable[tuple[str, ...]]], ...] = (
    (triggers_total, product(
        ("api", "redis", "command", "test", "hook", "schedule", "webhook"),
        ("accepted", "duplicate", "invalid", "rate_limited", "unauthorized", "unknown_account"),
    )),
    (executions_started_total, product(TRIGGER_FAMILIES)),
    # What became of accepted executions of playbooks in the tracking program.
    (executions_tracked_total, product(("recorded", "failed"))),
    (executions_finished_total, product(("succeeded", "failed", "skipped", "cancelled"))),
    (runs_counted_total, product(KINDS, ("counted", "duplicate", "failed"))),
    (executions_tracked_total, product(
        ("accepted", "duplicate", "invalid", "rate_limited", "unauthorized", "switched_off"),
    )),
    (actions_total, product(WORKFLOW_ACTIONS, ("succeeded", "failed", "skipped"))),
    (sends_total, (
        (*route, outcome)
        for route, outcome in product(ROUTES, ("sent", "retryable", "permanent", "suppressed_duplicate", "unknown"))
    )),
    (retries_total, (("manual", "operator"), ("sweep", "due"), *product(("scheduled",), BY_CLASS))),
    (eligibility_total, (("yes", "none"), ("later", "active_hours"), *product(("no",), RULES))),
    (deliveries_rescued_total, product(("lease", "notification", "due"))),
    (transfers_total, product(("executions", "generation", "sending"), ("memory", "redis"))),
    (quarantined_total, product(("deliveries",))),
    (breakers_opened_total, product(PROVIDER_NAMES)),
    (cache_requests_total, product(("workflows", "versions"), ("hit", "miss"))),
    (ai_tokens_total, product(TEXT_PROVIDERS, ("input", "output"))),
    (operator_actions_total, product(
        (
            "publish", "retry", "cancel", "discard", "resolve_sent", "resolve_resend", "resolve_discard", "look_up",
            "review", "pause", "resume", "delete", "delete_contact", "erase_contact", "merge_contacts",
            "process_pending", "stop_follow_ups", "import", "move",
        ),
        ("done", "refused"),
    )),
    (parses_total, product(
        (
            "json", "signed_json", "form", "report", "executions", "triggers", "contacts", "definition",
            "definition_text", "definition_rewrite", "definition_edit", "definition_read", "definition_form",
        ),
        ("parsed", "refused", "too_costly", "limited", "failed"),
    )),
    (sign_ins_total, product(("succeeded", "failed", "limited"))),
    (queue_wait_seconds, product(QUEUES)),
    (step_duration_seconds, product(WORKFLOW_ACTIONS)),
    (provider_request_seconds, product(PROVIDER_NAMES, ("ok", "retryable", "permanent", "unknown"))),
    (trigger_to_sent_seconds, product(CHANNELS)),
    (http_request_duration_seconds, product(HTTP_GROUPS, ("2xx", "3xx", "4xx", "5xx"))),
    (process_starts_total, product(PROGRAMS)),
)  # fmt: skip


def count_lost_notifications(count: int) -> None:
    """Count notifications that Redis did not accept, under both names of the metric."""
    notifications_lost_total.inc(count)
    _former_notifications_lost_total.inc(count)


def read_version() -> str:
    """Return Beckon's version, or `unknown` where it is not installed."""
    try:
        return version("beckon")
    except PackageNotFoundError:
        return "unknown"


def enter_slot(slot: str) -> None:
    """Continue the counts of a slot, in a process forked from one that imported this module."""
    global SLOT
    SLOT = slot
    _initialize_series()


def forget_slot(slot: str) -> None:
    """Forget the gauges of a process that ended; its counts stay."""
    if SHARED:
        mark_process_dead(slot, DIRECTORY)  # type: ignore[no-untyped-call]


def _initialize_series() -> None:
    if SHARED:
        process_starts_total.labels(program=SLOT.split("-")[0]).inc()
    # A gauge's file outlives its process; this process has no open streams yet.
    if not SHARED or SLOT.startswith("dashboard"):
        sse_clients.set(0)
        parsers_busy.set(0)
        build_info.labels(read_version()).set(1)
        # One process is enough: a scrape adds up all files.
        for metric, label_sets in _LABELS:
            for values in label_sets:
                metric.labels(*values)


def format_exposition(*collectors: Collector) -> bytes:
    """Return the text of `/metrics`: the counts of every program, and the current values of these collectors."""
    if not SHARED and not collectors:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    registry.register(_build_collector())
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)


def _build_collector() -> Collector:
    return MultiProcessCollector(None, path=DIRECTORY) if SHARED else _RegistryCollector(REGISTRY)  # type: ignore[no-untyped-call]


class _RegistryCollector(Collector):
    """Expose the metrics of one registry in another."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()


if not SHARED or "-" in SLOT:
    _initialize_series()
