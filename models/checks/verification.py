"""Checks every invariant against the whole database, all in one snapshot."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from models.checks.invariants import INVARIANTS, Invariant
from models.database import fetch_row, fetch_rows, snapshot

#: Violations listed by id; all are counted.
MAX_EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """The result of one invariant: the number of violations, the first ids, and the duration."""

    name: str
    promise: str
    violations: int
    examples: list[str]
    duration_ms: int

    @property
    def holds(self) -> bool:
        """Whether there is no violation."""
        return self.violations == 0


def verify(workspace_id: str | None = None, only: Collection[str] = ()) -> Iterator[Finding]:
    """Yield each invariant's finding as it completes, for one workspace or all. `only` selects invariants by name.

    Runs in one read-only snapshot that lasts until the iterator is exhausted, so later changes are not seen. Needs the
    service's connection, outside of any transaction.
    """
    with snapshot():
        fetch_rows("set local statement_timeout = 0")
        for invariant in [invariant for invariant in INVARIANTS if not only or invariant.name in only]:
            yield _check(invariant, workspace_id)


def _check(invariant: Invariant, workspace_id: str | None) -> Finding:
    started = time.perf_counter()
    row = fetch_row(
        f"select count(*) as violations, (array_agg(v.id order by v.id))[1:{MAX_EXAMPLES}] as examples "
        f"from ({invariant.sql}) v where %(workspace)s::uuid is null or v.workspace_id = %(workspace)s::uuid",
        {"workspace": workspace_id},
    )
    assert row is not None
    duration_ms = round((time.perf_counter() - started) * 1000)
    return Finding(invariant.name, invariant.promise, row["violations"], row["examples"] or [], duration_ms)
