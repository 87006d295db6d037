"""How long the statistics of 50 automations take with ten million runs of 90 days behind them, beside counting rows.

The statistics are all that the list of automations says of each: runs in all, the last one's time, and runs in the last
24 hours, exact to the moment. They are asked for as the dashboard asks: as the role that row security binds. Beside
them stand what they replace (a count of the day's rows), an automation's history and series, and whole answers: the
API's list and the page, made by the dashboard in this process, without the network. And the smallest question there is,
asked in the same way, because a busy machine is slow with everything. Fails where the statistics take 5 ms or more at
p95, or differ from the rows. Run: `python benchmarks/runs.py [millions]`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from measures import machine, percentile, show, table
from own_servers import Ground, own_servers
from run_history import AUTOMATIONS, DAYS, make

LIMIT_MS = 5.0
#: The rows of this benchmark are made anew each time: nothing is lost with them.
QUICKLY_FILLED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "8GB"}


def main(millions: float) -> int:
    """Build, ask, print; 1 when the limit is missed or an answer is wrong."""
    with own_servers(postgres_options=QUICKLY_FILLED) as ground:
        _set_environment(ground)
        from models import migrations

        migrations.migrate(ground.database_url)
        began = time.monotonic()
        workspace_id, ids = make(ground.database_url, int(millions * 1_000_000))
        show(f"{millions:g} million runs, {AUTOMATIONS} automations, {DAYS} days, made in "
             f"{time.monotonic() - began:.0f} s; {machine()}")  # fmt: skip
        asked = _measured(workspace_id, ids)
        same = _is_exact(workspace_id, ids)
    table(
        ("ms", "least", "p50", "p95", "p99"),
        [[name, *(f"{percentile(ms, part):.2f}" for part in (0, 0.5, 0.95, 0.99))] for name, ms in asked.items()],
    )
    p95 = {name: percentile(ms, 0.95) for name, ms in asked.items()}
    statistics = p95["statistics of 50 automations"]
    show(f"{p95['the same, counted from rows'] / statistics:.0f} times as fast as counting, "
         f"{statistics / p95['select 1']:.1f} times the smallest question, "
         f"{'the same' if same else 'NOT THE SAME'} numbers; p95 is "
         f"{'under' if statistics < LIMIT_MS else 'NOT UNDER'} {LIMIT_MS:g} ms")  # fmt: skip
    return int(statistics >= LIMIT_MS or not same)


def _set_environment(ground: Ground) -> None:
    for name in [one for one in os.environ if one.startswith(("BECKON_", "DATABASE_", "REDIS_", "STATS_"))]:
        del os.environ[name]
    os.environ.update(
        BECKON_HOME=str(ground.home), BECKON_ENV_FILE=str(ground.home / "none.env"), DATABASE_URL=ground.database_url,
        REDIS_URL=ground.redis_url, SECRET_KEY="the secret key of a benchmark, long enough",
        BECKON_SANDBOX_PORT=str(ground.sandbox_port),
    )  # fmt: skip


def _measured(workspace_id: str, ids: list[str]) -> dict[str, list[float]]:
    """The times of each question in ms; the pool is left open, as the dashboard's."""
    from models.database import acting_as, value
    from models.reports import runs

    now = _now()

    def smallest() -> None:
        with acting_as(workspace_id):
            value("select 1")

    questions: dict[str, tuple[Callable[[], object], int]] = {
        "select 1": (smallest, 500),
        "statistics of 50 automations": (lambda: _statistics(workspace_id), 500),
        "the same, counted from rows": (lambda: _counted(workspace_id, ids), 20),
        "newest 50 runs of one": (lambda: runs.page(workspace_id, ids[0], limit=50), 100),
        "the same, of one kind, from the middle": (
            lambda: runs.page(workspace_id, ids[0], limit=50, kind="main_dm", until=now - timedelta(days=45)), 100),
        "series of 24 hours": (lambda: runs.series(workspace_id, ids[0], "hour", now - timedelta(hours=23), now), 100),
        "series of 30 days": (lambda: runs.series(workspace_id, ids[0], "day", now - timedelta(days=29), now), 50),
    }  # fmt: skip
    with _visitors(workspace_id) as (api, page):
        questions["GET /api/workspaces/{id}/automations"] = (api, 200)
        questions["the page Automations"] = (page, 200)
        return {name: _times(ask, times) for name, (ask, times) in questions.items()}


def _times(ask: Callable[[], object], times: int) -> list[float]:
    """Each answer's time in ms, after a few that are not counted."""
    ms = []
    for number in range(times + 5):
        began = time.perf_counter()
        ask()
        if number >= 5:
            ms.append((time.perf_counter() - began) * 1000)
    return ms


def _now() -> Any:
    import clock

    return clock.now()


def _statistics(workspace_id: str) -> dict[str, tuple[int, object, int]]:
    """By automation: runs in all, the last one's time, runs in the last 24 hours. As the list asks for them."""
    from models.reports import automations, runs

    found = automations.page(workspace_id, limit=AUTOMATIONS)
    day = runs.last_day(workspace_id, [one["id"] for one in found])
    return {one["id"]: (one["total_runs"], one["last_run_at"], day[one["id"]]["last24_hours"]) for one in found}


def _counted(workspace_id: str, ids: list[str]) -> dict[str, int]:
    """The last 24 hours without our counters."""
    from models.database import acting_as, rows

    with acting_as(workspace_id):
        found = rows(
            "select automation_id, count(*) as runs from automation_runs where workspace_id = %s "
            "and automation_id = any(%s::uuid[]) and at > beckon_now() - interval '24 hours' group by 1",
            (workspace_id, ids),
        )
    return {one["automation_id"]: one["runs"] for one in found}


def _is_exact(workspace_id: str, ids: list[str]) -> bool:
    """Whether the statistics are what the rows say, at one moment."""
    from models.database import acting_as, rows

    with acting_as(workspace_id):
        said = _statistics(workspace_id)
        day = _counted(workspace_id, ids)
        total = rows("select automation_id, count(*) as runs, max(at) as newest from automation_runs group by 1")
    counted = {one["automation_id"]: (one["runs"], one["newest"], day.get(one["automation_id"], 0)) for one in total}
    return said == counted


@contextmanager
def _visitors(workspace_id: str) -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """The dashboard in this process. A program that asks the API for the list, and a person who looks at the page."""
    import logs
    import settings as settings_module
    from dashboard import cooperation, create_app, disconnect
    from dashboard.access import COOKIE
    from models import api_key, database, session, user
    from models.user import Membership

    # A line for each of some hundred requests would hide the table.
    logs.set_up("benchmark", "WARNING")
    told = settings_module.load()
    database.open_pool(told.database_service_url, "beckon_service", 2)
    user_id = user.create("bob@example.com", "Bob", "a password of nobody")
    user.join(workspace_id, user_id, "operator")
    database.db.close_all()
    app = create_app(told)
    cooperation.keep_what_stands()
    client = app.test_client()
    headers = {"Authorization": f"Bearer {api_key.issue(workspace_id, 'benchmark').secret}"}
    member, _ = user.find_sign_in("bob@example.com")
    assert isinstance(member, Membership)
    client.set_cookie(COOKIE, session.start(member))

    def look(path: str, **given: Any) -> None:
        answer = client.get(path, **given)
        assert answer.status_code == 200, answer.status

    try:
        yield (
            lambda: look(f"/api/workspaces/{workspace_id}/automations?limit={AUTOMATIONS}", headers=headers),
            lambda: look("/automations"),
        )
    finally:
        disconnect(app)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10))
