"""Response times of the lists: executions, contacts, one contact, and the summary above every page.

The tables are filled with a month of work, with half as many contacts as executions and half again as many messages.
They are queried as the dashboard does: through `models.reports`, as the role under row security, once to warm up and
then forty times. The table also has the processor time, which does not depend on other work on the machine. Fails if a
p95 is 100 ms or more. Run: `python benchmarks/lists.py [executions]`; 2,000,000 executions need 6 GB of disk space, and
filling them takes some minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta

import lists_filling
from measurements import describe_machine, percentile, read_processor_seconds, show, show_table
from own_servers import run_servers

import clock
from models import database, migrations, queries
from models.execution_filters import ExecutionFilters
from models.reports import contacts, executions, summary
from models.reports.contacts import ContactFilters

LIMIT_MS = 100.0
REPETITIONS = 40
PAGE_SIZE = 51

Query = Callable[[], object]


def main(size: int) -> int:
    """Fill the tables, measure and print. Returns 1 if a limit is missed."""
    with run_servers() as servers:
        migrations.migrate(servers.database_url)
        began = time.monotonic()
        dataset = lists_filling.fill(servers.database_url, size)
        show(
            f"{size:,} executions of {size // 2:,} contacts, {describe_machine()}; "
            f"filled in {time.monotonic() - began:.0f} s"
        )
        return measure(servers.database_url, dataset)


def measure(url: str, dataset: lists_filling.Dataset) -> int:
    """Measure every query and print the result. Returns 1 if a query is too slow."""
    database.open_pool(url, "beckon_app", 1)
    with database.connection():
        backend = queries.fetch_value("select pg_backend_pid()")
    lines, slow = [], []
    for name, query in build_queries(dataset).items():
        query()
        before = read_processor_seconds(backend) + time.process_time()
        ms = [measure_ms(query) for _ in range(REPETITIONS)]
        processor_ms = (read_processor_seconds(backend) + time.process_time() - before) / REPETITIONS * 1000
        lines.append([name, *(f"{percentile(ms, fraction):.1f}" for fraction in (0.5, 0.95)), f"{processor_ms:.1f}"])
        if percentile(ms, 0.95) >= LIMIT_MS:
            slow.append(name)
    show_table(("ms", "p50", "p95", "processor"), lines)
    show(f"NOT UNDER {LIMIT_MS:g} ms at p95: {', '.join(slow)}" if slow else f"All are under {LIMIT_MS:g} ms at p95")
    return int(bool(slow))


def measure_ms(query: Query) -> float:
    """Measure one query in milliseconds."""
    began = time.monotonic()
    query()
    return (time.monotonic() - began) * 1000


def build_queries(dataset: lists_filling.Dataset) -> dict[str, Query]:
    """Build the queries by their name in the table."""
    workspace_id, now = dataset.workspace_id, clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)

    def list_executions(before: str | None = None, **conditions: object) -> Query:
        filters = ExecutionFilters(**conditions)  # type: ignore[arg-type]
        return lambda: executions.fetch_page(workspace_id, filters, PAGE_SIZE, before)

    def list_contacts(before: str | None = None, **conditions: str) -> Query:
        filters = ContactFilters(**conditions)  # type: ignore[arg-type]
        return lambda: contacts.fetch_page(workspace_id, filters, limit=PAGE_SIZE, before=before)

    return {
        "Executions": list_executions(),
        "Executions, from the middle": list_executions(before=dataset.middle_execution),
        **{f"Executions, status={status}": list_executions(status=status) for status in
           ("pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled")},
        "Executions, status=failed, errorClass=rate_limit": list_executions(status="failed", error_class="rate_limit"),
        "Executions, errorClass=auth (none)": list_executions(error_class="auth"),
        **{f"Executions, stage={stage}": list_executions(stage=stage) for stage in
           ("generating", "ready_to_send", "sent", "skipped")},
        "Executions, in flight": list_executions(in_flight=True),
        "Executions, in review": list_executions(review=True),
        "Executions, outcome unknown": list_executions(status="failed", outcome_unknown=True),
        "Executions, tests": list_executions(test=True),
        "Executions, of an active automation": list_executions(automation_id=dataset.active_automation),
        "Executions, of an active automation, failed": list_executions(
            automation_id=dataset.active_automation, status="failed"),
        "Executions, of an inactive automation": list_executions(automation_id=dataset.inactive_automation),
        "Executions, of an inactive automation, failed": list_executions(
            automation_id=dataset.inactive_automation, status="failed"),
        "Executions, of an active contact": list_executions(contact_id=dataset.active_contact),
        "Executions, of a day": list_executions(since=now - timedelta(days=9), until=now - timedelta(days=8)),
        "Executions, sent today": list_executions(sent_since=midnight, test=False),
        "Executions, q is an e-mail": list_executions(q=dataset.email),
        "Executions, q is a common word": list_executions(q=dataset.common_word),
        "Executions, q is a common prefix": list_executions(q=dataset.common_word[:2]),
        "Executions, q is a rare word": list_executions(q=dataset.rare_word),
        "Executions, q is in no name": list_executions(q="nobody"),
        "Executions, q is a common word, failed": list_executions(q=dataset.common_word, status="failed"),
        "Executions, q is an execution's id": list_executions(q=dataset.middle_execution),
        "the summary above every page": lambda: summary.count_now(workspace_id, midnight),
        "Contacts": list_contacts(),
        "Contacts, from the middle": list_contacts(before=dataset.middle_contact),
        "Contacts, q is an e-mail": list_contacts(q=dataset.email),
        "Contacts, q is a common word": list_contacts(q=dataset.common_word),
        "Contacts, q is a common prefix": list_contacts(q=dataset.common_word[:2]),
        "Contacts, q is a rare word": list_contacts(q=dataset.rare_word),
        "Contacts, q is two words": list_contacts(q=f"{dataset.common_word} {dataset.rare_word}"),
        "Contacts, q is in no name": list_contacts(q="nobody"),
        "Contacts, of a common tag": list_contacts(tag="lead"),
        "Contacts, of a rare tag": list_contacts(tag="board"),
        "Contacts, suppressed": list_contacts(suppressed="any"),
        "Contacts, suppressed on Facebook (few)": list_contacts(suppressed="facebook"),
        "one contact: conversation": lambda: contacts.fetch_conversation(workspace_id, dataset.active_contact, 50),
        "one contact: executions in flight": lambda: contacts.count_in_flight(workspace_id, dataset.active_contact),
        "one execution": lambda: executions.fetch_detail(workspace_id, dataset.middle_execution),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
