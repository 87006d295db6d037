"""Utilisation of threads that wait for outside calls: the AI takes 50 ms and the provider 20 ms.

With few threads, the threads and not the processor are the limit: the pool `generation` can generate `threads / 0.05`
texts a second. The throughput of the whole pipeline (check, text, e-mail, everything stored) is compared with that for
several numbers of threads; the first must reach at least 90 %. Run: `python benchmarks/pipeline.py [threads …]`.
"""

from __future__ import annotations

import sys
import time

import psycopg2
import urllib3
from measurements import describe_machine, show, show_table
from own_engine import prepare, run_engine
from own_servers import BenchmarkServers, run_servers

AI_SECONDS, PROVIDER_SECONDS = 0.05, 0.02
MIN_SHARE = 0.9
#: Seconds of work at full speed in one measurement, after one second of warm-up.
SECONDS = 6

DEFINITION = {
    "trigger": {"type": "benchmark.started"},
    "steps": [
        {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
        {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
    ],
}


def main(*thread_counts: int) -> int:
    """Measure and print. Returns 1 if the limit is missed."""
    lines, shares = [], []
    with run_servers() as servers:
        prepare(servers)
        workspace_id = _make_workspace()
        _set_delay(servers, "gemini", AI_SECONDS)
        _set_delay(servers, "mailgun", PROVIDER_SECONDS)
        for threads in thread_counts or (8, 16, 32):
            possible = threads / AI_SECONDS
            with run_engine(servers, BECKON_IO_THREADS=str(threads)):
                _measure_throughput(servers, workspace_id, int(possible))
                reached = _measure_throughput(servers, workspace_id, int(possible * SECONDS))
            shares.append(reached / possible)
            lines.append([f"{threads}", f"{possible:.0f}", f"{reached:.0f}", f"{shares[-1]:.0%}"])
    show(describe_machine())
    show_table(("threads", "possible/s", "reached/s", "share"), lines)
    met = shares[0] >= MIN_SHARE
    show(f"{'met   ' if met else 'MISSED'}  {shares[0]:.0%} of the throughput that {lines[0][0]} threads can reach")
    return int(not met)


def _make_workspace() -> str:
    from models import automation, workspace
    from models.audit import SYSTEM

    workspace_id = workspace.create("benchmark", "Benchmark", demo=True)
    automation.create(
        workspace_id, name="Benchmark", type="workflow", definition=DEFINITION, actor=SYSTEM, enabled=True
    )
    return workspace_id


def _set_delay(servers: BenchmarkServers, provider: str, seconds: float) -> None:
    fault = {"provider": provider, "fault": "slow", "times": 0, "seconds": seconds}
    urllib3.request("POST", f"{servers.sandbox_url}/_sandbox/faults", json=fault)


def _measure_throughput(servers: BenchmarkServers, workspace_id: str, count: int) -> float:
    """Measure the executions finished per second between the first and the last end of `count` executions."""
    from rules.trigger_requests import TriggerRequest
    from tasks.intake.triggers import accept

    before = time.time_ns()
    for first in range(0, count, 500):
        identifiers = (f"{before}-{number}" for number in range(first, min(count, first + 500)))
        requests = [
            TriggerRequest("benchmark.started", None, {"first_name": "Ada", "email": f"{identifier}@example.com"}, {})
            for identifier in identifiers
        ]
        accept(workspace_id, requests, "api")
    with psycopg2.connect(servers.database_url) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute(
                "select count(*) filter (where e.finished_at is null), count(*), "
                "extract(epoch from max(e.finished_at) - min(e.finished_at)) from executions e "
                "join contacts c on c.id = e.contact_id where c.email like %s", (f"{before}-%",),
            )  # fmt: skip
            remaining, total, seconds = cursor.fetchone()
            if not remaining:
                return float(total) / float(seconds)
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
