"""Judges the workflow caches of all processes together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks.health.facts import Facts, Processes
from tasks.health.parts import Part


@dataclass(frozen=True)
class CacheTotals:
    """The workflow caches of all processes together."""

    size: int
    capacity: int
    hits: int
    misses: int

    @property
    def utilization(self) -> float:
        """The used part of the capacity, from 0 to 1."""
        return round(self.size / self.capacity, 4) if self.capacity else 0.0


def sum_caches(facts: Facts) -> CacheTotals | None:
    """Add up the caches of all live processes; None where they are unknown."""
    processes = facts.get("processes", Processes)
    if processes is None:
        return None
    caches = [process.cache for process in processes.live]
    return CacheTotals(
        sum(cache.size for cache in caches),
        sum(cache.capacity for cache in caches),
        sum(cache.hits for cache in caches),
        sum(cache.misses for cache in caches),
    )


def build_cache_part(facts: Facts) -> Part:
    """Build the part of the workflow caches."""
    totals = sum_caches(facts)
    if totals is None:
        return Part(
            "cache", "Cache", "processor", "unknown", "Without Redis workflows are read from PostgreSQL, not cached"
        )
    processes = facts.get("processes", Processes)
    count = len(processes.live) if processes else 0
    started = [datetime.fromisoformat(process.started_at) for process in processes.live] if processes else []
    return Part(
        "cache",
        "Cache",
        "processor",
        "ready" if totals.capacity else "unknown",
        f"({totals.utilization:.0%}) · {totals.hits:,} hits, {totals.misses:,} misses · {count} processes",
        figure=f"{totals.size:,} of {totals.capacity:,} entries",
        since=min(started, default=None),
        gauge=(totals.size, totals.capacity) if totals.capacity else None,
        continues=True,
    )
