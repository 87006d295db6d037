"""Hand-written statements that a direct connection prepares once: planning them costs several times as much as running
them.

`db.execute_calls` runs them prepared in transactions that begin with their first statement and outside of any, and as
they are written everywhere else. Behind a pooler each transaction may get another session, so nothing is prepared
there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any


@dataclass(frozen=True)
class PreparedStatement:
    """One statement with psycopg2's `%s` for each parameter, whose types in PostgreSQL are `types`, in order."""

    name: str
    types: tuple[str, ...]
    sql: str

    @cached_property
    def prepare_sql(self) -> str:
        """The SQL that prepares the statement in a session."""
        numbers = count(1)
        body = re.sub("%s", lambda _: f"${next(numbers)}", self.sql)
        return f"prepare {self.name} ({', '.join(self.types)}) as {body}"

    @cached_property
    def execute_sql(self) -> str:
        """The SQL that runs the statement where it is prepared, with the same parameters as `sql`."""
        return f"execute {self.name}({', '.join(f'%s::{kind}' for kind in self.types)})"


#: A statement with its parameters.
Call = tuple[PreparedStatement | str, Sequence[Any]]


def join_calls(calls: Sequence[Call], *, prepared: bool) -> tuple[str, list[Any]]:
    """Join statements to one message, with the parameters of all."""
    message = "; ".join(_write(statement, prepared) for statement, _ in calls)
    return message, [parameter for _, parameters in calls for parameter in parameters]


def _write(statement: PreparedStatement | str, prepared: bool) -> str:
    if isinstance(statement, str):
        return statement
    return statement.execute_sql if prepared else statement.sql
