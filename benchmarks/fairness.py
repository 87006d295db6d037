"""How long the messages of one workspace take beside the flood of another, and beside a provider that hangs.

One engine process with 32 threads for each kind of call and the scheduler work against the sandbox; the time runs from
the trigger to the provider's receipt of the message.

    quiet     20 e-mails a second of a calm workspace, nothing else
    flood     the same, while another workspace has posted 20,000 e-mails through the same provider
    many      one e-mail of each of 500 workspaces, 20 a second, beside such a flood
    hanging   20 SMS a second, while 100 e-mails of the same workspace and two more a second get no answer

Run: `python benchmarks/fairness.py [seconds] [flood]`. Each case lasts `seconds`, 60 by default.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import urllib3
from measurements import describe_machine, percentile, show, show_table
from own_engine import prepare, run_engine
from own_servers import BenchmarkServers, run_servers

RATE, WORKSPACES, HANGING, THREADS = 20, 500, 100, 32
MAX_P99_MS = 1_000.0

EMAIL = {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hi!"}}
TEXT = {"id": "hello", "action": "send_sms", "with": {"body": "Hi!"}}


class Bench:
    """The workspaces and their triggers, with the time at which each was posted."""

    def __init__(self, servers: BenchmarkServers) -> None:
        self.servers = servers
        self.posted_at: dict[str, float] = {}
        self.numbers = 0

    def create_workspace(self, name: str) -> str:
        """Create a workspace with an automation for e-mails and one for texts; return its id."""
        from models import automation, workspace
        from models.audit import SYSTEM

        workspace_id = workspace.create(name, name, demo=True)
        for type_, step in (("email.wanted", EMAIL), ("text.wanted", TEXT)):
            definition = {"trigger": {"type": type_}, "steps": [step]}
            automation.create(
                workspace_id, name=type_, type="workflow", definition=definition, actor=SYSTEM, enabled=True
            )
        return workspace_id

    def post(self, workspace_id: str, type_: str, count: int = 1) -> list[str]:
        """Post triggers of new contacts; return the addresses of their messages."""
        from rules.trigger_requests import TriggerRequest
        from tasks.intake.triggers import accept

        people = [self._create_person() for _ in range(count)]
        for begin in range(0, count, 100):
            batch = people[begin : begin + 100]
            accept(workspace_id, [TriggerRequest(type_, None, person, {}) for person in batch], "api")
        key = "phone" if type_ == "text.wanted" else "email"
        return [person[key] for person in people]

    def _create_person(self) -> dict[str, Any]:
        self.numbers += 1
        number = self.numbers
        return {"external_id": f"p{number}", "email": f"p{number}@example.com", "phone": f"+1555{number:07}"}

    def post_steadily(self, seconds: int, post: Callable[[int], list[str]]) -> dict[str, float]:
        """Post `RATE` times a second; return when each address was posted to."""
        posted_at, began = {}, time.monotonic()
        for number in range(RATE * seconds):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            now = time.time()
            posted_at.update(dict.fromkeys(post(number), now))
        return posted_at

    def measure(self, posted_at: dict[str, float]) -> list[float]:
        """Wait until every message has arrived; return the milliseconds that each took."""
        deadline = time.monotonic() + 60.0
        while True:
            response = urllib3.request("GET", f"{self.servers.sandbox_url}/_sandbox/messages")
            arrived = {message["to"]: message["at"] for message in response.json()["messages"]}
            if posted_at.keys() <= arrived.keys() or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        lost = float("inf")
        return [
            (datetime.fromisoformat(arrived[to]).timestamp() - at) * 1000 if to in arrived else lost
            for to, at in posted_at.items()
        ]

    def forget(self) -> None:
        """Forget the sandbox's messages and faults."""
        urllib3.request("DELETE", f"{self.servers.sandbox_url}/_sandbox")

    def hang(self, provider: str) -> None:
        """Have a provider accept requests and answer none."""
        fault = {"provider": provider, "fault": "timeout", "times": 0, "seconds": 120}
        urllib3.request("POST", f"{self.servers.sandbox_url}/_sandbox/faults", json=fault)


def measure_quiet(bench: Bench, seconds: int, _flood: int) -> list[float]:
    """Measure a calm workspace alone."""
    calm = bench.create_workspace(f"alone-{bench.numbers}")
    return bench.measure(bench.post_steadily(seconds, lambda _: bench.post(calm, "email.wanted")))


def measure_flood(bench: Bench, seconds: int, flood: int) -> list[float]:
    """Measure a calm workspace beside a flood."""
    calm, flooding = bench.create_workspace("calm"), bench.create_workspace("flooding")
    bench.post(flooding, "email.wanted", flood)
    return bench.measure(bench.post_steadily(seconds, lambda _: bench.post(calm, "email.wanted")))


def measure_many(bench: Bench, seconds: int, flood: int) -> list[float]:
    """Measure many small workspaces beside a flood."""
    count = min(WORKSPACES, RATE * seconds)
    small = [bench.create_workspace(f"small-{number}") for number in range(count)]
    bench.post(bench.create_workspace("flooding-many"), "email.wanted", flood)
    posted_at = bench.post_steadily(count // RATE, lambda number: bench.post(small[number], "email.wanted"))
    return bench.measure(posted_at)


def measure_hanging(bench: Bench, seconds: int, _flood: int) -> list[float]:
    """Measure texts while e-mails of the same workspace get no answer."""
    workspace_id = bench.create_workspace("hanging")
    bench.hang("mailgun")
    bench.post(workspace_id, "email.wanted", HANGING)

    def post(number: int) -> list[str]:
        if number % (RATE // 2) == 0:
            bench.post(workspace_id, "email.wanted")
        return bench.post(workspace_id, "text.wanted")

    return bench.measure(bench.post_steadily(seconds, post))


CASES = {"quiet": measure_quiet, "flood": measure_flood, "many": measure_many, "hanging": measure_hanging}


def main(seconds: int = 60, flood: int = 20_000) -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    with run_servers() as servers:
        prepare(servers, BECKON_IO_THREADS=str(THREADS))
        bench, times = Bench(servers), {}
        with run_engine(servers):
            show(f"one engine process, {THREADS} threads for sends, a flood of {flood:,}, {describe_machine()}")
            # The first messages also wait for the programs to start.
            measure_quiet(bench, 2, flood)
            bench.forget()
            for name, case in CASES.items():
                times[name] = case(bench, seconds, flood)
                show(f"{name}: p99 {percentile(times[name], 0.99):.0f} ms")
                bench.forget()
    show()
    show_table(
        ("case", "messages", "p50 ms", "p99 ms", "slowest ms", "p99 under"),
        [
            [name, len(case), *(f"{value:.0f}" for value in (percentile(case, 0.5), percentile(case, 0.99), max(case))),
             f"{MAX_P99_MS:.0f}"]
            for name, case in times.items()
        ],
    )  # fmt: skip
    missed = [name for name, case in times.items() if percentile(case, 0.99) >= MAX_P99_MS]
    show()
    show(f"p99 under {MAX_P99_MS:,.0f} ms: {'missed by ' + ', '.join(missed) if missed else 'met'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
