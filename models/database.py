"""The pool of connections, and the only ways to reach it: a transaction, and a transaction acting as one workspace.

A process opens the pool once, as one of the two bound roles or as the owner (migrations alone). The dashboard reads
and writes a tenant's rows only inside `acting_as`; outside of it row security shows it nothing. What must happen after
a commit is given to `db.after_commit`, which waits for the outermost one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import orjson
import peewee
import psycopg2
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import new_array_type, new_type, parse_dsn, register_type
from psycopg2.extras import register_default_json, register_default_jsonb

import clock

Role = Literal["beckon_app", "beckon_service"]
Row = dict[str, Any]

#: The process's pool. A statement that takes longer than this many ms is ended by the server.
STATEMENT_TIMEOUT_MS = 30_000

# Ids are texts everywhere in the application; peewee has psycopg2 make UUID objects of them.
_ID = new_type((2950,), "ID", lambda text, _: text)
register_type(_ID)
register_type(new_array_type((2951,), "IDS", _ID))


# JSON columns are read with the parser that writes them.
register_default_json(globally=True, loads=orjson.loads)
register_default_jsonb(globally=True, loads=orjson.loads)


class WritesRefused(peewee.OperationalError):
    """The server answers, but is a standby or was told to take no writes: for us it is away."""


class _Pool(PooledPostgresqlDatabase):  # type: ignore[misc]
    """Peewee's pool, which takes a server without writes for one that is away and not for a mistake of ours."""

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """One statement."""
        try:
            return super().execute_sql(sql, params)
        except peewee.InternalError as error:
            if isinstance(driver_error(error), ReadOnlySqlTransaction):
                raise WritesRefused(str(error)) from error
            raise


db = _Pool(None)
_parameters: dict[str, Any] = {}


def connection_parameters(url: str, role: Role | None) -> dict[str, Any]:
    """What psycopg2 needs to connect to `url`, taking on `role` where the URL's own user is the owner."""
    parameters: dict[str, Any] = dict(parse_dsn(url))
    settings = {
        "beckon.clock_offset": str(clock.OFFSET_SECONDS),
        "timezone": "UTC",
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": "60000",
    }
    if role is not None and parameters.get("user") != role:
        settings["role"] = role
    options = [parameters.pop("options", ""), *(f"-c {name}={value}" for name, value in settings.items())]
    parameters["options"] = " ".join(filter(None, options))
    parameters.setdefault("connect_timeout", "5")
    parameters.setdefault("application_name", "beckon")
    return parameters


def open_pool(url: str, role: Role | None, size: int) -> None:
    """Point the process at PostgreSQL: at most `size` connections, kept for five idle minutes."""
    parameters = connection_parameters(url, role)
    if not db.is_closed():
        db.close()
    # Idle connections would go on to wherever the pool pointed before.
    db.close_idle()
    _parameters.clear()
    _parameters.update(parameters)
    db.init(parameters.pop("dbname"), max_connections=size, stale_timeout=300, timeout=10, **parameters)


def lone_connection() -> Any:
    """A connection outside the pool, for what belongs to a session: the caller closes it."""
    return psycopg2.connect(**_parameters)


@contextmanager
def connection() -> Iterator[None]:
    """A connection for the calling thread, given back at the end unless the thread already had one."""
    if not db.is_closed():
        yield
        return
    with db.connection_context():
        yield


@contextmanager
def transaction() -> Iterator[None]:
    """All or nothing, on a connection of the calling thread."""
    with connection(), db.atomic():
        yield


@contextmanager
def acting_as(workspace_id: str) -> Iterator[None]:
    """A transaction that sees and writes the rows of one workspace alone."""
    with transaction():
        db.execute_sql("select set_config('beckon.workspace', %s, true)", (workspace_id,))
        yield


def rows(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
    """Every row of a query, as dicts by column name."""
    cursor = db.execute_sql(sql, parameters)
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def row(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
    """The first row of a query, or None."""
    found = rows(sql, parameters)
    return found[0] if found else None


def value(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
    """The first column of the first row, or None."""
    first = db.execute_sql(sql, parameters).fetchone()
    return first[0] if first else None


def changed(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
    """How many rows a statement changed."""
    return int(db.execute_sql(sql, parameters).rowcount)


#: What is raised when the server is gone, restarting, out of connections or takes no writes: by psycopg2, and by
#: peewee around it.
CONNECTION_ERRORS = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    ReadOnlySqlTransaction,
    peewee.OperationalError,
    peewee.InterfaceError,
    MaxConnectionsExceeded,
)


def driver_error(error: BaseException) -> BaseException:
    """psycopg2's own error inside the one that peewee raised for it."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, psycopg2.Error) else error
