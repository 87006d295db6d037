"""Parts of queries that many modules need and peewee does not have."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any, cast

import peewee


def now() -> Any:
    """Build the current time of the database, as the application counts it."""
    return peewee.fn.beckon_now()


def acting_workspace() -> Any:
    """Build the id of the workspace that the transaction acts as."""
    return peewee.fn.acting_workspace()


def build_seconds(number: float | None) -> Any:
    """Build an interval of so many seconds; null for None."""
    return peewee.fn.make_interval(0, 0, 0, 0, 0, 0, number)


def is_locked(column: Any, target: Any) -> peewee.Expression:
    """Build `column = target.id`, for an update of the rows that the CTE `target` has locked.

    The ids are named twice: a planner that believes the table to be empty would join all of it with the CTE.
    """
    ids = peewee.Select([target], [target.c.id])
    named: peewee.Expression = column == target.c.id
    return named & peewee.Expression(column, "=", peewee.fn.any(peewee.fn.array(ids)))


def all_of(*conditions: Any) -> peewee.Expression:
    """Build the conjunction of one or more conditions."""
    return cast(peewee.Expression, reduce(operator.and_, conditions))


def any_of(*conditions: Any) -> peewee.Expression:
    """Build the disjunction of one or more conditions."""
    return cast(peewee.Expression, reduce(operator.or_, conditions))


def is_distinct_from(column: Any, value: Any) -> peewee.Expression:
    """Build `column is distinct from value`: unlike `!=`, it is true for null."""
    return peewee.Expression(column, "is distinct from", value)


def is_any(column: Any, ids: Sequence[str]) -> peewee.Expression:
    """Build `column = any(ids)`, with one parameter for any number of ids."""
    return peewee.Expression(column, "=", peewee.fn.any(peewee.Value(list(ids), unpack=False).cast("uuid[]")))
