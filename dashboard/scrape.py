"""Reads the gauges of `gauges.py` from PostgreSQL, Redis and the host at the scrape, at most every two seconds.

They describe the whole deployment and are the same in every process, except for the disk, which is that of this host.
Gauges of an unavailable server are left out, and `redis_up` or `postgres_up` is 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import product

from cachetools import TTLCache, cached
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dashboard.gauges import build_gauge
from ephemeral import heartbeats
from models import leadership, periodic_job
from models.pause import STOP_REASONS
from models.reports import health, open_work, tracking_intake
from rules.channels import PROVIDER_NAMES
from settings import Settings
from tasks.health import facts
from tasks.health.deadlines import Unmeasured, measure_all
from tasks.health.stores import MEGABYTE, POLICY
from tasks.periodic_jobs import PERIODIC_JOBS
from tasks.runtime.broker import EXECUTION_QUEUES, QUEUES, read_oldest_ages, read_queue_depths

#: Seconds for which collected gauges are reused. With the heartbeats' lifetime, what fails is seen within 15 s.
CACHE_SECONDS = 2.0


class ServersCollector(Collector):
    """Collects the gauges of the servers and of the disk. One that hangs delays and hides no other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The condition makes simultaneous scrapes wait for one reading.
        self._read = cached(TTLCache(1, CACHE_SECONDS), condition=threading.Condition())(self._collect_all)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, at most `CACHE_SECONDS` old."""
        yield from self._read()

    def _collect_all(self) -> list[GaugeMetricFamily]:
        families = measure_all(
            {
                "metrics:postgres": _collect_from_postgres,
                "metrics:redis": _collect_from_redis,
                "metrics:disk": lambda: _collect_disk(self._settings),
            }
        )
        absent = {"metrics:postgres": [build_gauge("postgres_up", 0)], "metrics:redis": [build_gauge("redis_up", 0)]}
        return [
            family
            for name, result in families.items()
            for family in (absent.get(name, []) if isinstance(result, Unmeasured) else result)
        ]


def _collect_disk(settings: Settings) -> list[GaugeMetricFamily]:
    disk = facts.measure_disk(settings)
    return [
        build_gauge("disk_free_ratio", disk.free / disk.total if disk.total else 0),
        build_gauge("disk_free_bytes", disk.free),
        build_gauge("disk_reserve_bytes", settings.disk_reserve_mb * MEGABYTE),
        *_collect_dropped_lines(settings),
    ]


def _collect_dropped_lines(settings: Settings) -> list[GaugeMetricFamily]:
    """Read supervisord's count; nothing where the programs do not run under supervisord."""
    try:
        return [build_gauge("log_lines_dropped", int(settings.dropped_log_lines.read_text(encoding="ascii")))]
    except (OSError, ValueError):
        return []


def _collect_from_postgres() -> list[GaugeMetricFamily]:
    server = health.measure_server()
    return [
        build_gauge("postgres_up", not server.read_only),
        build_gauge("postgres_start_timestamp_seconds", server.started_at.timestamp()),
        *_collect_executions(),
        *_collect_open_work(),
        *_collect_partitions(),
        *_collect_tracking(),
        *_collect_pauses(),
        *_collect_scheduler(),
    ]


def _collect_executions() -> list[GaugeMetricFamily]:
    counts = health.fetch_engine_counts()
    by_status = (counts["pending"], counts["running"], counts["waiting"])
    samples = [((status,), number) for status, number in zip(("pending", "running", "waiting"), by_status, strict=True)]
    return [
        build_gauge("executions", *samples),
        build_gauge("executions_due", counts["due"]),
        build_gauge("executions_oldest_due_seconds", counts["oldest_due_seconds"]),
        build_gauge("leases_expired", counts["leases_expired"]),
    ]


def _collect_open_work() -> list[GaugeMetricFamily]:
    counts = open_work.fetch_open_work()
    return [
        build_gauge(
            "unknown_outcomes",
            (("undecided",), counts["unknown_undecided"]),
            (("reconciling",), counts["unknown_reconciling"]),
        ),
        build_gauge("callbacks_unprocessed", counts["callbacks_unprocessed"]),
        build_gauge("callbacks_oldest_seconds", counts["callbacks_oldest_seconds"]),
    ]


def _collect_partitions() -> list[GaugeMetricFamily]:
    counts = open_work.fetch_default_partition_rows()
    return [
        build_gauge("default_partition_rows", (("executions",), counts["executions"]), (("steps",), counts["steps"]))
    ]


def _collect_tracking() -> list[GaugeMetricFamily]:
    counts = tracking_intake.fetch_facts()
    return [
        build_gauge("tracking_buffered", counts["waiting"]),
        build_gauge("tracking_oldest_seconds", counts["oldest_seconds"]),
    ]


def _collect_pauses() -> list[GaugeMetricFamily]:
    paused = {(row["kind"], row["name"], row["reason"]): row["workspaces"] for row in open_work.count_pauses()}
    providers = product(PROVIDER_NAMES, STOP_REASONS)
    return [
        build_gauge("providers_paused", *((labels, paused.get(("provider", *labels), 0)) for labels in providers)),
        build_gauge(
            "queues_paused",
            *(((queue,), paused.get(("queue", queue, "operator"), 0)) for queue in EXECUTION_QUEUES),
        ),
    ]


def _collect_scheduler() -> list[GaugeMetricFamily]:
    # The table keeps the jobs of earlier versions.
    names = {job.name for job in PERIODIC_JOBS}
    successes = [((name,), at.timestamp()) for name, at in periodic_job.fetch_last_successes().items() if name in names]
    return [
        build_gauge("leader_up", 1 if leadership.fetch_leader() else 0),
        build_gauge("sweep_last_success_timestamp_seconds", *successes),
    ]


def _collect_from_redis() -> list[GaugeMetricFamily]:
    return [*_collect_redis_server(), *_collect_queues(), *_collect_workers()]


def _collect_redis_server() -> list[GaugeMetricFamily]:
    redis = facts.measure_redis()
    used = redis.used_bytes / redis.limit_bytes if redis.limit_bytes else 0
    return [
        build_gauge("redis_up", not redis.refusal),
        build_gauge("redis_start_timestamp_seconds", time.time() - redis.uptime_seconds),
        build_gauge("redis_memory_used_ratio", used),
        build_gauge("redis_policy_ok", redis.policy == POLICY),
    ]


def _collect_queues() -> list[GaugeMetricFamily]:
    depths = read_queue_depths()
    counts = (((queue, state), count) for queue, states in depths.items() for state, count in states.items())
    ages = (((queue,), age) for queue, age in read_oldest_ages().items())
    return [build_gauge("queue_messages", *counts), build_gauge("queue_oldest_age_seconds", *ages)]


def _collect_workers() -> list[GaugeMetricFamily]:
    processes = heartbeats.list_processes()
    newest = max((datetime.fromisoformat(process.last_seen).timestamp() for process in processes), default=0.0)
    skew = max((abs(process.clock_skew_seconds) for process in processes), default=0.0)
    live = (((queue,), sum(queue in process.queues for process in processes)) for queue in QUEUES)
    return [
        build_gauge("workers_live", *live),
        build_gauge("worker_last_heartbeat_timestamp_seconds", newest),
        build_gauge("process_clock_skew_seconds", skew),
    ]
