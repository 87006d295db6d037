"""The connection pool, and the only ways to use it: a transaction, and a transaction acting as one workspace.

A process opens the pool once, as one of the two bound roles or as the owner (only for migrations). The dashboard reads
and writes a tenant's rows only inside `acting_as`; outside of it row security hides every row. Code that must run after
a commit is registered with `db.after_commit`, which waits for the outermost transaction.

Nothing depends on startup options, because a connection pooler drops them. The first statement of every transaction
sets the role and the workspace for that transaction only. It is sent with BEGIN, or with the statement itself outside
of a transaction, so it costs no round trip. All other settings are part of it as well, except on a connection that
reaches PostgreSQL without a pooler: there they are set once, with a mark, which every first statement checks. A
connection without its mark is one of a pooler, and gets all settings with every transaction. Statements are prepared on
direct connections alone, too (`models/prepared.py`).
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import peewee
import psycopg2
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase
from psycopg2.errors import InvalidSqlStatementName, ReadOnlySqlTransaction
from psycopg2.extensions import new_array_type, new_type, parse_dsn, register_type
from psycopg2.extras import register_default_json, register_default_jsonb

import clock
from models import fencing, server_waits
from models.commit_outcome import reporting_lost_commits
from models.connection_liveness import has_unread_bytes
from models.fencing import LeadershipLost
from models.ids import is_id
from models.prepared import Call, PreparedStatement, join_calls
from models.server_waits import ConnectionDead, WatchedConnection
from rules.json_text import load_json

Role = Literal["beckon_app", "beckon_service"]

#: The server cancels a statement that takes longer.
STATEMENT_TIMEOUT_MS = 30_000
#: An idle connection that was not used for longer is asked whether it is alive before it is used.
QUIET_SECONDS = 5.0
#: The isolation of a transaction that names none, whatever the session's default.
_ISOLATION = "isolation level read committed"

# Ids are strings everywhere in the application; peewee makes psycopg2 return UUID objects.
_ID = new_type((2950,), "ID", lambda text, _: text)
register_type(_ID)
register_type(new_array_type((2951,), "IDS", _ID))


# JSON columns are read with the same library that writes them.
register_default_json(globally=True, loads=load_json)
register_default_jsonb(globally=True, loads=load_json)


class ReadOnlyServer(peewee.OperationalError):
    """The server is a standby or configured as read-only; Beckon treats it as unavailable."""


class RoleMismatch(peewee.OperationalError):
    """The connection does not act as the program's role, so row security would not hold: nothing was read or written.

    Beckon treats the server as unavailable, as with ReadOnlyServer: requests get 503, workers try again.
    """


#: The mark of a session whose settings were made by this process.
_SESSION = secrets.token_hex(8)
_SEARCH_PATH = "public, pg_temp"
#: The search path and row security are compared, too: they decide what a statement sees.
_HAS_MARK = (
    f"(coalesce(current_setting('beckon.session', true), '') = '{_SESSION}' "
    f"and current_setting('search_path') = '{_SEARCH_PATH}' and current_setting('row_security') = 'on')"
)


def _build_settings() -> dict[str, str]:
    """Build the settings of every transaction, as SQL."""
    return {
        "beckon.clock_offset": f"'{clock.OFFSET_SECONDS}'",
        # Without this, a temporary table left by another client of a pooler would hide ours.
        "search_path": f"'{_SEARCH_PATH}'",
        "row_security": "'on'",
        # An acknowledged commit is on disk. An operator's other durable setting is kept, as it was at the connection.
        "synchronous_commit": "case current_setting('synchronous_commit') when 'off' then 'on' "
        "else current_setting('synchronous_commit') end",
        "timezone": "'UTC'",
        "statement_timeout": f"'{STATEMENT_TIMEOUT_MS}'",
        "lock_timeout": "'0'",
        "idle_in_transaction_session_timeout": "'60000'",
    }


#: Settings of transactions that run prepared statements, as SQL. A plan is made while the tables may be empty, and is
#: kept while they grow: a scan that is cheap over ten rows would otherwise run over a million.
_PLANNER_SETTINGS = {
    "plan_cache_mode": "'force_generic_plan'",
    **dict.fromkeys(("jit", "enable_seqscan", "enable_hashjoin", "enable_mergejoin"), "'off'"),
}


class _Connection(WatchedConnection):
    """A connection that knows whether its session keeps the settings of every transaction, whose pool it is, and which
    statements its session has prepared."""

    has_settings = False
    pool_number = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prepared: set[str] = set()


class _Cursor(psycopg2.extensions.cursor):
    """A cursor that raises OperationalError for every lost connection, where psycopg2 may raise DatabaseError."""

    def execute(self, query: Any, parameters: Any = None) -> None:
        """Run a statement."""
        try:
            super().execute(query, parameters)
        except psycopg2.DatabaseError as error:
            # An error of the server has a code and a class of its own; this one is libpq's.
            if type(error) is psycopg2.DatabaseError and error.pgcode is None:
                raise psycopg2.OperationalError(str(error)) from error
            raise


def _build_first_statement(role: Role | None, workspace: str, last_column: str, settings: Mapping[str, str]) -> str:
    """Build the statement that binds one transaction, with these settings. `workspace` and `last_column` are SQL."""
    # The role is first, so that the columns after it are computed as this role.
    values = {**({"role": f"'{role}'"} if role else {}), "beckon.workspace": workspace, **settings}
    columns = [f"set_config('{name}', {value}, true)" for name, value in values.items()]
    return f"select {', '.join([*columns, last_column])}"


def _build_role_check(role: Role | None) -> str:
    """Build a column that makes PostgreSQL reject the rest of the same message unless `role` is acting."""
    if role is None:
        return "null"
    return f"case current_user when '{role}' then 0 else ('acts as ' || current_user || ', not {role}')::integer end"


#: Where the workspace's id is in `_Binding.opening`.
_WORKSPACE = "<workspace>"
#: With the mark, so that no other error has this text.
_LOST_SETTINGS = f"session {_SESSION} has lost its settings"
#: A column that makes PostgreSQL reject the rest of the same message unless the session has its settings. The user is
#: in it because the planner would evaluate a constant, whichever branch holds.
_SESSION_CHECK = f"case when {_HAS_MARK} then 0 else ('{_LOST_SETTINGS}: ' || current_user)::integer end"


@dataclass(frozen=True)
class _Binding:
    """The statements that bind a transaction: the first after BEGIN, which returns the acting role, what precedes a
    statement that is a transaction of its own, the same for a prepared one, and what begins a transaction together with
    its first statement."""

    first: str
    prefix: str
    prepared_prefix: str
    opening: str


def _build_bindings(role: Role | None, settings_of_all: Mapping[str, str]) -> dict[bool, _Binding]:
    """Build the bindings, by whether the connection has the settings."""
    bindings = {}
    for has_settings in (False, True):
        settings = {} if has_settings else settings_of_all
        checks = [_build_role_check(role), *([_SESSION_CHECK] if has_settings else [])]
        first = _build_first_statement(role, "''", ", ".join(checks), settings)
        planner_settings = _PLANNER_SETTINGS if has_settings else {}
        planned = {**settings, **planner_settings}
        opening = _build_first_statement(role, f"'{_WORKSPACE}'", ", ".join(checks), planned)
        bindings[has_settings] = _Binding(
            _build_first_statement(role, "%s", f"{_HAS_MARK}, current_user", settings),
            f"set transaction {_ISOLATION}; {first}",
            f"set transaction {_ISOLATION}; {opening.replace(_WORKSPACE, '')}",
            f"begin {_ISOLATION}; {opening}",
        )
    return bindings


def is_direct(connection: Any) -> bool:
    """Return whether this psycopg2 connection reaches PostgreSQL without a pooler. A pooler reports a process id of its
    own; behind one, the session must hold no state."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        return bool(cursor.fetchone()[0] == connection.info.backend_pid)


def _set_up_session(connection: _Connection, settings: Mapping[str, str]) -> None:
    """Make the connection commit each message, and set every transaction's settings once unless a pooler is between."""
    connection.autocommit = True
    connection.is_direct = is_direct(connection)
    if not connection.is_direct:
        return
    values = {**settings, "beckon.session": f"'{_SESSION}'"}
    columns = [f"set_config('{name}', {value}, false)" for name, value in values.items()]
    with connection.cursor() as cursor:
        cursor.execute(f"select {', '.join(columns)}")
    connection.has_settings = True


def _answers(connection: _Connection) -> bool:
    """Ask an idle connection whether it is alive."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
    except server_waits.ServerHangs:
        raise
    except psycopg2.Error:
        return False
    return True


class _Adapter(peewee.Psycopg2Adapter):
    """Peewee's connector, which opens connections of our class and sets up their sessions."""

    def connect(self, db: Any, **params: Any) -> _Connection:
        """Open a connection, marked with the pool whose parameters these are: another thread may open the next one."""
        pool_number = params.pop("pool_number")
        options = {**params, "connection_factory": _Connection, "cursor_factory": _Cursor}
        connection: _Connection = super().connect(db, **options)  # type: ignore[no-untyped-call]
        connection.pool_number = pool_number
        _set_up_session(connection, db.settings)
        return connection

    def is_connection_closed(self, connection: Any) -> bool:
        """Return whether a connection of the pool is lost; asks the server only if there is a sign of it. Raises
        ServerHangs."""
        if self.txn_status(connection) == self.txn_idle and not has_unread_bytes(connection):
            return time.monotonic() - connection.answered_at > QUIET_SECONDS and not _answers(connection)
        return bool(super().is_connection_closed(connection))


class _Pool(PooledPostgresqlDatabase):  # type: ignore[misc]
    """Peewee's pool, which binds every transaction to the process's role in its first statement and treats a read-only
    server as unavailable."""

    psycopg2_adapter = _Adapter

    def _connect(self) -> Any:
        """Take a connection from the pool, or open one. Raises ServerHangs at once while the server hangs."""
        server_waits.server.raise_if_hanging()
        return super()._connect()

    def _is_closed(self, connection: _Connection) -> bool:
        """Return whether a connection of the pool is lost; then the others are as old, and are closed, too."""
        if not super()._is_closed(connection):
            return False
        self.close_idle()
        return True

    def _replace_connection(self) -> None:
        """Give the thread another connection for its dead one, on which nothing is kept."""
        dead = self.connection()
        with self._pool_lock:
            self._in_use.pop(self.conn_key(dead), None)
            self._close_raw(dead)
            self.close_idle()
            # The rest of the thread's state stays: its transaction begins again on the other connection.
            self._state.conn = self._connect()

    def _begin_again(self, run: Callable[[], Any]) -> Any:
        """Run what begins a transaction; once more on another connection if this one is dead, unless it also commits:
        without a commit nothing can have changed."""
        try:
            return run()
        except peewee.OperationalError as error:
            if getattr(self._state, "commits", False) or not isinstance(unwrap_driver_error(error), ConnectionDead):
                raise
        self._replace_connection()
        return run()

    def _can_reuse(self, connection: _Connection) -> bool:
        """Return whether a connection may go back to the pool: one of an earlier pool has another login."""
        return connection.pool_number == _pool_number and bool(super()._can_reuse(connection))

    def act_as(self, role: Role | None) -> None:
        """Bind every later transaction to `role`; None, for the owner, binds to no role."""
        self._role = role
        self.settings = _build_settings()
        self._bindings = _build_bindings(role, self.settings)

    def begin(
        self, workspace_id: str = "", mode: str = _ISOLATION, *, with_first: bool = False, lock_timeout_ms: int = 0
    ) -> None:
        """Begin a transaction and bind it in the same round trip. `mode` is SQL's transaction mode. `with_first` sends
        both with the first statement, whose errors are then also those of this method; `lock_timeout_ms` is for such a
        transaction, and only such a one runs prepared statements.

        Raises RoleMismatch if another role would act.
        """
        fence = fencing.get_fence() if mode == _ISOLATION else None
        if with_first and is_id(workspace_id) and fence is None:
            self._state.opening = (workspace_id, lock_timeout_ms)
            return
        try:
            has_mark, acting_role = self._begin_again(lambda: self._send_begin(workspace_id, mode))
        except peewee.PeeweeException as error:
            self._roll_back_if_open()
            if isinstance(error, peewee.ProgrammingError | peewee.DataError):
                raise RoleMismatch(f"PostgreSQL refuses the role {self._role}: {error}") from error
            raise
        connection = self.connection()
        if connection.has_settings and not has_mark:
            self._roll_back_if_open()
            connection.has_settings = False
            self.begin(workspace_id, mode)
            return
        if self._role not in (None, acting_role):
            self._roll_back_if_open()
            raise RoleMismatch(f"the connection acts as {acting_role}, not as {self._role}")
        if fence is not None:
            self._enter_fence(fence, lock_timeout_ms)

    def _send_begin(self, workspace_id: str, mode: str) -> tuple[bool, str]:
        first = self._bindings[self.connection().has_settings].first
        has_mark, acting_role = super().execute_sql(f"begin {mode}; {first}", (workspace_id,)).fetchone()[-2:]
        return has_mark, acting_role

    def _enter_fence(self, fence: fencing.Fence, lock_timeout_ms: int) -> None:
        try:
            self._run_fenced(fence, f"set local lock_timeout = {lock_timeout_ms}; {fencing.CHECK}")
        except Exception:
            self._roll_back_if_open()
            raise
        self._state.fence = fence

    def _run_fenced(self, fence: fencing.Fence, sql: str) -> None:
        fence.note_progress()
        try:
            super().execute_sql(sql, (fence.token,))
        except (peewee.DataError, peewee.InternalError) as error:
            if fencing.is_refusal(error):
                raise LeadershipLost("another scheduler leads, or the leadership's row is gone") from None
            _raise_if_read_only(error)
            raise

    def _leave_fence(self) -> fencing.Fence | None:
        """Return the fence of the open transaction, once."""
        fence: fencing.Fence | None = getattr(self._state, "fence", None)
        self._state.fence = None
        return fence

    def commit(self) -> None:
        """Commit, unless nothing was sent or the last statement did. Raises LeadershipLost if the transaction is fenced
        and its token is old, and CommitUnknown if the answer is lost."""
        self._state.prepares = False
        if self._take_opening() is not None or self._take_committed():
            return
        fence = self._leave_fence()
        with reporting_lost_commits(self._state.conn, "commit"):
            if fence is None:
                super().commit()
            else:
                self._run_fenced(fence, f"{fencing.LOCK}; commit")

    def rollback(self) -> None:
        """Roll back, unless nothing was sent, the last statement committed, or the connection is lost: the error that
        lost it says more."""
        self._state.prepares = False
        self._leave_fence()
        if self._take_opening() is None and not self._take_committed() and not self.connection().closed:
            super().rollback()

    def _take_opening(self) -> tuple[str, int] | None:
        """Return the workspace and lock timeout of a transaction that begins with its next statement, once."""
        opening: tuple[str, int] | None = getattr(self._state, "opening", None)
        self._state.opening = None
        return opening

    def _take_committed(self) -> bool:
        """Return once whether the transaction's last statement committed it."""
        committed = bool(getattr(self._state, "committed", False))
        self._state.committed = False
        return committed

    def _open_with(self, opening: tuple[str, int], sql: str, params: Any) -> Any:
        """Begin and bind a transaction with its first statement, in one message."""
        try:
            return self._begin_again(lambda: self._send_opening(opening, sql, params))
        except (peewee.ProgrammingError, peewee.DataError) as error:
            self.rollback()
            connection = self.connection()
            if not connection.has_settings or _LOST_SETTINGS not in str(error):
                self._check_role()
                raise
        # The check precedes the statement, which did not run.
        connection.has_settings = False
        return self._open_with(opening, sql, params)

    def _send_opening(self, opening: tuple[str, int], sql: str, params: Any) -> Any:
        connection = self.connection()
        self._state.prepares = connection.has_settings
        return super().execute_sql(self._build_opening(connection, *opening, sql), params)

    def _build_opening(self, connection: _Connection, workspace_id: str, lock_timeout_ms: int, sql: str) -> str:
        opening = self._bindings[connection.has_settings].opening.replace(_WORKSPACE, workspace_id)
        return (
            f"{opening}; set local lock_timeout = {lock_timeout_ms}; {sql}" if lock_timeout_ms else f"{opening}; {sql}"
        )

    def _roll_back_if_open(self) -> None:
        if not self.connection().closed:
            self.rollback()

    def execute_bound(self, cursor: Any, sql: str, parameters: Any) -> None:
        """Run `sql` as a bound transaction of its own, in one message, with psycopg2's own cursor and errors.

        Raises RoleMismatch as `begin` does.
        """
        try:
            self._run_bound(cursor.connection, lambda bound_sql: cursor.execute(bound_sql, parameters), sql)
        except (psycopg2.ProgrammingError, psycopg2.DataError):
            self._check_role()
            raise

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run one statement; outside of a transaction, in one of its own. Raises CommitUnknown if it commits and the
        answer is lost."""
        try:
            if self.in_transaction():
                if not getattr(self._state, "commits", False):
                    return self._execute_in_transaction(sql, params)
                with reporting_lost_commits(self._state.conn, "commit"):
                    return self._execute_in_transaction(sql, params)
            if fencing.get_fence() is not None:
                with self.atomic():
                    return super().execute_sql(sql, params)
            with reporting_lost_commits(self._state.conn, sql):
                return self._execute_alone(sql, params)
        except peewee.InternalError as error:
            _raise_if_read_only(error)
            raise

    def _execute_in_transaction(self, sql: str, params: Any) -> Any:
        opening = self._take_opening()
        return super().execute_sql(sql, params) if opening is None else self._open_with(opening, sql, params)

    def _execute_alone(self, sql: str, params: Any) -> Any:
        execute = super().execute_sql
        try:
            return self._run_bound(self.connection(), lambda bound_sql: execute(bound_sql, params), sql)
        except peewee.OperationalError as error:
            if not isinstance(unwrap_driver_error(error), ConnectionDead):
                raise
            return self._read_again(sql, params, error)
        except (peewee.ProgrammingError, peewee.DataError):
            self._check_role()
            raise

    def _read_again(self, sql: str, params: Any, lost: peewee.OperationalError) -> Any:
        """Run a statement of a dead connection again if it only reads; one that changes something may have done so, and
        raises the error of the lost connection."""
        self._replace_connection()
        prefix = self._bindings[self.connection().has_settings].prefix
        read_only = prefix.replace(_ISOLATION, f"{_ISOLATION} read only", 1)
        try:
            return super().execute_sql(f"{read_only}; {sql}", params)
        except peewee.InternalError as error:
            if isinstance(unwrap_driver_error(error), ReadOnlySqlTransaction):
                raise lost from None
            raise

    def execute_calls(self, calls: Sequence[Call], *, commits: bool = False) -> Any:
        """Run hand-written statements in one message, prepared where the connection is direct and the transaction began
        with its first statement; return the cursor of the last. PostgreSQL runs none after one that fails. `commits`
        ends the transaction with the same message, unless it is nested or fenced. Outside of a transaction they are one
        of their own."""
        if not commits or self.transaction_depth() != 1 or getattr(self._state, "fence", None):
            return self._execute_calls(calls)
        self._state.commits = True
        try:
            cursor = self._execute_calls([*calls, ("commit", ())])
        finally:
            self._state.commits = False
        self._state.committed = True
        return cursor

    def _execute_calls(self, calls: Sequence[Call]) -> Any:
        opening = getattr(self._state, "opening", None)
        connection = self.connection()
        is_alone = not self.in_transaction() and fencing.get_fence() is None
        if not connection.has_settings or not (opening or is_alone or getattr(self._state, "prepares", False)):
            return self.execute_sql(*join_calls(calls, prepared=False))
        self._prepare(connection, [statement for statement, _ in calls if isinstance(statement, PreparedStatement)])
        try:
            if is_alone:
                with reporting_lost_commits(connection, join_calls(calls, prepared=False)[0]):
                    return self._execute_alone_prepared(connection, calls)
            return self.execute_sql(*join_calls(calls, prepared=True))
        except peewee.OperationalError as error:
            if not isinstance(unwrap_driver_error(error), InvalidSqlStatementName):
                raise
            # Another session: a pooler that reports the process ids of PostgreSQL's own.
            connection.has_settings = False
            if opening is None and not is_alone:
                raise
        if opening is not None:
            self.rollback()
            self._state.opening = opening
        return self.execute_sql(*join_calls(calls, prepared=False))

    def _execute_alone_prepared(self, connection: _Connection, calls: Sequence[Call]) -> Any:
        """Run prepared statements as a transaction of their own, in one message."""
        sql, parameters = join_calls(calls, prepared=True)
        try:
            return super().execute_sql(f"{self._bindings[True].prepared_prefix}; {sql}", parameters)
        except (peewee.ProgrammingError, peewee.DataError) as error:
            if _LOST_SETTINGS not in str(error):
                self._check_role()
                raise
            # The check precedes the statements, which did not run.
            connection.has_settings = False
        except peewee.OperationalError as error:
            if not isinstance(unwrap_driver_error(error), ConnectionDead):
                raise
            return self._read_again(*join_calls(calls, prepared=False), error)
        return self.execute_sql(*join_calls(calls, prepared=False))

    def _prepare(self, connection: _Connection, statements: Sequence[PreparedStatement]) -> None:
        """Prepare the statements that this connection has not prepared yet, in a round trip of its own."""
        missing = [statement for statement in statements if statement.name not in connection.prepared]
        if not missing:
            return
        # After an error it is not known which exist: preparing is not undone with a transaction.
        messages = [] if connection.prepared else ["deallocate all"]
        messages += [statement.prepare_sql for statement in missing]
        try:
            super().execute_sql("; ".join(messages))
        except peewee.PeeweeException:
            connection.prepared.clear()
            raise
        connection.prepared.update(statement.name for statement in missing)

    def _run_bound(self, connection: _Connection, run: Callable[[str], Any], sql: str) -> Any:
        try:
            return run(f"{self._bindings[connection.has_settings].prefix}; {sql}")
        except (psycopg2.DataError, peewee.DataError) as error:
            if _LOST_SETTINGS not in str(error):
                raise
            # The check precedes the statement, which did not run.
            connection.has_settings = False
            return run(f"{self._bindings[False].prefix}; {sql}")

    def _check_role(self) -> None:
        """Raise RoleMismatch if the previous error came from the role and not from the statement."""
        self.begin()
        self.rollback()


db = _Pool(None)
db.act_as(None)
_parameters: dict[str, Any] = {}
_pool_numbers = itertools.count(1)
_pool_number = 0


#: A host that is gone is noticed within 20 seconds, on idle connections as well. Sockets of one host ignore these.
_KEEPALIVES = {
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}


def build_connection_parameters(url: str) -> dict[str, Any]:
    """Return psycopg2's parameters to connect to `url`."""
    parameters: dict[str, Any] = dict(parse_dsn(url))
    parameters.setdefault("connect_timeout", "5")
    parameters.setdefault("application_name", "beckon")
    for name, value in _KEEPALIVES.items():
        parameters.setdefault(name, value)
    return parameters


def open_pool(url: str, role: Role | None, size: int) -> None:
    """Open the process's pool: at most `size` connections, each closed after five idle minutes."""
    global _pool_number
    _pool_number = next(_pool_numbers)
    parameters = build_connection_parameters(url)
    if not db.is_closed():
        db.close()
    # Idle connections still point to the previous URL.
    db.close_idle()
    _parameters.clear()
    _parameters.update(parameters)
    db.act_as(role)
    if psycopg2.extensions.get_wait_callback() is None:
        server_waits.set_up()
    server_waits.server.use(parameters)
    # Peewee keeps parameters of an earlier URL that this one lacks.
    db.connect_params = {}
    db.init(
        parameters.pop("dbname"),
        max_connections=size,
        stale_timeout=300,
        timeout=10,
        pool_number=_pool_number,
        **parameters,
    )


def get_pool_number() -> int:
    """Return which of this process's pools is open, so that a dedicated connection of an earlier one is replaced."""
    return _pool_number


def open_dedicated_connection() -> Any:
    """Open a connection outside the pool, for session state. The caller closes it, and runs each statement as a
    transaction with `db.execute_bound`."""
    server_waits.server.raise_if_hanging()
    dedicated: _Connection = psycopg2.connect(**_parameters, connection_factory=_Connection)
    _set_up_session(dedicated, db.settings)
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
def snapshot(workspace_id: str = "") -> Iterator[None]:
    """Run the block in a read-only transaction that sees one snapshot, acting as a workspace if one is named; never
    inside another transaction."""
    with connection(), db.atomic(workspace_id, "isolation level repeatable read read only"):
        yield


@contextmanager
def acting_as(workspace_id: str, *, with_first: bool = False, lock_timeout_ms: int = 0) -> Iterator[None]:
    """Run the block in a transaction that sees and writes only the rows of one workspace. `with_first` saves the round
    trip of its beginning, which is sent with the first statement, and may limit how long it waits for a lock."""
    with connection():
        is_nested = db.in_transaction()
        with db.atomic(workspace_id, with_first=with_first, lock_timeout_ms=lock_timeout_ms):
            if is_nested:
                db.execute_sql("select set_config('beckon.workspace', %s, true)", (workspace_id,))
            yield


#: Errors of psycopg2, and of peewee around it, when the server is down, restarting, out of connections or read-only.
CONNECTION_ERRORS = (
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    ReadOnlySqlTransaction,
    peewee.OperationalError,
    peewee.InterfaceError,
    MaxConnectionsExceeded,
)


def _raise_if_read_only(error: Exception) -> None:
    """Raise ReadOnlyServer if the server refused to write."""
    if isinstance(unwrap_driver_error(error), ReadOnlySqlTransaction):
        raise ReadOnlyServer(str(error)) from error


def unwrap_driver_error(error: BaseException) -> BaseException:
    """Return psycopg2's error inside the one that peewee raised for it, else the error itself."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, psycopg2.Error) else error
