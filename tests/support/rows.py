"""Rows of SQL that a test writes, untyped: the tables as they are, whatever the models say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.database import db


def fetch_rows(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """Every row of a statement, by column name; none of one that returns nothing."""
    cursor = db.execute_sql(sql, parameters)
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def fetch_row(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> dict[str, Any] | None:
    """The first row of a query, or None."""
    rows = fetch_rows(sql, parameters)
    return rows[0] if rows else None
