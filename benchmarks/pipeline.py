"""How well threads are used that wait for others: an AI that thinks for 50 ms and a provider that takes 20 ms.

With so few threads that they are the limit and not the processor, the generation program can write `threads / 0.05`
texts a second. What comes out of the whole pipeline (check, text, e-mail, everything stored) is held against that, at
several numbers of threads; at least 90 % are asked for at the first. Run: `python benchmarks/pipeline.py [threads …]`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import urllib3
from measures import machine, show, table
from own_servers import Ground, own_servers
from running_copy import BECKON, ROOT

AI_SECONDS, PROVIDER_SECONDS = 0.05, 0.02
LEAST_PART = 0.9
#: Seconds of work at full speed in one measurement, after as much for warming up.
SECONDS = 6

DEFINITION = {
    "trigger": {"type": "benchmark.started"},
    "steps": [
        {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
        {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
    ],
}


def main(*numbers_of_threads: int) -> int:
    """Measure, print, and answer 1 when the limit is missed."""
    lines, parts = [], []
    with own_servers() as ground:
        _set_environment(ground)
        subprocess.run([*BECKON, "prepare"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        workspace_id = _make_workspace()
        _slow(ground, "gemini", AI_SECONDS)
        _slow(ground, "mailgun", PROVIDER_SECONDS)
        for threads in numbers_of_threads or (8, 16, 32):
            possible = threads / AI_SECONDS
            with _workers(ground, threads):
                _finished_a_second(ground, workspace_id, int(possible))
                reached = _finished_a_second(ground, workspace_id, int(possible * SECONDS))
            parts.append(reached / possible)
            lines.append([f"{threads}", f"{possible:.0f}", f"{reached:.0f}", f"{parts[-1]:.0%}"])
    show(machine())
    table(("threads", "possible/s", "reached/s", "part"), lines)
    met = parts[0] >= LEAST_PART
    show(f"{'met   ' if met else 'MISSED'}  {parts[0]:.0%} of what {lines[0][0]} threads can do")
    return int(not met)


def _set_environment(ground: Ground) -> None:
    for name in [one for one in os.environ if one.startswith(("BECKON_", "DATABASE_", "REDIS_"))]:
        del os.environ[name]
    (ground.home / "metrics").mkdir()
    os.environ.update(
        BECKON_HOME=str(ground.home), BECKON_ENV_FILE=str(ground.home / "none.env"), BECKON_DEMO="0",
        BECKON_SANDBOX_PORT=str(ground.sandbox_port), DATABASE_URL=ground.database_url, REDIS_URL=ground.redis_url,
        SECRET_KEY="the secret key of a benchmark, long enough", PYTHONPATH=str(ROOT),
    )  # fmt: skip


def _make_workspace() -> str:
    import settings as settings_module
    from ephemeral.connection import open_ephemeral
    from models import automation, database, workspace
    from models.audit import SYSTEM
    from tasks import broker

    settings = settings_module.load()
    database.open_pool(settings.database_service_url, "beckon_service", 4)
    open_ephemeral(settings)
    broker.set_up(settings)
    made = workspace.create("benchmark", "Benchmark", demo=True)
    automation.create(made, name="Benchmark", type="workflow", definition=DEFINITION, actor=SYSTEM, enabled=True)
    return made


def _slow(ground: Ground, provider: str, seconds: float) -> None:
    fault = {"provider": provider, "fault": "slow", "times": 0, "seconds": seconds}
    urllib3.request("POST", f"{ground.sandbox_url}/_sandbox/faults", json=fault)


@contextmanager
def _workers(ground: Ground, threads: int) -> Iterator[None]:
    words = (("worker", "generation"), ("worker", "sending"), ("scheduler",))
    environ = {
        **os.environ, "BECKON_IO_THREADS": str(threads), "PROMETHEUS_MULTIPROC_DIR": str(ground.home / "metrics")
    }  # fmt: skip
    with open(ground.home / "workers.log", "ab") as log:
        running = [
            subprocess.Popen([*BECKON, *one], cwd=ROOT, env={**environ, "BECKON_SLOT": f"{one[-1]}-0"}, stdout=log,
                             stderr=log)
            for one in words
        ]  # fmt: skip
    try:
        yield
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait(30)


def _finished_a_second(ground: Ground, workspace_id: str, count: int) -> float:
    """Between the first and the last end of so many executions, which are all accepted before the clock is read."""
    from tasks.triggers import TriggerRequest, accept

    before = time.time_ns()
    for begin in range(0, count, 500):
        people = (f"{before}-{number}" for number in range(begin, min(count, begin + 500)))
        requests = [
            TriggerRequest("benchmark.started", None, {"first_name": "Ada", "email": f"{one}@example.com"}, {})
            for one in people
        ]
        accept(workspace_id, requests, "api")
    with psycopg2.connect(ground.database_url) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while True:
            cursor.execute(
                "select count(*) filter (where e.finished_at is null), count(*), "
                "extract(epoch from max(e.finished_at) - min(e.finished_at)) from executions e "
                "join contacts c on c.id = e.contact_id where c.email like %s", (f"{before}-%",),
            )  # fmt: skip
            still, all_of_them, seconds = cursor.fetchone()
            if not still:
                return float(all_of_them) / float(seconds)
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(*(int(one) for one in sys.argv[1:])))
