"""The pool of connections, and the only ways to reach it: a transaction, and a transaction acting as one workspace.

A process opens the pool once, as one of the two bound roles or as the owner (migrations alone). The dashboard reads
and writes a tenant's rows only inside `acting_as`; outside of it row security shows it nothing. What must happen after
a commit is given to `db.after_commit`, which waits for the outermost one.

Nothing depends on startup options or on the session's state, because a connection pooler drops both. The first
statement of every transaction sets the role, the workspace and all other settings for that transaction alone. It
travels with BEGIN, or with the statement itself outside of a transaction, so it costs no round trip.
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
#: The mode of a transaction that names none, whatever the session's default is.
_ISOLATION = "isolation level read committed"

# Ids are texts everywhere in the application; peewee has psycopg2 make UUID objects of them.
_ID = new_type((2950,), "ID", lambda text, _: text)
register_type(_ID)
register_type(new_array_type((2951,), "IDS", _ID))


# JSON columns are read with the parser that writes them.
register_default_json(globally=True, loads=orjson.loads)
register_default_jsonb(globally=True, loads=orjson.loads)


class ReadOnlyServer(peewee.OperationalError):
    """The server answers, but is a standby or was told to take no writes: for us it is away."""


class RoleMismatch(peewee.OperationalError):
    """The connection does not act as the program's role, so row security would not hold: nothing was read or written.

    For us the server is away, as with WritesRefused: requests get 503, workers try again.
    """


def _build_first_statement(role: Role | None, workspace: str, last_column: str) -> str:
    """Everything that a transaction needs, set for it alone. `workspace` and `last`, its last column, are SQL."""
    settings = {
        "beckon.workspace": workspace,
        "beckon.clock_offset": f"'{clock.OFFSET_SECONDS}'",
        # Without this, a temporary table that another client of a pooler left is read in place of ours.
        "search_path": "'public, pg_temp'",
        "row_security": "'on'",
        # What is acknowledged is on disk. An operator's stricter or weaker choice that is durable stays.
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
    """A column that makes PostgreSQL itself refuse whatever follows in the same message, unless `role` is acting."""
    if role is None:
        return "null"
    return f"case current_user when '{role}' then 0 else ('acts as ' || current_user || ', not {role}')::integer end"


class _Pool(PooledPostgresqlDatabase):  # type: ignore[misc]
    """Peewee's pool. Every transaction is bound to the process's role in its first statement, and a server without
    writes counts as one that is away and not as a mistake of ours."""

    def act_as(self, role: Role | None) -> None:
        """Bind every later transaction to `role`; to nothing for the owner."""
        self._role = role
        self._first_statement = _build_first_statement(role, "%s", "current_user")
        first = _build_first_statement(role, "''", _build_role_check(role))
        self._prefix = f"set transaction {_ISOLATION}; {first}"

    def begin(self, workspace_id: str = "", mode: str = _ISOLATION) -> None:
        """Begin a transaction, bound in the same round trip. `mode` is SQL's transaction mode.

        Raises RoleRefused where another role would act.
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
        """`sql` as a transaction of its own that is bound like any other, to be sent as one message."""
        return f"{self._prefix}; {sql}"

    def execute_bound(self, cursor: Any, sql: str, parameters: Any) -> None:
        """Run `bound(sql)` with psycopg2's own cursor and errors. Raises RoleRefused as `begin` does."""
        try:
            cursor.execute(self.build_bound_sql(sql), parameters)
        except (psycopg2.ProgrammingError, psycopg2.DataError):
            self._check_role()
            raise

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """One statement; outside of a transaction, one of its own."""
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
        """After an error that may be the role's or the statement's: raises RoleRefused if it was the role's."""
        self.begin()
        self.rollback()


db = _Pool(None)
db.act_as(None)
_parameters: dict[str, Any] = {}


def build_connection_parameters(url: str) -> dict[str, Any]:
    """What psycopg2 needs to connect to `url`."""
    parameters: dict[str, Any] = dict(parse_dsn(url))
    parameters.setdefault("connect_timeout", "5")
    parameters.setdefault("application_name", "beckon")
    return parameters


def is_direct(connection: Any) -> bool:
    """Whether PostgreSQL itself is at the other end of this connection of psycopg2's. A pooler announces a process id
    of its own; behind one, nothing may be kept in the session."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return bool(cursor.fetchone()[0] == connection.info.backend_pid)


def open_pool(url: str, role: Role | None, size: int) -> None:
    """Point the process at PostgreSQL: at most `size` connections, kept for five idle minutes."""
    parameters = build_connection_parameters(url)
    if not db.is_closed():
        db.close()
    # Idle connections would go on to wherever the pool pointed before.
    db.close_idle()
    _parameters.clear()
    _parameters.update(parameters)
    db.act_as(role)
    # Peewee keeps what an earlier URL said and this one does not.
    db.connect_params = {}
    db.init(parameters.pop("dbname"), max_connections=size, stale_timeout=300, timeout=10, **parameters)


def open_dedicated_connection() -> Any:
    """A connection outside the pool, for what belongs to a session: the caller closes it, and binds what it runs by
    `db.execute_bound`, each statement a transaction."""
    dedicated = psycopg2.connect(**_parameters)
    dedicated.autocommit = True
    return dedicated


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
def snapshot() -> Iterator[None]:
    """A read-only transaction that sees one moment; never inside another transaction."""
    with connection(), db.atomic("", "isolation level repeatable read read only"):
        yield


@contextmanager
def acting_as(workspace_id: str) -> Iterator[None]:
    """A transaction that sees and writes the rows of one workspace alone."""
    with connection():
        is_nested = db.in_transaction()
        with db.atomic(workspace_id):
            if is_nested:
                db.execute_sql("select set_config('beckon.workspace', %s, true)", (workspace_id,))
            yield


def fetch_rows(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
    """Every row of a query, as dicts by column name."""
    cursor = db.execute_sql(sql, parameters)
    if cursor.description is None:
        return []
    names = [column.name for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def fetch_row(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
    """The first row of a query, or None."""
    rows = fetch_rows(sql, parameters)
    return rows[0] if rows else None


def fetch_value(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
    """The first column of the first row, or None."""
    row = db.execute_sql(sql, parameters).fetchone()
    return row[0] if row else None


def execute(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
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


def unwrap_driver_error(error: BaseException) -> BaseException:
    """psycopg2's own error inside the one that peewee raised for it."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, psycopg2.Error) else error
