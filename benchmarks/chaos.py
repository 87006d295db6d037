"""Chaos test: steady triggers while workers are killed, Redis is flushed and PostgreSQL restarted; counts losses.

A complete copy of Beckon runs in a separate home. Each trigger has its own idempotency key and contact; after a 503 the
request is retried, as any producer would do. The faults end once every trigger is accepted, and everything must settle.
Then the messages that the sandbox received are compared with the database:

    lost         accepted but not finished, or marked as sent although the provider received nothing
    duplicated   messages beyond the first that the provider received with one key
    unknown      outcome unknown: the send was interrupted, and the provider has no record of it
    resume       seconds from a kill to the end of the executions that ran under the killed process's lease

Run: `python benchmarks/chaos.py [triggers] [kills]`. Fails if anything was lost or sent twice, or if `verify` fails.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg2
import redis
import urllib3
from measurements import describe_machine, show, show_table
from running_copy import Copy, run_copy

DEFINITION = {
    "trigger": {"type": "chaos.began"},
    "steps": [
        {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
        {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
    ],
}
#: Triggers in one request, and the seconds within which everything must settle after the last one.
BATCH_SIZE, SETTLE_TIMEOUT_SECONDS = 10, 450.0
LEASE_SECONDS = "10"
#: One of this many faults flushes Redis, one restarts PostgreSQL, one stops a worker in order; the others kill one.
FLUSH_EVERY, RESTART_EVERY, STOP_EVERY = 10, 20, 4


@dataclass
class Faults:
    """The injected faults, and the seconds until the executions of killed processes finished."""

    kills: int = 0
    stops: int = 0
    flushes: int = 0
    restarts: int = 0
    resume_seconds: list[float] = field(default_factory=list)


class Chaos:
    """One run of the chaos test."""

    def __init__(self, copy: Copy, triggers: int, kills: int, rng: random.Random) -> None:
        self.copy, self.triggers, self.kills, self.rng = copy, triggers, kills, rng
        self.faults = Faults()
        self.accepted = 0
        self.retries = 0
        #: Executions that were running under a killed process, each with the time of the kill.
        self.orphans: dict[str, float] = {}
        self.error: BaseException | None = None

    # Producer

    def trigger_all(self) -> None:
        """Send every trigger until it is accepted, at a rate that spreads the faults over the whole run."""
        client = urllib3.PoolManager(retries=False, timeout=30.0)
        for first in range(0, self.triggers, BATCH_SIZE):
            numbers = range(first, min(first + BATCH_SIZE, self.triggers))
            self._accept(client, {"triggers": [_build_trigger(number) for number in numbers]})
            self.accepted += len(numbers)
            if self.error is not None:
                raise self.error
            while self.accepted - self._count_finished() > 500:
                time.sleep(0.1)

    def _accept(self, client: urllib3.PoolManager, body: dict[str, Any]) -> None:
        while True:
            with suppress(urllib3.exceptions.HTTPError):
                response = client.request(
                    "POST",
                    f"{self.copy.access['url']}/api/triggers/batch",
                    json=body,
                    headers={"Authorization": f"Bearer {self.copy.access['apiKey']}"},
                )
                if response.status == 202 and not response.json()["rejected"]:
                    return
                if response.status != 503 and response.status != 202:
                    raise RuntimeError(f"{response.status}: {response.data[:300]!r}")
            self.retries += 1
            time.sleep(0.2)

    # Faults

    def inject_faults(self) -> None:
        """Spread the faults evenly over the triggers; an error in this thread ends the run."""
        try:
            self._inject_faults()
        except Exception as error:
            self.error = error

    def _inject_faults(self) -> None:
        number = 0
        while self.faults.kills < self.kills:
            while self.accepted < self.triggers * self.faults.kills / self.kills:
                time.sleep(0.02)
            number += 1
            if number % RESTART_EVERY == 0:
                self._restart_postgres()
            elif number % FLUSH_EVERY == 0:
                self._flush_redis()
            elif number % STOP_EVERY == 0:
                self._stop_worker()
            else:
                self._kill_worker()

    def _stop_worker(self) -> None:
        """Stop an engine process with SIGTERM; it is started again."""
        pid = self._find_program_pid(self.rng.choice(["engine-0", "engine-1"]))
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self.faults.stops += 1

    def _kill_worker(self) -> None:
        name = self.rng.choice(["engine-0", "engine-0", "engine-1", "engine-1", "tracking-0", "scheduler"])
        pid = self._find_program_pid(name)
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.faults.kills += 1
        running = self._fetch_rows(
            "select id from executions where status = 'running' and lease_owner like %s", (f"%:{pid}:%",)
        )
        for (execution_id,) in running:
            self.orphans.setdefault(execution_id, time.time())

    def _flush_redis(self) -> None:
        with closing(redis.Redis.from_url(str(self.copy.access["redisUrl"]))) as client, suppress(redis.RedisError):
            client.flushall()
            self.faults.flushes += 1

    def _restart_postgres(self) -> None:
        pid = self._find_program_pid("postgres")
        if pid is not None:
            os.kill(pid, signal.SIGINT)
            self.faults.restarts += 1

    def _find_program_pid(self, name: str) -> int | None:
        return self.copy.list_programs().get(name)

    # Results

    def _fetch_rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Fetch the rows of a query; retries while PostgreSQL is unreachable."""
        deadline = time.monotonic() + 60
        while True:
            try:
                connecting = psycopg2.connect(str(self.copy.access["databaseUrl"]))
                with closing(connecting) as connection, connection.cursor() as cursor:
                    cursor.execute(sql, parameters)
                    return list(cursor.fetchall())
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _count_finished(self) -> int:
        return int(self._fetch_rows("select count(*) from executions where finished_at is not null")[0][0])

    def await_settled(self) -> float:
        """Wait until everything has settled, or for SETTLE_TIMEOUT_SECONDS. Returns the seconds waited."""
        began = time.monotonic()
        while time.monotonic() - began < SETTLE_TIMEOUT_SECONDS:
            remaining = self._fetch_rows(
                "select count(*) from executions where finished_at is null "
                # What the provider has is listed by the look-up after five minutes; the last one comes after 35.
                "or id in (select execution_id from messages where look_up_at is not null and look_ups < 4)"
            )[0][0]
            if not remaining:
                break
            time.sleep(0.5)
        return time.monotonic() - began

    def compare_with_sandbox(self) -> dict[str, int]:
        """Compare the messages that the sandbox received with the database."""
        response = urllib3.request("GET", f"{self.copy.access['sandboxUrl']}/_sandbox/messages?provider=mailgun")
        received = Counter(message["body"]["v:beckon_key"] for message in response.json()["messages"])
        messages = dict(self._fetch_rows("select key, status from messages"))
        finished = self._count_finished()
        unknown = {key for key, status in messages.items() if status == "outcome_unknown"}
        sent = {key for key, status in messages.items() if status == "sent"}
        finish_times = self._fetch_rows(
            "select id, extract(epoch from finished_at)::float from executions where finished_at is not null"
        )
        self.faults.resume_seconds = [
            max(0.0, at - self.orphans[execution_id])
            for execution_id, at in finish_times
            if execution_id in self.orphans
        ]
        return {
            "lost": self.triggers - finished + len(sent - received.keys()),
            "duplicated": sum(count - 1 for count in received.values()),
            "unknown": len(unknown),
            "unknown but received": len(unknown & received.keys()),
        }


def _build_trigger(number: int) -> dict[str, Any]:
    contact = {"externalId": f"c-{number}", "firstName": "Ada", "email": f"c{number}@example.com"}
    return {"type": "chaos.began", "contact": contact, "idempotencyKey": f"chaos-{number}"}


def main(triggers: int = 2000, kills: int = 20) -> int:
    """Inject faults, wait, print the result. Returns 1 if a guarantee was violated."""
    seed = int(time.time())
    with run_copy(BECKON_LEASE_SECONDS=LEASE_SECONDS, BECKON_LOG_LEVEL="WARNING") as copy:
        copy.publish_only_automation("Chaos", DEFINITION)
        chaos = Chaos(copy, triggers, kills, random.Random(seed))
        began = time.monotonic()
        fault_thread = threading.Thread(target=chaos.inject_faults, daemon=True)
        fault_thread.start()
        chaos.trigger_all()
        fault_thread.join()
        settle_seconds = chaos.await_settled()
        result, duration = chaos.compare_with_sandbox(), time.monotonic() - began
        verification = copy.run_command("verify", check=False)
    faults = chaos.faults
    show(f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {duration:.0f} s, {describe_machine()}")
    show_table(
        ("", ""),
        [
            ("triggers accepted", chaos.accepted), ("kills of worker processes", faults.kills),
            ("stops of engine processes", faults.stops),
            ("Redis flushes", faults.flushes), ("PostgreSQL restarts", faults.restarts),
            ("requests repeated after a 503", chaos.retries),
            ("lost", result["lost"]), ("duplicated", result["duplicated"]), ("of unknown outcome", result["unknown"]),
            ("– of these received by the provider", result["unknown but received"]),
            ("executions interrupted by a kill", len(faults.resume_seconds)),
            ("slowest resume, from the kill to the end", f"{max(faults.resume_seconds, default=0):.1f} s"),
            ("settled after the last trigger", f"{settle_seconds:.1f} s"),
            ("beckon verify", "holds" if verification.returncode == 0 else "BROKEN"),
        ],
    )  # fmt: skip
    if verification.returncode != 0:
        show(verification.stdout + verification.stderr)
    return int(bool(result["lost"] or result["duplicated"] or verification.returncode))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
