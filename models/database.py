"""The connection pool, and the only ways to use it: a transaction, and a transaction acting as one workspace.

A process opens the pool once, as one of the two bound roles or as the owner (only for migrations). The dashboard reads
and writes a tenant's rows only inside `acting_as`; outside of it row security hides every row. Code that must run after
a commit is registered with `db.after_commit`, which waits for the outermost transaction.

Nothing depends on startup options or session state, because a connection pooler drops both. The first statement of
every transaction sets the role, the workspace and all other settings for that transaction only. It is sent with BEGIN,
or with the statement itself outside of a transaction, so it costs no round trip.
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

#: The server cancels a statement that takes longer.
STATEMENT_TIMEOUT_MS = 30_000
#: The isolation of a transaction that names none, whatever the session's default.
_ISOLATION = "isolation level read committed"

# Ids are strings everywhere in the application; peewee makes psycopg2 return UUID objects.
_ID = new_type((2950,), "ID", lambda text, _: text)
register_type(_ID)
register_type(new_array_type((2951,), "IDS", _ID))


# JSON columns are read with the same library that writes them.
register_default_json(globally=True, loads=orjson.loads)
register_default_jsonb(globally=True, loads=orjson.loads)


class ReadOnlyServer(peewee.OperationalError):
    """The server is a standby or configured as read-only; Beckon treats it as unavailable."""


class RoleMismatch(peewee.OperationalError):
    """The connection does not act as the program's role, so row security would not hold: nothing was read or written.

    Beckon treats the server as unavailable, as with ReadOnlyServer: requests get 503, workers try again.
    """


def _build_first_statement(role: Role | None, workspace: str, last_column: str) -> str:
    """Build the statement that sets everything for one transaction. `workspace` and `last_column` are SQL."""
    settings = {
        "beckon.workspace": workspace,
        "beckon.clock_offset": f"'{clock.OFFSET_SECONDS}'",
        # Without this, a temporary table left by another client of a pooler would hide ours.
        "search_path": "'public, pg_temp'",
        "row_security": "'on'",
        # An acknowledged commit is on disk. An operator's other durable setting is kept.
        "synchronous_commit": "case current_setting('synchronous_commit') when 'off' then 'on' "
        "else current_setting('synchronous_commit') end",
        "timezone": "'UTC'",
        "statement_timeout": f"'{STATEMENT_TIMEOUT_MS}'",
        "lock_timeout": "'0'",
        "idle_in_transaction_session_timeout": "'60000'",
    }
    if role is not None:
        # First, so that the columns after it are computed as this role.
        settings = {"role": f"'{role}'", **settings}
    columns = [f"set_config('{name}', {value}, true)" for name, value in settings.items()]
    return f"select {', '.join([*columns, last_column])}"


def _build_role_check(role: Role | None) -> str:
    """Build a column that makes PostgreSQL reject the rest of the same message unless `role` is acting."""
    if role is None:
        return "null"
    return f"case current_user when '{role}' then 0 else ('acts as ' || current_user || ', not {role}')::integer end"


class _Pool(PooledPostgresqlDatabase):  # type: ignore[misc]
    """Peewee's pool, which binds every transaction to the process's role in its first statement and treats a read-only
    server as unavailable."""

    def act_as(self, role: Role | None) -> None:
        """Bind every later transaction to `role`; None, for the owner, binds to no role."""
        self._role = role
        self._first_statement = _build_first_statement(role, "%s", "current_user")
        first = _build_first_statement(role, "''", _build_role_check(role))
        self._prefix = f"set transaction {_ISOLATION}; {first}"

    def begin(self, workspace_id: str = "", mode: str = _ISOLATION) -> None:
        """Begin a transaction and bind it in the same round trip. `mode` is SQL's transaction mode.

        Raises RoleMismatch if another role would act.
        """
        try:
            acting_role = super().execute_sql(f"begin {mode}; {self._first_statement}", (workspace_id,)).fetchone()[-1]
        except peewee.PeeweeException as error:
            self._roll_back_if_open()
            if isinstance(error, peewee.ProgrammingError | peewee.DataError):
                raise RoleMismatch(f"PostgreSQL refuses the role {self._role}: {error}") from error
            raise
        if self._role not in (None, acting_role):
            self._roll_back_if_open()
            raise RoleMismatch(f"the connection acts as {acting_role}, not as {self._role}")

    def _roll_back_if_open(self) -> None:
        if not self.connection().closed:
            self.rollback()

    def build_bound_sql(self, sql: str) -> str:
        """Return `sql` as a bound transaction of its own, sent as one message."""
        return f"{self._prefix}; {sql}"

    def execute_bound(self, cursor: Any, sql: str, parameters: Any) -> None:
        """Run `build_bound_sql(sql)` with psycopg2's own cursor and errors. Raises RoleMismatch as `begin` does."""
        try:
            cursor.execute(self.build_bound_sql(sql), parameters)
        except (psycopg2.ProgrammingError, psycopg2.DataError):
            self._check_role()
            raise

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run one statement; outside of a transaction, in one of its own."""
        is_standalone = not self.in_transaction()
        try:
            return super().execute_sql(self.build_bound_sql(sql) if is_standalone else sql, params)
        except peewee.InternalError as error:
            if isinstance(unwrap_driver_error(error), ReadOnlySqlTransaction):
                raise ReadOnlyServer(str(error)) from error
            raise
        except (peewee.ProgrammingError, peewee.DataError):
            if is_standalone:
                self._check_role()
            raise

    def _check_role(self) -> None:
        """Raise RoleMismatch if the previous error came from the role and not from the statement."""
        self.begin()
        self.rollback()


db = _Pool(None)
db.act_as(None)
_parameters: dict[str, Any] = {}


def build_connection_parameters(url: str) -> dict[str, Any]:
    """Return psycopg2's parameters to connect to `url`."""
    parameters: dict[str, Any] = dict(parse_dsn(url))
    parameters.setdefault("connect_timeout", "5")
    parameters.setdefault("application_name", "beckon")
    return parameters


def is_direct(connection: Any) -> bool:
    """Return whether this psycopg2 connection reaches PostgreSQL without a pooler. A pooler reports a process id of its
    own; behind one, the session must hold no state."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return bool(cursor.fetchone()[0] == connection.info.backend_pid)


def open_pool(url: str, role: Role | None, size: int) -> None:
    """Open the process's pool: at most `size` connections, each closed after five idle minutes."""
    parameters = build_connection_parameters(url)
    if not db.is_closed():
        db.close()
    # Idle connections still point to the previous URL.
    db.close_idle()
    _parameters.clear()
    _parameters.update(parameters)
    db.act_as(role)
    # Peewee keeps parameters of an earlier URL that this one lacks.
    db.connect_params = {}
    db.init(parameters.pop("dbname"), max_connections=size, stale_timeout=300, timeout=10, **parameters)


def open_dedicated_connection() -> Any:
    """Open a connection outside the pool, for session state. The caller closes it, and runs each statement as a
    transaction with `db.execute_bound`."""
    dedicated = psycopg2.connect(**_parameters)
    dedicated.autocommit = True
    return dedicated


@contextmanager
def connection() -> Iterator[None]:
    """Provide a connection for the calling thread, released at the end unless the thread already had one."""
    if not db.is_closed():
        yield
        return
    with db.connection_context():
        yield


@contextmanager
def transaction() -> Iterator[None]:
    """Run the block in a transaction on a connection of the calling thread."""
    with connection(), db.atomic():
        yield


@contextmanager
def snapshot() -> Iterator[None]:
    """Run the block in a read-only transaction that sees one snapshot; never inside another transaction."""
    with connection(), db.atomic("", "isolation level repeatable read read only"):
        yield


@contextmanager
def acting_as(workspace_id: str) -> Iterator[None]:
    """Run the block in a transaction that sees and writes only the rows of one workspace."""
    with connection():
        is_nested = db.in_transaction()
        with db.atomic(workspace_id):
            if is_nested:
                db.execute_sql("select set_config('beckon.workspace', %s, true)", (workspace_id,))
            yield


def fetch_rows(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
    """Return every row of a query, as dicts by column name."""
    cursor = db.execute_sql(sql, parameters)
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def fetch_row(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
    """Return the first row of a query, or None."""
    rows = fetch_rows(sql, parameters)
    return rows[0] if rows else None


def fetch_value(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
    """Return the first column of the first row, or None."""
    row = db.execute_sql(sql, parameters).fetchone()
    return row[0] if row else None


def execute(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
    """Run a statement; return how many rows it changed."""
    return int(db.execute_sql(sql, parameters).rowcount)


#: Errors of psycopg2, and of peewee around it, when the server is down, restarting, out of connections or read-only.
CONNECTION_ERRORS = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    ReadOnlySqlTransaction,
    peewee.OperationalError,
    peewee.InterfaceError,
    MaxConnectionsExceeded,
)


def unwrap_driver_error(error: BaseException) -> BaseException:
    """Return psycopg2's error inside the one that peewee raised for it, else the error itself."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, psycopg2.Error) else error
