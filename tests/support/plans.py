"""How many rows PostgreSQL reads for a statement, whatever it knows about the tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from models.database import db, transaction
from tests.support.rows import fetch_rows

_CLEAR = """
    select pg_clear_relation_stats('public', c.relname) from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'i');
    select pg_clear_attribute_stats('public', s.tablename, s.attname, s.inherited) from pg_stats s
    where s.schemaname = 'public'
"""


def analyze(owner_url: str) -> None:
    """Give PostgreSQL statistics of the tables as they are."""
    _run(owner_url, "analyze")


def clear_statistics(owner_url: str) -> None:
    """Take all statistics of the tables from PostgreSQL, as before the first ANALYZE. Needs PostgreSQL 18."""
    _run(owner_url, _CLEAR)


def _run(owner_url: str, sql: str) -> None:
    with closing(psycopg2.connect(owner_url)) as owner, owner.cursor() as cursor:
        owner.autocommit = True
        cursor.execute(sql)


@dataclass(frozen=True)
class Scan:
    """What one scan of a plan read: rows it returned and rows it filtered, over all its loops."""

    relation: str
    rows: int
    statement: str
    #: `Index Only Scan` and so on, with the index where there is one.
    kind: str = ""
    index: str = ""

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.relation}: {' '.join(self.statement.split())[:120]}"


def count_rows_read(run: Callable[[], object]) -> dict[str, int]:
    """Run statements, undone, and count the rows that they read of each table, also within functions."""
    with transaction(), db.atomic() as undone:
        before = _count_rows_read_so_far()
        run()
        after = _count_rows_read_so_far()
        undone.rollback()
    return {table: rows - before.get(table, 0) for table, rows in after.items()}


def _count_rows_read_so_far() -> dict[str, int]:
    counted = fetch_rows(
        "select relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows from pg_stat_xact_user_tables"
    )
    return {row["relname"]: row["rows"] for row in counted}


@contextmanager
def recorded_scans() -> Iterator[list[Scan]]:
    """Plan and run every statement of this process's pool twice, first under EXPLAIN, undone; collect its scans."""
    scans: list[Scan] = []
    original: Callable[..., Any] = db.execute_sql
    original_bound: Callable[..., Any] = db.execute_bound

    def explain_first(sql: str, params: Any = None) -> Any:
        if any(map(_has_plan, sql.split("; "))):
            with db.atomic() as undone:
                for statement, parameters in _split(sql, params):
                    if _has_plan(statement):
                        explained = original(f"explain (analyze, format json, timing off) {statement}", parameters)
                        scans.extend(_list_scans(explained.fetchone()[0][0]["Plan"], statement))
                    elif statement != "commit":
                        original(statement, parameters)
                undone.rollback()
        return original(sql, params)

    def explain_bound_first(cursor: Any, sql: str, params: Any) -> None:
        if _has_plan(sql):
            db.begin()
            cursor.execute(f"explain (analyze, format json, timing off) {sql}", params)
            scans.extend(_list_scans(cursor.fetchone()[0][0]["Plan"], sql))
            cursor.execute("rollback")
        original_bound(cursor, sql, params)

    db.execute_sql, db.execute_bound = explain_first, explain_bound_first
    try:
        yield scans
    finally:
        del db.execute_sql, db.execute_bound


def _has_plan(statement: str) -> bool:
    return statement.split(maxsplit=1)[0].lower() in ("select", "insert", "update", "delete", "with", "execute")


def _split(message: str, params: Any) -> Iterator[tuple[str, Any]]:
    """The statements of one message, each with its parameters."""
    if isinstance(params, dict) or not params:
        yield from ((statement, params) for statement in message.split("; "))
        return
    remaining = list(params)
    for statement in message.split("; "):
        count = statement.count("%s")
        yield statement, remaining[:count]
        remaining = remaining[count:]


#: The end of a partition's name, after that of its table.
_PARTITION = re.compile(r"_(\d{4}(_\d{2})+|default)$")


def _list_scans(node: dict[str, Any], sql: str) -> Iterator[Scan]:
    if "Relation Name" in node and "Scan" in node["Node Type"]:
        read = node["Actual Rows"] + sum(
            node.get(name, 0) for name in ("Rows Removed by Filter", "Rows Removed by Index Recheck")
        )
        table = _PARTITION.sub("", node["Relation Name"])
        yield Scan(table, round(read * node["Actual Loops"]), sql, node["Node Type"], node.get("Index Name", ""))
    for child in node.get("Plans", ()):
        yield from _list_scans(child, sql)
