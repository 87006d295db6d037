"""Response times of the search and the pages with ten million executions and a million contacts.

The database is filled once and kept (`large_database.py`). It is queried as the dashboard does: through
`models.reports` and the search, as the role under row security. Fails if a search takes 300 ms or more at p95, or a
list or a number above a page 100 ms. Run: `make bench-large`, or `python benchmarks/large.py [executions]`.
"""

from __future__ import annotations

import sys
import time

import large_database
import lists
from large_database import LargeDatabase, open_large_database
from measurements import describe_machine, percentile, show, show_table

from dashboard import search_results
from models import database

SEARCH_LIMIT_MS = 300.0
REPETITIONS = 40


def main(executions: int) -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    large_database.shift_clock(executions)
    with open_large_database(executions) as large:
        show(f"{large.executions:,} executions, {large.contacts:,} contacts, {describe_machine()}")
        database.open_pool(large.url, "beckon_app", 1)
        lines, missed = [], []
        for name, (query, limit_ms) in build_queries(large).items():
            ms = measure(query)
            p95 = percentile(ms, 0.95)
            lines.append([name, f"{percentile(ms, 0.5):.1f}", f"{p95:.1f}", f"{limit_ms:g}"])
            if p95 >= limit_ms:
                missed.append(name)
        database.db.close_all()
    show_table(("ms", "p50", "p95", "limit"), lines)
    show(f"NOT UNDER THE LIMIT at p95: {', '.join(missed)}" if missed else "All are under their limits at p95")
    return int(bool(missed))


def measure(query: lists.Query) -> list[float]:
    """Measure the repetitions of a query in milliseconds, after one to warm up."""
    query()
    return [lists.measure_ms(query) for _ in range(REPETITIONS)]


def build_queries(large: LargeDatabase) -> dict[str, tuple[lists.Query, float]]:
    """Build the queries with their limits in ms, by their name in the table."""
    dataset = large.dataset
    searches = {
        "a contact's address": dataset.email,
        "a contact's external id": "c-77",
        "a contact's phone number": "+15550000077",
        "a common name": dataset.common_word,
        "a common beginning": dataset.common_word[:2],
        "a single letter": "a",
        "a rare name": dataset.rare_word,
        "two words": f"{dataset.rare_word} {dataset.common_word[:1]}",
        "a domain": "example",
        "no match": "nobody",
        "an execution's id": dataset.middle_execution,
        "an active contact's id": dataset.active_contact,
        "an automation's name": "Automation 7",
        "a message's provider id": dataset.provider_message_id,
        "an error": "rate limit",
    }
    queries = {
        f"Search: {name}": (_build_search(dataset.workspace_id, text), SEARCH_LIMIT_MS)
        for name, text in searches.items()
    }
    return queries | {name: (query, lists.LIMIT_MS) for name, query in lists.build_queries(dataset).items()}


def _build_search(workspace_id: str, text: str) -> lists.Query:
    return lambda: search_results.find_groups(workspace_id, text, 5)


if __name__ == "__main__":
    began = time.monotonic()
    code = main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
    show(f"{time.monotonic() - began:.0f} s in all")
    sys.exit(code)
