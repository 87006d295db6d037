"""From requests over HTTP to sent messages: single posts and batches, with the processor time of the whole copy.

A complete copy of Beckon with its usual settings gets triggers of a workflow with an AI text and an e-mail: one in a
request on eight kept-alive connections, then a hundred in a request on two. The time runs from the first request to the
end of the last execution; processor time is that of all programs and servers without the sandbox. The last row is the
machine's part of a request: `POST /api/triggers` with a type that no automation listens to.
Run: `python benchmarks/end_to_end.py [executions]`.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg2
from executions import DEFINITION, MAX_SINGLES_PROCESSOR, MIN_SINGLES
from measurements import describe_machine, read_processor_seconds, show, show_table
from running_copy import Copy, run_copy
from tracking import send_all

BATCH_SIZE = 100
LIMITS = {"BECKON_TRIGGER_RATE": "1000000", "BECKON_TRIGGER_BURST": "1000000"}


@dataclass(frozen=True)
class Case:
    """How triggers are posted: of which type, how many in a request, on how many connections."""

    title: str
    trigger_type: str
    batch_size: int
    connections: int
    min_rate: float = 0.0
    max_cost: float = float("inf")


CASES = (
    Case("single posts", "benchmark.started", 1, 8, MIN_SINGLES, MAX_SINGLES_PROCESSOR),
    Case("batches of 100", "benchmark.started", BATCH_SIZE, 2),
    Case("single posts, no automation matches", "nobody.listens", 1, 8),
)


def measure(copy: Copy, case: Case, count: int) -> tuple[float, float]:
    """Post the triggers; return executions a second and processor seconds for a thousand."""
    build, before = _build_requests(copy, case, count), _read_processor(copy)
    began = time.monotonic()
    send_all(copy.access["url"], build, case.connections)
    _await_finished(copy)
    return count / (time.monotonic() - began), (_read_processor(copy) - before) / count * 1000


def _build_requests(copy: Copy, case: Case, count: int) -> Callable[[], bytes | None]:
    run_id, numbers = time.time_ns(), itertools.count(step=case.batch_size)
    path = "/api/triggers" if case.batch_size == 1 else "/api/triggers/batch"
    headers = (
        f"Host: {urlsplit(copy.access['url']).netloc}\r\nAuthorization: Bearer {copy.access['apiKey']}\r\n"
        "Content-Type: application/json\r\n"
    )

    def build() -> bytes | None:
        first = next(numbers)
        if first >= count:
            return None
        names = [f"{run_id}-{number}" for number in range(first, min(first + case.batch_size, count))]
        triggers = [_build_trigger(name, case.trigger_type) for name in names]
        body = json.dumps(triggers[0] if case.batch_size == 1 else {"triggers": triggers})
        return f"POST {path} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    return build


def _build_trigger(name: str, trigger_type: str) -> dict[str, object]:
    contact = {"externalId": name, "firstName": "Ada", "email": f"{name}@example.com"}
    return {"type": trigger_type, "contact": contact, "idempotencyKey": name}


def _read_processor(copy: Copy) -> float:
    return sum(read_processor_seconds(pid) for name, pid in copy.list_programs().items() if name != "sandbox")


def _await_finished(copy: Copy) -> None:
    with contextlib.closing(psycopg2.connect(copy.access["databaseUrl"])) as owner, owner.cursor() as cursor:
        owner.autocommit = True
        while True:
            cursor.execute("select count(*) from executions where status in ('pending', 'running')")
            if cursor.fetchone() == (0,):
                return
            time.sleep(0.05)


def main(executions: int = 3_000) -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    rows, missed = [], []
    with run_copy(BECKON_LOG_LEVEL="WARNING", **LIMITS) as copy:
        copy.publish_only_automation("Benchmark", DEFINITION)
        for case in CASES:
            measure(copy, case, executions // 5)
            rate, cost = measure(copy, case, executions)
            missed += [case.title] if rate < case.min_rate or cost > case.max_cost else []
            limit = f"{case.min_rate:g} at {case.max_cost:g}" if case.min_rate else ""
            rows.append([case.title, f"{rate:.0f}", f"{cost:.2f}", limit])
    show(describe_machine())
    show_table(("", "executions/s", "CPU s per 1,000", "limit"), rows)
    show(f"missed: {', '.join(missed)}" if missed else "the limits are reached")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
