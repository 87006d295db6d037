"""Checks every invariant against the whole database, all in one snapshot.

The query is written by hand, as those of `models.checks.invariants` are.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TypedDict

from models.checks.invariants import INVARIANTS, PARAMETERS, Invariant
from models.database import snapshot
from models.queries import execute, fetch

#: Violations listed by id; all are counted.
MAX_EXAMPLES = 10


_COUNT = """
    select count(*) as violations, coalesce((array_agg(v.id order by v.id))[1:%(most)s], '{}') as examples from (
"""
_OF_WORKSPACE = """
    ) v where %(workspace)s::uuid is null or v.workspace_id = %(workspace)s::uuid
"""


class ViolationsRow(TypedDict):
    """How many violations an invariant has, and the first ids."""

    violations: int
    examples: list[str]


@dataclass(frozen=True)
class Finding:
    """The result of one invariant: the number of violations, the first ids, and the duration."""

    name: str
    promise: str
    violations: int
    examples: list[str]
    duration_ms: int
    is_lateness: bool = False

    @property
    def holds(self) -> bool:
        """Whether there is no violation."""
        return self.violations == 0

    @property
    def is_late(self) -> bool:
        """Whether work is late, which ends by itself: no row is wrong."""
        return self.is_lateness and not self.holds

    @property
    def is_violated(self) -> bool:
        """Whether rows are wrong."""
        return not self.holds and not self.is_lateness


def verify(workspace_id: str | None = None, only: Collection[str] = ()) -> Iterator[Finding]:
    """Yield each invariant's finding as it completes, for one workspace or all. `only` selects invariants by name.

    Runs in one read-only snapshot that lasts until the iterator is exhausted, so later changes are not seen. Needs the
    service's connection, outside of any transaction.
    """
    with snapshot():
        execute("set local statement_timeout = 0")
        for invariant in [invariant for invariant in INVARIANTS if not only or invariant.name in only]:
            yield _check(invariant, workspace_id)


def _check(invariant: Invariant, workspace_id: str | None) -> Finding:
    started = time.perf_counter()
    parameters = {**PARAMETERS, "workspace": workspace_id, "most": MAX_EXAMPLES}
    (row,) = fetch(ViolationsRow, "".join((_COUNT, invariant.sql, _OF_WORKSPACE)), parameters)
    duration_ms = round((time.perf_counter() - started) * 1000)
    return Finding(
        invariant.name, invariant.promise, row["violations"], row["examples"], duration_ms, invariant.is_lateness
    )
