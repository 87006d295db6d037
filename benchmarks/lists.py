"""How long a person waits for the lists: executions, contacts, one contact, and the numbers above every page.

Tables are filled as a month of work leaves them, with half as many contacts as executions and half again as many
messages, and then asked as the dashboard asks: through `models.reports`, by the role that row security binds, once to
warm up and then forty times. Beside the time that passed stands the processor's, which other work on the machine does
not lengthen. Fails where a p95 is over 100 ms. Run: `python benchmarks/lists.py [executions]`; 2,000,000 need 6 GB on
the disk, and some minutes until they are filled in.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta

import lists_filling
from measures import machine, percentile, processor_seconds, show, table
from own_servers import own_servers

import clock
from models import database, migrations
from models.reports import contacts, executions, summary
from models.reports.contacts import ContactFilters
from models.reports.filters import ExecutionFilters

LIMIT_MS = 100.0
TIMES = 40
PAGE = 51

Question = Callable[[], object]


def main(size: int) -> int:
    """Fill, measure and print; 1 when a limit is missed."""
    with own_servers() as ground:
        migrations.migrate(ground.database_url)
        began = time.monotonic()
        filled = lists_filling.fill(ground.database_url, size)
        show(f"{size:,} executions of {size // 2:,} contacts, {machine()}; filled in {time.monotonic() - began:.0f} s")
        return measure(ground.database_url, filled)


def measure(url: str, filled: lists_filling.Filled) -> int:
    """Ask every question, and say which were answered too late."""
    database.open_pool(url, "beckon_app", 1)
    with database.connection():
        backend = database.value("select pg_backend_pid()")
    lines, late = [], []
    for name, ask in questions(filled).items():
        ask()
        before = processor_seconds(backend) + time.process_time()
        ms = [timed(ask) for _ in range(TIMES)]
        own = (processor_seconds(backend) + time.process_time() - before) / TIMES * 1000
        lines.append([name, *(f"{percentile(ms, part):.1f}" for part in (0.5, 0.95)), f"{own:.1f}"])
        if percentile(ms, 0.95) >= LIMIT_MS:
            late.append(name)
    table(("ms", "p50", "p95", "processor"), lines)
    show(f"NOT UNDER {LIMIT_MS:g} ms at p95: {', '.join(late)}" if late else f"All are under {LIMIT_MS:g} ms at p95")
    return int(bool(late))


def timed(ask: Question) -> float:
    """Milliseconds of one asking."""
    began = time.monotonic()
    ask()
    return (time.monotonic() - began) * 1000


def questions(filled: lists_filling.Filled) -> dict[str, Question]:
    """What is asked, by its name in the table."""
    ours, now = filled.workspace_id, clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)

    def listed(before: str | None = None, **wanted: object) -> Question:
        filters = ExecutionFilters(**wanted)  # type: ignore[arg-type]
        return lambda: executions.page(ours, filters, PAGE, before)

    def people(before: str | None = None, **wanted: str) -> Question:
        filters = ContactFilters(**wanted)  # type: ignore[arg-type]
        return lambda: contacts.page(ours, filters, limit=PAGE, before=before)

    return {
        "Executions": listed(),
        "Executions, from the middle on": listed(before=filled.middle_execution),
        **{f"Executions, status={one}": listed(status=one) for one in
           ("pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled")},
        "Executions, status=failed, errorClass=rate_limit": listed(status="failed", error_class="rate_limit"),
        "Executions, errorClass=auth (none)": listed(error_class="auth"),
        **{f"Executions, stage={one}": listed(stage=one) for one in ("generating", "ready_to_send", "sent", "skipped")},
        "Executions, in flight": listed(in_flight=True),
        "Executions, to be reviewed": listed(review=True),
        "Executions, outcome unknown": listed(status="failed", outcome_unknown=True),
        "Executions, tests": listed(test=True),
        "Executions, of a busy automation": listed(automation_id=filled.busy_automation),
        "Executions, of a busy automation, failed": listed(automation_id=filled.busy_automation, status="failed"),
        "Executions, of a quiet automation": listed(automation_id=filled.quiet_automation),
        "Executions, of a quiet automation, failed": listed(automation_id=filled.quiet_automation, status="failed"),
        "Executions, of a busy contact": listed(contact_id=filled.busy_contact),
        "Executions, of a day": listed(since=now - timedelta(days=9), until=now - timedelta(days=8)),
        "Executions, sent today": listed(sent_since=midnight, test=False),
        "Executions, q is an e-mail": listed(q=filled.email),
        "Executions, q is a common word": listed(q=filled.common_word),
        "Executions, q is a common beginning": listed(q=filled.common_word[:2]),
        "Executions, q is a rare word": listed(q=filled.rare_word),
        "Executions, q is in nobody's name": listed(q="nobody"),
        "Executions, q is a common word, failed": listed(q=filled.common_word, status="failed"),
        "Executions, q is an execution's id": listed(q=filled.middle_execution),
        "the numbers above every page": lambda: summary.summary(ours, midnight),
        "Contacts": people(),
        "Contacts, from the middle on": people(before=filled.middle_contact),
        "Contacts, q is an e-mail": people(q=filled.email),
        "Contacts, q is a common word": people(q=filled.common_word),
        "Contacts, q is a common beginning": people(q=filled.common_word[:2]),
        "Contacts, q is a rare word": people(q=filled.rare_word),
        "Contacts, q is two words": people(q=f"{filled.common_word} {filled.rare_word}"),
        "Contacts, q is in nobody's name": people(q="nobody"),
        "Contacts, of a common tag": people(tag="lead"),
        "Contacts, of a rare tag": people(tag="board"),
        "Contacts, suppressed": people(suppressed="any"),
        "Contacts, suppressed on Facebook (few)": people(suppressed="facebook"),
        "one contact: conversation": lambda: contacts.conversation(ours, filled.busy_contact, 50),
        "one contact: executions in flight": lambda: contacts.in_flight(ours, filled.busy_contact),
        "one execution": lambda: executions.detail(ours, filled.middle_execution),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
