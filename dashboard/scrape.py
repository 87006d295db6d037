"""Gauges read from PostgreSQL and Redis at the scrape, at most every five seconds.

They describe the whole deployment and are the same in every process. Gauges of an unavailable server are left out, and
`redis_up` or `postgres_up` is 0.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime

from cachetools import TTLCache, cached
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ephemeral import heartbeats
from models import periodic_job
from models.database import CONNECTION_ERRORS
from models.reports import health
from tasks.runtime.broker import BROKER_ERRORS, read_queue_depths

#: Seconds for which collected gauges are reused.
CACHE_SECONDS = 5.0


class ServersCollector(Collector):
    """Collects the gauges of the servers."""

    def __init__(self) -> None:
        # The condition makes simultaneous scrapes wait for one reading.
        self._read = cached(TTLCache(1, CACHE_SECONDS), condition=threading.Condition())(_collect_from_servers)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, at most `CACHE_SECONDS` old."""
        yield from self._read()


def _collect_from_servers() -> list[GaugeMetricFamily]:
    return [*_collect_from_postgres(), *_collect_from_redis()]


def _build_gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"beckon_{name}", meaning, value=value)


def _collect_from_postgres() -> list[GaugeMetricFamily]:
    try:
        engine, leader, successes = (
            health.fetch_engine_counts(),
            periodic_job.fetch_leader(),
            periodic_job.fetch_last_successes(),
        )
    except CONNECTION_ERRORS:
        return [_build_gauge("postgres_up", "Whether PostgreSQL answers.", 0)]
    executions = GaugeMetricFamily("beckon_executions", "Executions that are not finished.", labels=["status"])
    for status in ("pending", "running", "waiting"):
        executions.add_metric([status], engine[status])
    return [
        _build_gauge("postgres_up", "Whether PostgreSQL answers.", 1),
        executions,
        _build_gauge("executions_due", "Executions that are due and not claimed.", engine["due"]),
        _build_gauge(
            "executions_oldest_due_seconds",
            "How long the oldest due execution has been due.",
            engine["oldest_due_seconds"],
        ),
        _build_gauge("leases_expired", "Executions whose lease has expired.", engine["leases_expired"]),
        _build_gauge("leader_up", "Whether a scheduler is leader.", 1 if leader else 0),
        _build_sweep_family(successes),
    ]


def _build_sweep_family(successes: dict[str, datetime]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "beckon_sweep_last_success_timestamp_seconds", "When each periodic job last succeeded.", labels=["sweep"]
    )
    for name, moment in successes.items():
        family.add_metric([name], moment.timestamp())
    return family


def _collect_from_redis() -> list[GaugeMetricFamily]:
    try:
        depths, workers = read_queue_depths(), heartbeats.list_workers()
    except BROKER_ERRORS:
        return [_build_gauge("redis_up", "Whether Redis answers.", 0)]
    messages = GaugeMetricFamily("beckon_queue_messages", "Messages by queue and state.", labels=["queue", "state"])
    live = GaugeMetricFamily("beckon_workers_live", "Worker processes that are alive.", labels=["queue"])
    for queue, states in depths.items():
        live.add_metric([queue], sum(queue in worker.queues for worker in workers))
        for state, count in states.items():
            messages.add_metric([queue, state], count)
    newest = max((datetime.fromisoformat(worker.last_seen).timestamp() for worker in workers), default=0.0)
    heartbeat = _build_gauge("worker_last_heartbeat_timestamp_seconds", "Time of the latest worker heartbeat.", newest)
    return [_build_gauge("redis_up", "Whether Redis answers.", 1), messages, live, heartbeat]
