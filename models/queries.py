"""Runs queries: peewee's, and the hand-written SQL of the modules that measured a need for it.

Rows leave `models/` as typed dicts. Each query names the TypedDict of its rows, and its columns are compared with it:
a type never describes rows that the query does not return. psycopg2 already converts the values, so peewee's conversion
of rows is not used.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, TypeVar, cast

import peewee

from models.database import db

Statement = peewee.Query | str
Parameters = Sequence[Any] | Mapping[str, Any]
T = TypeVar("T")


def fetch(row_type: type[T], statement: Statement, parameters: Parameters = ()) -> list[T]:
    """Return every row of a query as `row_type`, a TypedDict.

    `parameters` belong to hand-written SQL. Raises `TypeError` if the query's columns are not those of `row_type`.
    """
    cursor = _run(statement, parameters)
    names = [column.name for column in cursor.description]
    _check_columns(row_type, names)
    return cast(list[T], [dict(zip(names, values, strict=True)) for values in cursor.fetchall()])


def fetch_first(row_type: type[T], statement: Statement, parameters: Parameters = ()) -> T | None:
    """Return the first row of a query as `row_type`, or None. Raises as `fetch` does."""
    rows = fetch(row_type, statement, parameters)
    return rows[0] if rows else None


def fetch_value(statement: Statement, parameters: Parameters = ()) -> Any:
    """Return the first column of the first row, or None without a row."""
    row = _run(statement, parameters).fetchone()
    return row[0] if row else None


def fetch_values(statement: Statement, parameters: Parameters = ()) -> list[Any]:
    """Return the first column of every row."""
    return [row[0] for row in _run(statement, parameters).fetchall()]


def execute(statement: Statement, parameters: Parameters = ()) -> int:
    """Run a statement; return how many rows it changed."""
    return int(_run(statement, parameters).rowcount)


def exists(query: peewee.ModelSelect[Any]) -> bool:
    """Return whether a query has a row."""
    return fetch_value(query.limit(1)) is not None


def count(query: peewee.ModelSelect[Any]) -> int:
    """Return how many rows a query has, whatever its columns."""
    return int(fetch_value(query.select(peewee.fn.count(peewee.SQL("*")))))


def call(function: Any) -> peewee.Query:
    """Build the query of a call's rows, `select * from function(...)`: `call(fn.find_session(digest))`."""
    return peewee.Select([function], [peewee.SQL("*")]).bind(db)


def now() -> Any:
    """Build the current time of the database, as the application counts it."""
    return peewee.fn.beckon_now()


def acting_workspace() -> Any:
    """Build the id of the workspace that the transaction acts as."""
    return peewee.fn.acting_workspace()


def seconds(number: float | None) -> Any:
    """Build an interval of so many seconds; null for None."""
    return peewee.fn.make_interval(0, 0, 0, 0, 0, 0, number)


def all_of(*conditions: Any) -> peewee.Expression:
    """Build the conjunction of one or more conditions."""
    return cast(peewee.Expression, reduce(operator.and_, conditions))


def is_distinct_from(column: Any, value: Any) -> peewee.Expression:
    """Build `column is distinct from value`: unlike `!=`, it is true for null."""
    return peewee.Expression(column, "is distinct from", value)


def is_any(column: Any, ids: Sequence[str]) -> peewee.Expression:
    """Build `column = any(ids)`, with one parameter for any number of ids."""
    return peewee.Expression(column, "=", peewee.fn.any(peewee.Value(list(ids), unpack=False).cast("uuid[]")))


def _run(statement: Statement, parameters: Parameters) -> Any:
    if isinstance(statement, str):
        return db.execute_sql(statement, parameters)
    # The database's context, and not the query's: a query of no model has none.
    return db.execute_sql(*db.get_sql_context().parse(statement))


def _check_columns(row_type: Any, names: Sequence[str]) -> None:
    declared: frozenset[str] = row_type.__required_keys__ | row_type.__optional_keys__
    if len(names) != len(declared) or declared.symmetric_difference(names):
        raise TypeError(f"the query returns {', '.join(names)}; {row_type.__name__} has {', '.join(sorted(declared))}")
