"""Cost of the live monitor: one snapshot over a day of a million stage changes, and streams to many watchers.

The snapshot is read from a separate database. Then a complete copy of Beckon runs with 120 active contacts, and a
client in a separate process opens 1, 100 and 1,000 streams of one automation. A frame's lag is the time from its
snapshot until a watcher has read the whole frame; the cost is the dashboard's processor time. Fails above 50 ms for a
snapshot at p95, 250 ms of lag at p99, or 20 % of a core more for 1,000 watchers than for one.
Run: `python benchmarks/monitor.py [moves]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import time
from datetime import datetime
from urllib.parse import urlsplit

from measurements import describe_machine, median, percentile, read_processor_seconds, show, show_table
from own_servers import run_servers
from running_copy import Copy, run_copy

from models import automation, database, migrations, queries, workspace
from models.audit import SYSTEM
from models.checks import rollups
from models.database import db, transaction
from models.queries import execute
from models.reports import monitor

#: Stage changes of one automation within 24 hours, and its active executions.
MOVES = 1_000_000
ACTIVE_EXECUTIONS = 2_000
#: Snapshots per measurement.
SNAPSHOTS = 100
_STEPS = [{"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi"}}]
_HELLO = {"trigger": {"type": "contact.created"}, "steps": _STEPS}
#: Watchers of one automation, seconds of watching, and active contacts.
WATCHERS, SECONDS, CONTACTS = (1, 100, 1000), 20, 120
MAX_SNAPSHOT_MS, MAX_LAG_MS, MAX_SHARE = 50.0, 250.0, 0.20

_WAITING = {
    "trigger": {"type": "benchmark.started"},
    "steps": [{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *_STEPS],
}

#: Executions spread over a day, with up to seven stage changes, one every 0.8 seconds; the newest are still active.
_EXECUTIONS = """
    insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, contact_id, status, stage,
        stage_since, queue, rung_at, due_at, waiting_for, created_at, started_at, finished_at, skipped_rule)
    select uuid_at(began), %(workspace)s, %(automation)s, %(version)s, 1, gen_random_uuid(), gen_random_uuid(),
        case when moving then 'waiting' when skipped then 'skipped' else 'succeeded' end,
        case when moving then 'ready_to_send' when skipped then 'skipped' else 'completed' end,
        began + interval '6 seconds', 'sending', began, case when moving then beckon_now() + interval '1 hour' end,
        case when moving then 'time' end, began, began,
        case when not moving then began + interval '6 seconds' end, case when skipped and not moving then 'tags' end
    from (
        select beckon_now() - interval '24 hours' * n / %(all)s - interval '10 seconds' as began,
            n <= %(moving)s as moving, n %% 3 = 0 as skipped
        from generate_series(1, %(all)s) n
    ) generated
"""
_MOVES = """
    insert into stage_history (execution_id, workspace_id, automation_id, test, from_stage, from_ms, stage, entered_at)
    select e.id, e.workspace_id, e.automation_id, false, way[n], 800, way[n + 1],
        e.created_at + n * interval '0.8 seconds'
    from executions e cross join lateral (select case e.stage
        when 'completed' then array['queued', 'checking', 'eligible', 'generating', 'ready_to_send', 'sending', 'sent',
            'completed']
        when 'skipped' then array['queued', 'checking', 'skipped']
        else array['queued', 'checking', 'eligible', 'generating', 'ready_to_send'] end as way
    ) w cross join generate_series(1, array_length(way, 1) - 1) n
    order by e.created_at + n * interval '0.8 seconds'
"""
_UUID_AT = """
    create function pg_temp.uuid_at(at timestamptz) returns uuid language sql volatile as
    $$ select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
        || substr(replace(gen_random_uuid()::text, '-', ''), 14))::uuid $$
"""


def fill(moves: int) -> tuple[str, str]:
    """Create a workspace with one automation that had this many stage changes in the last day. Returns both ids."""
    workspace_id = workspace.create("busy", "A busy shop")
    publication = automation.create(
        workspace_id, name="Busy", type="workflow", definition=_HELLO, actor=SYSTEM, enabled=True
    )
    executions = int(moves * 3 / 16)
    with transaction():
        execute("set local statement_timeout = 0")
        version_id = queries.fetch_value("select version_id from automations")
        execute(_UUID_AT)
        execute(
            _EXECUTIONS.replace("uuid_at", "pg_temp.uuid_at"),
            {"workspace": workspace_id, "automation": publication.automation_id, "version": version_id,
             "all": executions, "moving": ACTIVE_EXECUTIONS},
        )  # fmt: skip
        execute(_MOVES)
    return workspace_id, publication.automation_id


def measure_snapshot(database_url: str, moves: int) -> float:
    """Measure one snapshot, also after the scheduler was stopped for an hour. Returns the former's p95 in ms."""
    migrations.migrate(database_url)
    database.open_pool(database_url, "beckon_service", 2)
    workspace_id, automation_id = fill(moves)
    with transaction():
        written = queries.fetch_value("select count(*) from stage_history")
    for name in ("first", "next"):
        began = time.perf_counter()
        rollups.run_once()
        show(f"the {name} rollup of {written:,} stage changes took {time.perf_counter() - began:.2f} s")
    db.close_all()
    database.open_pool(database_url, None, 2)
    with database.connection():
        database.db.execute_sql("analyze")
    db.close_all()
    usual = _measure_snapshots(database_url, workspace_id, automation_id)
    database.open_pool(database_url, "beckon_service", 2)
    with transaction():
        execute("update tallied set until = until - interval '1 hour'")
    db.close_all()
    late = _measure_snapshots(database_url, workspace_id, automation_id)
    show_table(
        ("snapshot, ms", "median", "p95", "longest", "PostgreSQL's processor time"),
        [(name, *(f"{figure:.1f}" for figure in figures)) for name, figures in (
            ("rolled up until half a minute ago", usual), ("rolled up until an hour ago", late),
        )],
    )  # fmt: skip
    return usual[1]


def _measure_snapshots(database_url: str, workspace_id: str, automation_id: str) -> tuple[float, float, float, float]:
    """Measure the median, p95 and maximum time of a snapshot, and PostgreSQL's processor time for one, in ms."""
    database.open_pool(database_url, "beckon_app", 2)
    with database.connection():
        backend = queries.fetch_value("select pg_backend_pid()")
        before, times_ms = read_processor_seconds(backend), []
        for _ in range(SNAPSHOTS):
            began = time.perf_counter()
            monitor.fetch_snapshot(workspace_id, automation_id)
            times_ms.append(1000 * (time.perf_counter() - began))
        processor_ms = 1000 * (read_processor_seconds(backend) - before) / SNAPSHOTS
    db.close_all()
    return median(times_ms), percentile(times_ms, 0.95), max(times_ms), processor_ms


def measure_streams(copy: Copy) -> tuple[float, float]:
    """Measure the dashboard's cost and the frames' lag. Returns the share of a core that the most watchers cost
    more than one, and their lag in ms."""
    automation_id = copy.publish_only_automation("Watched", _WAITING)
    triggers = [
        {"type": "benchmark.started", "contact": {"externalId": f"w-{number}", "firstName": f"Watched {number}",
                                                  "email": f"w{number}@example.com"}}
        for number in range(CONTACTS)
    ]  # fmt: skip
    copy.call("POST", "/api/triggers/batch", {"triggers": triggers})
    path = f"/api/ai-automations/{automation_id}/monitor"
    deadline = time.monotonic() + 60
    while copy.call("POST", path)["snapshot"]["totals"]["active"] < CONTACTS and time.monotonic() < deadline:
        time.sleep(0.2)
    dashboard = next(pid for name, pid in copy.list_programs().items() if name.startswith("dashboard"))
    lines, shares, lags = [], [], []
    for watchers in WATCHERS:
        command = [sys.executable, __file__, "client", copy.access["url"], copy.access["apiKey"], path, str(watchers)]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        client.stdout.readline()
        before = read_processor_seconds(dashboard)
        received = json.loads(client.communicate()[0].splitlines()[-1])
        shares.append((read_processor_seconds(dashboard) - before) / SECONDS)
        lags.append(percentile(received["lags"], 0.99))
        lines.append((
            watchers, f"{100 * shares[-1]:.1f} %", len(received["lags"]), f"{received['bytes'] / 1024:.0f}",
            f"{median(received['lags']):.0f}", f"{lags[-1]:.0f}", f"{max(received['lags']):.0f}",
        ))  # fmt: skip
    show_table(("watchers", "of a core", "frames", "KiB each", "lag p50, ms", "p99", "longest"), lines)
    return shares[-1] - shares[0], lags[-1]


def client(url: str, key: str, path: str, watchers: int) -> None:
    """Run the client process: print a line once all streams are open, and at the end every frame's lag in ms."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, watchers + 100)), hard))
    asyncio.run(_watch_all(url, key, path, watchers))


class Watcher(asyncio.Protocol):
    """One stream: records its frames' lags in ms and sizes in bytes once every stream has received a frame."""

    def __init__(self, request: bytes, received: ReceivedFrames) -> None:
        self._request, self._received = request, received
        self._frame = bytearray()
        self._frames = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._frame += data
        # A frame ends with an empty line, and the chunk that contains it with one more line break.
        if not data.endswith(b"\n\n\r\n") or b"data: " not in self._frame:
            return
        at = re.search(rb'"at":"([^"]+)"', self._frame)
        assert at is not None
        self._frames += 1
        self._received.record(self._frames == 1, at[1].decode(), len(self._frame))
        self._frame.clear()


class ReceivedFrames:
    """The frames that all watchers received."""

    def __init__(self, watchers: int) -> None:
        self.started = asyncio.Event()
        self.lags: list[float] = []
        self.sizes: list[int] = []
        self._missing = watchers

    def record(self, first: bool, at: str, size: int) -> None:
        """Record a complete frame whose snapshot was taken at `at`."""
        if self.started.is_set():
            self.lags.append(1000 * (time.time() - datetime.fromisoformat(at).timestamp()))
            self.sizes.append(size)
        self._missing -= first
        if not self._missing:
            self.started.set()


async def _watch_all(url: str, key: str, path: str, watchers: int) -> None:
    received, address = ReceivedFrames(watchers), urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    connections = [
        await loop.create_connection(lambda: Watcher(request, received), address.hostname, address.port)
        for _ in range(watchers)
    ]
    await received.started.wait()
    show("started")
    await asyncio.sleep(SECONDS)
    for transport, _ in connections:
        transport.abort()
    show(json.dumps({"lags": received.lags, "bytes": median(map(float, received.sizes))}))


def main() -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else MOVES
    show(f"{describe_machine()}; load {os.getloadavg()[0]:.1f}")
    with run_servers() as servers:
        snapshot_ms = measure_snapshot(servers.database_url, moves)
    with run_copy() as copy:
        share, lag_ms = measure_streams(copy)
    show(f"{WATCHERS[-1]:,} watchers cost {100 * share:.1f} % of a core more than one")
    met = snapshot_ms < MAX_SNAPSHOT_MS and lag_ms < MAX_LAG_MS and share <= MAX_SHARE
    show(f"{'within' if met else 'NOT WITHIN'} the limits")
    return int(not met)


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        client(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
    else:
        sys.exit(main())
