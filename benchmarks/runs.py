"""Time of the run statistics of 50 automations with ten million runs in 90 days, compared with counting the rows.

The statistics are those in the list of automations: total runs, the time of the last run, and runs in the last 24
hours, exact to the moment. They are queried as the dashboard does, as the role under row security. Also measured: the
count of the day's rows that they replace, an automation's history and series, and complete responses (the API's list
and the page, by the dashboard in this process, without the network). `select 1` is the reference, because a busy
machine slows down every query. Fails if the statistics take 5 ms or more at p95, or differ from the rows.
Run: `python benchmarks/runs.py [millions]`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypedDict

from measurements import describe_machine, percentile, show, show_table
from own_dashboard import run_dashboard
from own_engine import set_environment
from own_servers import run_servers
from run_history import AUTOMATIONS, DAYS, create_run_history

LIMIT_MS = 5.0
#: The rows are generated for each benchmark and need no durability.
FAST_FILL_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "8GB"}


def main(millions: float) -> int:
    """Fill, measure and print. Returns 1 if the limit is missed or a number is wrong."""
    with run_servers(postgres_options=FAST_FILL_OPTIONS) as servers:
        set_environment(servers)
        from models import migrations

        migrations.migrate(servers.database_url)
        began = time.monotonic()
        workspace_id, ids = create_run_history(servers.database_url, int(millions * 1_000_000))
        show(f"{millions:g} million runs, {AUTOMATIONS} automations, {DAYS} days, generated in "
             f"{time.monotonic() - began:.0f} s; {describe_machine()}")  # fmt: skip
        measured = _measure_queries(workspace_id, ids)
        same = _is_exact(workspace_id, ids)
    show_table(
        ("ms", "min", "p50", "p95", "p99"),
        [[name, *(f"{percentile(ms, part):.2f}" for part in (0, 0.5, 0.95, 0.99))] for name, ms in measured.items()],
    )
    p95 = {name: percentile(ms, 0.95) for name, ms in measured.items()}
    statistics = p95["statistics of 50 automations"]
    show(f"{p95['the same, counted from rows'] / statistics:.0f} times as fast as counting, "
         f"{statistics / p95['select 1']:.1f} times select 1, "
         f"{'the same' if same else 'NOT THE SAME'} numbers; p95 is "
         f"{'under' if statistics < LIMIT_MS else 'NOT UNDER'} {LIMIT_MS:g} ms")  # fmt: skip
    return int(statistics >= LIMIT_MS or not same)


def _measure_queries(workspace_id: str, ids: list[str]) -> dict[str, list[float]]:
    """Measure each query in ms; the connection pool stays open, as the dashboard's does."""
    from models.database import acting_as
    from models.queries import fetch_value
    from models.reports import runs

    now = _now()

    def select_one() -> None:
        with acting_as(workspace_id):
            fetch_value("select 1")

    queries: dict[str, tuple[Callable[[], object], int]] = {
        "select 1": (select_one, 500),
        "statistics of 50 automations": (lambda: _read_statistics(workspace_id), 500),
        "the same, counted from rows": (lambda: _count_runs(workspace_id, ids), 20),
        "newest 50 runs of one automation": (lambda: runs.fetch_page(workspace_id, ids[0], limit=50), 100),
        "the same, of one kind, from the middle": (
            lambda: runs.fetch_page(workspace_id, ids[0], limit=50, kind="main_dm", until=now - timedelta(days=45)),
            100),
        "series of 24 hours": (
            lambda: runs.fetch_series(workspace_id, ids[0], "hour", now - timedelta(hours=23), now), 100),
        "series of 30 days": (
            lambda: runs.fetch_series(workspace_id, ids[0], "day", now - timedelta(days=29), now), 50),
    }  # fmt: skip
    with run_dashboard(workspace_id) as fetch:
        path = f"/api/workspaces/{workspace_id}/automations?limit={AUTOMATIONS}"
        queries["GET /api/workspaces/{id}/automations"] = (lambda: fetch(path), 200)
        queries["the page Automations"] = (lambda: fetch("/automations"), 200)
        return {name: _measure_times(query, count) for name, (query, count) in queries.items()}


def _measure_times(query: Callable[[], object], count: int) -> list[float]:
    """Measure `count` calls in ms, after a few for warm-up."""
    ms = []
    for number in range(count + 5):
        began = time.perf_counter()
        query()
        if number >= 5:
            ms.append((time.perf_counter() - began) * 1000)
    return ms


def _now() -> Any:
    import clock

    return clock.now()


def _read_statistics(workspace_id: str) -> dict[str, tuple[int, object, int]]:
    """Read the total runs, the time of the last run and the runs in the last 24 hours, by automation."""
    from models.reports import automations, runs

    rows = automations.fetch_page(workspace_id, limit=AUTOMATIONS)
    day = runs.fetch_last_day(workspace_id, [row["id"] for row in rows])
    return {row["id"]: (row["total_runs"], row["last_run_at"], day[row["id"]]["last24_hours"]) for row in rows}


class _RunCount(TypedDict):
    automation_id: str
    runs: int


class _RunTotal(_RunCount):
    newest: datetime


def _count_runs(workspace_id: str, ids: list[str]) -> dict[str, int]:
    """Count the runs in the last 24 hours from the rows, by automation."""
    from models.database import acting_as
    from models.queries import fetch

    with acting_as(workspace_id):
        counts = fetch(
            _RunCount,
            "select automation_id, count(*) as runs from automation_runs where workspace_id = %s "
            "and automation_id = any(%s::uuid[]) and at > beckon_now() - interval '24 hours' group by 1",
            (workspace_id, ids),
        )
    return {row["automation_id"]: row["runs"] for row in counts}


def _is_exact(workspace_id: str, ids: list[str]) -> bool:
    """Whether the statistics equal the counts of the rows, at one moment."""
    from models.database import acting_as
    from models.queries import fetch

    with acting_as(workspace_id):
        reported = _read_statistics(workspace_id)
        day = _count_runs(workspace_id, ids)
        total = fetch(
            _RunTotal, "select automation_id, count(*) as runs, max(at) as newest from automation_runs group by 1"
        )
    counted = {row["automation_id"]: (row["runs"], row["newest"], day.get(row["automation_id"], 0)) for row in total}
    return reported == counted


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10))
