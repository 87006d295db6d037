"""Proof by force: steady triggers while workers are killed, Redis is emptied and PostgreSQL restarted, then the books.

A copy of Beckon in a home of its own runs as an operator runs it. Each trigger has an idempotency key and a person of
its own; a 503 is answered by the same request again, as any producer would. When every trigger has been accepted the
blows end, and everything must come to rest. Then the sandbox's record is held against the database:

    lost         accepted, and not at its end; or called sent while the provider has nothing
    duplicated   messages beyond the first that the provider took under one key
    unknown      held because nobody can say whether the provider took it: cut off, and not found there
    resume       from a kill to the end of whatever was running under the killed process's lease

Run: `python benchmarks/chaos.py [triggers] [kills]`; fails when anything was lost or sent twice, or `verify` complains.
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
from measures import machine, show, table
from running_copy import Copy, running_copy

WRITTEN = {
    "trigger": {"type": "chaos.began"},
    "steps": [
        {"id": "write", "action": "generate_message", "with": {"prompt": "Write to {{ contact.first_name }}"}},
        {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "{{ steps.write.text }}"}},
    ],
}
#: Triggers in one request, and the seconds within which everything must come to rest after the last of them.
BATCH, REST_SECONDS = 10, 450.0
LEASE_SECONDS = "10"
#: Of every so many blows one empties Redis, and one restarts PostgreSQL; the others kill a worker.
FLUSH_EVERY, RESTART_EVERY = 10, 20


@dataclass
class Blows:
    """What was done to the copy, and how long the work of the killed took to end."""

    kills: int = 0
    flushes: int = 0
    restarts: int = 0
    resumed: list[float] = field(default_factory=list)


class Chaos:
    """One run."""

    def __init__(self, copy: Copy, triggers: int, kills: int, dice: random.Random) -> None:
        self.copy, self.triggers, self.kills, self.dice = copy, triggers, kills, dice
        self.blows = Blows()
        self.accepted = 0
        self.asked_again = 0
        #: Executions that were running under a killed process, each with the moment of the blow.
        self.orphans: dict[str, float] = {}
        self.broke: BaseException | None = None

    # The producers

    def trigger_all(self) -> None:
        """Have every trigger accepted, at a pace at which the blows are spread over the whole run."""
        client = urllib3.PoolManager(retries=False, timeout=30.0)
        for first in range(0, self.triggers, BATCH):
            numbers = range(first, min(first + BATCH, self.triggers))
            self._accept(client, {"triggers": [_trigger(number) for number in numbers]})
            self.accepted += len(numbers)
            if self.broke is not None:
                raise self.broke
            while self.accepted - self._finished() > 500:
                time.sleep(0.1)

    def _accept(self, client: urllib3.PoolManager, body: dict[str, Any]) -> None:
        while True:
            with suppress(urllib3.exceptions.HTTPError):
                answer = client.request(
                    "POST",
                    f"{self.copy.access['url']}/api/triggers/batch",
                    json=body,
                    headers={"Authorization": f"Bearer {self.copy.access['apiKey']}"},
                )
                if answer.status == 202 and not answer.json()["rejected"]:
                    return
                if answer.status != 503 and answer.status != 202:
                    raise RuntimeError(f"{answer.status}: {answer.data[:300]!r}")
            self.asked_again += 1
            time.sleep(0.2)

    # The blows

    def strike_all(self) -> None:
        """Spread the blows evenly over the triggers; what goes wrong in here ends the run."""
        try:
            self._strike()
        except Exception as error:
            self.broke = error

    def _strike(self) -> None:
        blow = 0
        while self.blows.kills < self.kills:
            while self.accepted < self.triggers * self.blows.kills / self.kills:
                time.sleep(0.02)
            blow += 1
            if blow % RESTART_EVERY == 0:
                self._restart_postgres()
            elif blow % FLUSH_EVERY == 0:
                self._flush_redis()
            else:
                self._kill_a_worker()

    def _kill_a_worker(self) -> None:
        name = self.dice.choice(["generation-0", "generation-0", "sending-0", "sending-0", "executions-0", "scheduler"])
        process = self._program(name)
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        self.blows.kills += 1
        running = self._rows(
            "select id from executions where status = 'running' and lease_owner like %s", (f"%:{process}:%",)
        )
        for (execution_id,) in running:
            self.orphans.setdefault(execution_id, time.time())

    def _flush_redis(self) -> None:
        with closing(redis.Redis.from_url(str(self.copy.access["redisUrl"]))) as client, suppress(redis.RedisError):
            client.flushall()
            self.blows.flushes += 1

    def _restart_postgres(self) -> None:
        process = self._program("postgres")
        if process is not None:
            os.kill(process, signal.SIGINT)
            self.blows.restarts += 1

    def _program(self, name: str) -> int | None:
        return self.copy.programs().get(name)

    # The books

    def _rows(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query; asked again for as long as PostgreSQL is away."""
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

    def _finished(self) -> int:
        return int(self._rows("select count(*) from executions where finished_at is not null")[0][0])

    def come_to_rest(self) -> float:
        """Wait until nothing moves any more, or for as long as it may take; the seconds."""
        began = time.monotonic()
        while time.monotonic() - began < REST_SECONDS:
            open_ = self._rows(
                "select count(*) from executions where finished_at is null "
                "or id in (select execution_id from messages where look_up_at is not null)"
            )[0][0]
            if not open_:
                break
            time.sleep(0.5)
        return time.monotonic() - began

    def settle(self) -> dict[str, int]:
        """Hold the sandbox's record against the database."""
        answer = urllib3.request("GET", f"{self.copy.access['sandboxUrl']}/_sandbox/messages?provider=mailgun")
        taken = Counter(message["body"]["v:beckon_key"] for message in answer.json()["messages"])
        messages = dict(self._rows("select key, status from messages"))
        at_end = self._finished()
        unknown = {key for key, status in messages.items() if status == "outcome_unknown"}
        called_sent = {key for key, status in messages.items() if status == "sent"}
        ends = self._rows(
            "select id, extract(epoch from finished_at)::float from executions where finished_at is not null"
        )
        self.blows.resumed = [max(0.0, at - self.orphans[one]) for one, at in ends if one in self.orphans]
        return {
            "lost": self.triggers - at_end + len(called_sent - taken.keys()),
            "duplicated": sum(times - 1 for times in taken.values()),
            "unknown": len(unknown),
            "unknown and taken": len(unknown & taken.keys()),
        }


def _trigger(number: int) -> dict[str, Any]:
    contact = {"externalId": f"c-{number}", "firstName": "Ada", "email": f"c{number}@example.com"}
    return {"type": "chaos.began", "contact": contact, "idempotencyKey": f"chaos-{number}"}


def main(triggers: int = 2000, kills: int = 20) -> int:
    """Strike, settle, print; 1 when a guarantee broke."""
    seed = int(time.time())
    with running_copy(BECKON_LEASE_SECONDS=LEASE_SECONDS, BECKON_LOG_LEVEL="WARNING") as copy:
        copy.only_automation("Chaos", WRITTEN)
        chaos = Chaos(copy, triggers, kills, random.Random(seed))
        began = time.monotonic()
        striking = threading.Thread(target=chaos.strike_all, daemon=True)
        striking.start()
        chaos.trigger_all()
        striking.join()
        rest = chaos.come_to_rest()
        found, took = chaos.settle(), time.monotonic() - began
        verified = copy.command("verify", check=False)
    blows = chaos.blows
    show(f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {took:.0f} s, {machine()}")
    table(
        ("", ""),
        [
            ("triggers accepted", chaos.accepted), ("kills of worker processes", blows.kills),
            ("Redis emptied", blows.flushes), ("PostgreSQL restarted", blows.restarts),
            ("requests asked again after a 503", chaos.asked_again),
            ("lost", found["lost"]), ("duplicated", found["duplicated"]), ("unknown", found["unknown"]),
            ("unknown, but taken by the provider", found["unknown and taken"]),
            ("executions cut off by a kill", len(blows.resumed)),
            ("slowest resume, from the kill to the end", f"{max(blows.resumed, default=0):.1f} s"),
            ("to rest after the last trigger", f"{rest:.1f} s"),
            ("beckon verify", "holds" if verified.returncode == 0 else "BROKEN"),
        ],
    )  # fmt: skip
    if verified.returncode != 0:
        show(verified.stdout + verified.stderr)
    return int(bool(found["lost"] or found["duplicated"] or verified.returncode))


if __name__ == "__main__":
    sys.exit(main(*(int(one) for one in sys.argv[1:])))
