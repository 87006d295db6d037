"""Response times of the search and the pages with ten million executions and a million contacts.

The database is filled once and kept (`large_database.py`). It is queried as the dashboard does: through
`models.reports` and the search, as the role under row security, and by complete pages without the network. Fails if a
search or a page takes 300 ms or more at p95, an answer of Analytics about 90 days 200 ms, or a query of a list 100 ms.
Run: `make bench-large`, or `python benchmarks/large.py [executions]`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import large_analytics
import large_database
import lists
from large_database import LargeDatabase, open_large_database
from measurements import describe_machine, percentile, show, show_table
from own_dashboard import run_dashboard
from own_engine import set_environment

from dashboard import search_results
from models import database

#: Of a search, and of a complete page.
LIMIT_MS = 300.0
REPETITIONS = 40
#: A slow query is not repeated for longer.
MAX_SECONDS = 3.0


def main(executions: int) -> int:
    """Measure and print. Returns 1 if a limit is missed."""
    large_database.shift_clock(executions)
    with open_large_database(executions) as large:
        show(f"{large.executions:,} executions, {large.contacts:,} contacts, {describe_machine()}")
        set_environment(large.servers)
        database.open_pool(large.servers.database_url, "beckon_service", 1)
        large_analytics.prepare(large.servers.database_url, large.dataset.workspace_id)
        database.open_pool(large.servers.database_url, "beckon_app", 1)
        results = [measure(name, *query) for name, query in build_queries(large).items()]
        database.db.close_all()
        with run_dashboard(large.dataset.workspace_id) as fetch:
            results += [measure(name, *page) for name, page in build_pages(large, fetch).items()]
    show_table(("ms", "p50", "p95", "limit"), [result.format() for result in results])
    missed = [result.name for result in results if result.p95 >= result.limit_ms]
    show(f"NOT UNDER THE LIMIT at p95: {', '.join(missed)}" if missed else "All are under their limits at p95")
    return int(bool(missed))


@dataclass(frozen=True)
class Result:
    """The milliseconds of a query at two percentiles, and its limit at p95."""

    name: str
    p50: float
    p95: float
    limit_ms: float

    def format(self) -> list[str]:
        """Return the line of the table."""
        return [self.name, f"{self.p50:.1f}", f"{self.p95:.1f}", f"{self.limit_ms:g}"]


def measure(name: str, query: lists.Query, limit_ms: float) -> Result:
    """Measure the repetitions of a query, after one to warm up."""
    query()
    ms: list[float] = []
    while len(ms) < REPETITIONS and sum(ms) < MAX_SECONDS * 1000:
        ms.append(lists.measure_ms(query))
    return Result(name, percentile(ms, 0.5), percentile(ms, 0.95), limit_ms)


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
        f"Search: {name}": (_build_search(dataset.workspace_id, text), LIMIT_MS) for name, text in searches.items()
    }
    analytics = large_analytics.build_queries(dataset.workspace_id, dataset.active_automation)
    return analytics | queries | {name: (query, lists.LIMIT_MS) for name, query in lists.build_queries(dataset).items()}


def build_pages(large: LargeDatabase, fetch: Callable[[str], None]) -> dict[str, tuple[lists.Query, float]]:
    """Build the requests of complete pages with their limits in ms, by their name in the table."""
    dataset = large.dataset
    paths = (
        "/overview", "/failures", "/failures/retries", "/executions", "/executions/pending", "/contacts",
        "/automations", "/analytics", "/queues", "/health", "/summary", f"/executions?q={dataset.common_word}",
        f"/search?q={dataset.common_word}", f"/api/search?q={dataset.rare_word}",
    )  # fmt: skip
    return {f"GET {path}": (partial(fetch, path), LIMIT_MS) for path in paths}


def _build_search(workspace_id: str, text: str) -> lists.Query:
    return lambda: search_results.find_groups(workspace_id, text, 5)


if __name__ == "__main__":
    began = time.monotonic()
    code = main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
    show(f"{time.monotonic() - began:.0f} s in all")
    sys.exit(code)
