"""Runs queries: peewee's, and the hand-written SQL of the modules that measured a need for it.

Rows leave `models/` as typed dicts or as dataclasses. Each query names the type of its rows, and its columns are
compared with it: a type never describes rows that the query does not return. psycopg2 already converts the values, so
peewee's conversion of rows is not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, cast

import peewee

from models.database import db
from models.prepared import Call, PreparedStatement

Statement = peewee.Query | PreparedStatement | str
Parameters = Sequence[Any] | Mapping[str, Any]
T = TypeVar("T")


def fetch(row_type: type[T], statement: Statement, parameters: Parameters = ()) -> list[T]:
    """Return every row of a query as `row_type`, a TypedDict or a dataclass.

    `parameters` belong to hand-written SQL. Raises `TypeError` if the query's columns are not those of `row_type`.
    """
    return _build_rows(row_type, _run(statement, parameters))


def _build_rows(row_type: type[T], cursor: Any) -> list[T]:
    names = [column.name for column in cursor.description]
    _check_columns(row_type, names)
    rows = [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
    return [row_type(**row) for row in rows] if is_dataclass(row_type) else cast(list[T], rows)


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


def fetch_together(row_type: type[T], calls: Sequence[Call]) -> list[T]:
    """Run hand-written statements of a transaction in one round trip; return the rows of the last, as `fetch` does.

    PostgreSQL runs none after one that fails.
    """
    return _build_rows(row_type, db.execute_calls(calls))


def execute_together(calls: Sequence[Call], *, commits: bool = False) -> None:
    """Run hand-written statements of a transaction in one round trip, as `fetch_together` does, with its COMMIT if they
    are the last."""
    db.execute_calls(calls, commits=commits)


def execute(statement: Statement, parameters: Parameters = ()) -> int:
    """Run a statement; return how many rows it changed."""
    return int(_run(statement, parameters).rowcount)


def exists(query: peewee.ModelSelect[Any]) -> bool:
    """Return whether a query has a row, whatever its columns."""
    return bool(_run(query.limit(1), ()).fetchone())


def count(query: peewee.ModelSelect[Any]) -> int:
    """Return how many rows a query has, whatever its columns. It has neither groups nor a limit."""
    return int(fetch_value(query.select(peewee.fn.count(peewee.SQL("*")))))


def call(function: Any, row_type: Any = None) -> peewee.Query:
    """Build the query of a call: of its single value, or of its rows as `row_type`.

    The columns are named, because a migration may add one while programs of the earlier version run.
    """
    columns = [peewee.SQL("*")] if row_type is None else [peewee.Entity(name) for name in row_type.__annotations__]
    return peewee.Select([function], columns).bind(db)


def _run(statement: Statement, parameters: Parameters) -> Any:
    if isinstance(statement, str):
        return db.execute_sql(statement, parameters)
    if isinstance(statement, PreparedStatement):
        return db.execute_calls([(statement, cast(Sequence[Any], parameters))])
    # The database's context, and not the query's: a query of no model has none.
    return db.execute_sql(*db.get_sql_context().parse(statement))


def _check_columns(row_type: Any, names: Sequence[str]) -> None:
    if is_dataclass(row_type):
        declared = frozenset(field.name for field in fields(row_type))
    else:
        declared = row_type.__required_keys__ | row_type.__optional_keys__
    if len(names) != len(declared) or declared.symmetric_difference(names):
        raise TypeError(f"the query returns {', '.join(names)}; {row_type.__name__} has {', '.join(sorted(declared))}")
