"""Every gauge that a scrape reads from PostgreSQL, Redis and the host, declared once.

The counters and histograms that the programs keep themselves are declared in `metrics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily

#: The names of a gauge's labels in the order of their values, and what it says.
Declaration = tuple[tuple[str, ...], str]

GAUGES: Mapping[str, Declaration] = {
    "postgres_up": ((), "Whether PostgreSQL answers and takes writes."),
    "postgres_start_timestamp_seconds": ((), "When PostgreSQL was started."),
    "executions": (("status",), "Executions that are not finished."),
    "executions_due": ((), "Executions that are due and not claimed."),
    "executions_oldest_due_seconds": ((), "How long the oldest due execution has been due."),
    "leases_expired": ((), "Executions whose lease has expired."),
    "leader_up": ((), "Whether a scheduler is leader and was seen within ten seconds."),
    "sweep_last_success_timestamp_seconds": (("sweep",), "When each periodic job last succeeded."),
    # state: reconciling (a look-up is planned), undecided (an operator must decide). Tests are not counted.
    "unknown_outcomes": (("state",), "Executions with a message of unknown outcome."),
    "callbacks_unprocessed": ((), "Providers' events that are stored and not yet processed."),
    "callbacks_oldest_seconds": ((), "How long the oldest unprocessed event has been stored."),
    # Beside those that retention keeps there. table: executions, steps.
    "default_partition_rows": (
        ("table",),
        "Rows in the default partition whose month has no partition, at most 10,000.",
    ),
    "tracking_buffered": ((), "Executions of playbooks that are accepted and not yet recorded."),
    "tracking_oldest_seconds": ((), "How long the oldest of them has been stored."),
    # reason: operator, or configuration (the provider refuses the credentials), or timeouts
    # (it does not answer: its breaker is open).
    "providers_paused": (("provider", "reason"), "Workspaces in which a provider is paused or does not answer."),
    "queues_paused": (("queue",), "Workspaces in which an operator has paused a queue."),
    "redis_up": ((), "Whether Redis answers and accepts changes."),
    "redis_start_timestamp_seconds": ((), "When Redis was started."),
    "redis_memory_used_ratio": ((), "Used part of maxmemory; 0 without a limit."),
    "redis_policy_ok": ((), "Whether Redis never evicts keys (maxmemory-policy noeviction)."),
    "queue_messages": (("queue", "state"), "Messages by queue and state: ready, delayed, unacked, dead."),
    "queue_oldest_age_seconds": (("queue",), "Age of the oldest message that no worker has fetched."),
    "workers_live": (("queue",), "Worker processes that are alive."),
    "worker_last_heartbeat_timestamp_seconds": ((), "Time of the latest heartbeat of a process."),
    "process_clock_skew_seconds": ((), "Largest difference between a process's clock and Redis's."),
    # Of the host of the dashboard.
    "disk_free_ratio": ((), "Free part of the disk of BECKON_HOME."),
    "disk_free_bytes": ((), "Free space on the disk of BECKON_HOME."),
    "disk_reserve_bytes": ((), "Free space below which Health warns (BECKON_DISK_RESERVE_MB)."),
    "log_lines_dropped": ((), "Log lines since `beckon up` that the disk did not take."),
}


def build_gauge(name: str, *samples: float | tuple[Iterable[str], float]) -> GaugeMetricFamily:
    """Build a declared gauge from its value, or from pairs of its labels' values and their value."""
    labels, documentation = GAUGES[name]
    family = GaugeMetricFamily(f"beckon_{name}", documentation, labels=labels)
    for sample in samples:
        values, number = sample if isinstance(sample, tuple) else ((), sample)
        family.add_metric(list(values), number)
    return family
