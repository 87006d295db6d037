"""Chaos test: steady triggers while processes are killed and everything around them fails; counts losses.

A complete copy of Beckon runs on servers of its own, each behind a proxy, with a second scheduler. Each trigger has its
own idempotency key and contact; what is refused is sent again, as any producer would do. Kills and the other faults
(`chaos_faults.KINDS`: processes and servers that stand still, refusals, dead connections, a stopped leader, floods, an
emptied Redis, restarts) are mixed and spread over the triggers. Then everything must settle, and the messages that the
sandbox received are compared with the database:

    lost         accepted, and neither finished nor waiting for a look-up; or marked as sent although the provider
                 received nothing
    duplicated   messages beyond the first that the provider received with one key
    unknown      outcome unknown: the send was interrupted, and the provider has no record of it so far (the last
                 look-up is 35 minutes after the send, and this run does not wait for it)
    healed       seconds from a fault's end to the end of an execution that was triggered then, the slowest of its kind
    resume       seconds from a kill to the end of the executions that ran under the killed process's lease

Run: `python benchmarks/chaos.py [triggers] [kills] [faults]`. Fails if anything was lost or sent twice, or if `verify`
fails.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime

from chaos_faults import Faults
from chaos_servers import run_chaos_copy
from chaos_triggers import Producer
from measurements import describe_machine, show, show_table

#: Seconds within which everything must settle after the last trigger.
SETTLE_TIMEOUT_SECONDS = 450.0
#: The look-ups within a minute of a send find what the provider has; the later ones only confirm that it has nothing.
LOOK_UPS = 3
LEASE_SECONDS = "10"


def await_settled(producer: Producer) -> float:
    """Wait until everything has settled, or for SETTLE_TIMEOUT_SECONDS. Returns the seconds until all was finished."""
    began, finished_seconds = time.monotonic(), 0.0
    while time.monotonic() - began < SETTLE_TIMEOUT_SECONDS:
        rows = producer.fetch_rows(
            "select (select count(*) from executions where finished_at is null "
            "and id not in (select execution_id from messages where look_up_at is not null)), "
            "(select count(*) from messages where look_up_at is not null and look_ups < %s)", (LOOK_UPS,),
        )  # fmt: skip
        unfinished, looked_up = rows[0]
        if unfinished:
            finished_seconds = time.monotonic() - began
        elif not looked_up:
            break
        time.sleep(0.5)
    return finished_seconds


def compare_with_sandbox(producer: Producer) -> dict[str, int]:
    """Compare the messages that the sandbox received with the database."""
    producer.collect_received()
    received = Counter(producer.received.values())
    messages = dict(producer.fetch_rows("select key, status from messages"))
    settled = producer.fetch_rows(
        "select count(*) from executions where finished_at is not null "
        "or id in (select execution_id from messages where look_up_at is not null)"
    )[0][0]
    unknown = {key for key, status in messages.items() if status == "outcome_unknown"}
    sent = {key for key, status in messages.items() if status == "sent"}
    return {
        "lost": producer.accepted + producer.extra - settled + len(sent - received.keys()),
        "duplicated": sum(count - 1 for count in received.values()),
        "unknown": len(unknown),
        "unknown but received": len(unknown & received.keys()),
    }


def measure_resume(producer: Producer, orphans: dict[str, float]) -> list[float]:
    """Measure the seconds from each kill to the end of the executions that it interrupted."""
    rows = producer.fetch_rows(
        "select id, extract(epoch from finished_at)::float from executions where finished_at is not null"
    )
    return [max(0.0, at - orphans[execution_id]) for execution_id, at in rows if execution_id in orphans]


def main(triggers: int = 2000, kills: int = 10, faults: int = 10) -> int:
    """Inject faults, wait, print the result. Returns 1 if a guarantee was violated."""
    seed, began = int(time.time()), time.monotonic()
    with run_chaos_copy(BECKON_LEASE_SECONDS=LEASE_SECONDS, BECKON_LOG_LEVEL="WARNING") as (servers, copy):
        producer = Producer(copy, servers.admin_url, triggers)
        injector = Faults(servers, copy, producer, random.Random(seed))
        # PostgreSQL ends with the thread that restarted it: the faults are this one's.
        producing = threading.Thread(target=producer.post_all, daemon=True)
        producing.start()
        injector.inject(kills, faults)
        producing.join()
        if producer.error is not None:
            raise producer.error
        settle_seconds = await_settled(producer)
        result = compare_with_sandbox(producer)
        resume_seconds = measure_resume(producer, injector.record.orphans)
        verification = copy.run_command("verify", check=False)
    show(f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, {time.monotonic() - began:.0f} s, {describe_machine()}")
    record = injector.record
    show_table(
        ("fault", "times", "healed within, s"),
        [(kind, count, f"{record.healed_seconds[kind]:.1f}") for kind, count in sorted(record.counts.items())],
    )
    show_table(
        ("", ""),
        [
            ("triggers accepted", producer.accepted + producer.extra),
            ("requests repeated", producer.retries),
            ("lost", result["lost"]), ("duplicated", result["duplicated"]), ("of unknown outcome", result["unknown"]),
            ("– of these received by the provider", result["unknown but received"]),
            ("executions interrupted by a kill", len(resume_seconds)),
            ("slowest resume, from the kill to the end", f"{max(resume_seconds, default=0):.1f} s"),
            ("slowest takeover from a leader that stands still", f"{max(record.takeovers, default=0):.1f} s"),
            ("all finished after the last trigger", f"{settle_seconds:.1f} s"),
            ("beckon verify", "holds" if verification.returncode == 0 else "BROKEN"),
        ],
    )  # fmt: skip
    if verification.returncode != 0:
        show(verification.stdout + verification.stderr)
    return int(bool(result["lost"] or result["duplicated"] or verification.returncode))


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
