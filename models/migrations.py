"""Upgrades a database to this version: creates the two roles, then applies the pending `migrations/` in order.

Programs of the earlier version run on with every *pre* migration: `NNNN_pre_name.up.sql`, and files with neither
prefix. A *post* migration (`NNNN_post_name.up.sql`) removes what only they need, so it is applied once they have ended.

Any number of processes may call `migrate` at once: an advisory lock serializes them. A file that was edited after it
was applied is rejected, because the schema would be unknown. Each migration, with its row in the history, is one
transaction.

The owner needs neither SUPERUSER nor BYPASSRLS. It can act as the two roles and inherits neither. Row security is
forced, so the owner sees no tenant's rows: a migration that changes rows does so after `set local role beckon_service`.

Statements about roles, locks and the catalog are written by hand, because peewee has no expressions for them.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee
import psycopg2
from playhouse.migrations import Migration, Runner
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2 import sql

import clock
from models.database import build_connection_parameters, is_direct
from models.migration_losses import list_losses
from models.tables import SchemaHash

FOLDER = Path(__file__).resolve().parent.parent / "migrations"
#: Key of the advisory lock: any number that nothing else on the server uses.
LOCK = 7_223_016
ROLES = ("beckon_app", "beckon_service")
MIN_SERVER_VERSION = 160_000

#: Two databases of one server may create the role at the same time.
_CREATE_ROLE = sql.SQL(
    "do $$ begin create role {role} nologin nosuperuser nobypassrls; "
    "exception when duplicate_object or unique_violation then null; end $$"
)
_GRANT_ROLE = sql.SQL("grant {role} to current_user with inherit false, set true")


@dataclass(frozen=True)
class Upgrade:
    """The result of `upgrade`: the applied migrations by name, the indexes they created, their notices, and the
    migrations that remain pending."""

    applied: list[str]
    indexes: list[str]
    notices: list[str]
    pending: list[str]


@dataclass(frozen=True)
class Reversal:
    """A migration that would be reverted, and the data that this removes, such as `table contacts`."""

    name: str
    losses: list[str]


class MigrationError(Exception):
    """The database cannot be changed to this version or back; the message says why, in one line."""


class _SqlMigration(Migration):  # type: ignore[misc]  # playhouse has no types
    """One `NNNN_name.up.sql` with its `.down.sql`."""

    __slots__ = ()

    def load(self) -> types.ModuleType:
        module = types.ModuleType(self.name)
        module.up = _build_run(Path(self.path), _insert_hash(self))  # type: ignore[attr-defined]
        delete_hash = SchemaHash.delete().where(SchemaHash.name == self.name)
        module.down = _build_run(_locate_down(self), delete_hash)  # type: ignore[attr-defined]
        return module


def _build_run(file: Path, record: Any) -> Callable[[Any, Any], None]:
    def run(_: Any, database: Any) -> None:
        # A raw cursor: peewee's own would read a literal % as a parameter.
        cursor = database.connection().cursor()
        cursor.execute(file.read_text())
        # The rest of the transaction acts as the owner, whatever role the file set.
        cursor.execute("set local role none")
        record.execute(database)

    return run


def _locate_down(migration: Migration) -> Path:
    up = Path(migration.path)
    return up.with_name(up.name.replace(".up.sql", ".down.sql"))


def is_post(name: str) -> bool:
    """Return whether this migration is applied only after all programs of the earlier version have ended."""
    return re.match(r"\d+_post_", name) is not None


class _Runner(Runner):  # type: ignore[misc]
    def migrations(self) -> list[_SqlMigration]:
        files = sorted(Path(self.directory).glob("[0-9]*.up.sql"))
        return [
            _SqlMigration(int(file.name.split("_")[0]), file.name.removesuffix(".up.sql"), str(file), None)
            for file in files
        ]


@contextmanager
def _open_locked(url: str) -> Iterator[tuple[Any, _Runner]]:
    parameters = build_connection_parameters(url)
    database = PooledPostgresqlDatabase(parameters.pop("dbname"), max_connections=2, **parameters)
    try:
        with database.connection_context():
            if database.connection().server_version < MIN_SERVER_VERSION:
                raise MigrationError("PostgreSQL is too old: Beckon needs version 16 or newer")
            _prepare_session(database)
            database.execute_sql("select pg_advisory_lock(%s)", (LOCK,))
            yield database, _Runner(database, str(FOLDER), table_name="schema_migrations")
            database.execute_sql("select pg_advisory_unlock(%s)", (LOCK,))
    finally:
        database.close_all()


def _prepare_session(database: Any) -> None:
    """Set the session's options; raise `MigrationError` behind a pooler, because the lock needs one session."""
    if not is_direct(database.connection()):
        raise MigrationError("its connection goes through a pooler: migrations need the owner's direct connection")
    database.execute_sql("set timezone = 'UTC'")
    database.execute_sql("set statement_timeout = 0")
    database.execute_sql("select set_config('beckon.clock_offset', %s, false)", (str(clock.OFFSET_SECONDS),))


def migrate(url: str) -> list[str]:
    """Apply every pending migration as the owner behind `url`; return the names of those applied.

    Raises `MigrationError` if the roles cannot be created, the server is too old, or an applied file was changed.
    """
    return upgrade(url).applied


def upgrade(url: str, *, pre_only: bool = False) -> Upgrade:
    """Apply every pending migration as `migrate` does, or with `pre_only` those before the first post migration."""
    with _open_locked(url) as (database, runner):
        _ensure_roles(database)
        _refuse_drift(database, runner)
        indexes_before = _list_indexes(database)
        database.connection().notices.clear()
        try:
            applied = _apply_pre(runner) if pre_only else [str(name) for name in runner.up()]
        except (peewee.PeeweeException, psycopg2.Error) as error:
            raise MigrationError(f"a migration failed and was rolled back: {error}".strip()) from error
        _record_hashes(database, runner)
        _transfer_functions(database)
        notices = [notice.partition(":")[2].strip() for notice in database.connection().notices if _is_ours(notice)]
        indexes = sorted(_list_indexes(database) - indexes_before)
        return Upgrade(applied, indexes, notices, _list_pending(runner))


def _apply_pre(runner: _Runner) -> list[str]:
    """Apply the pending migrations before the first pending post migration."""
    names = list(itertools.takewhile(lambda name: not is_post(name), _list_pending(runner)))
    return [str(name) for name in runner.up(names[-1])] if names else []


def _list_indexes(database: Any) -> set[str]:
    """Return the names of indexes of whole tables; partitions repeat them under names of their own."""
    cursor = database.execute_sql(
        "select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace "
        "and c.relkind in ('i', 'I') and not c.relispartition and c.relname !~ '_default_'"
    )
    return {name for (name,) in cursor.fetchall()}


def _is_ours(notice: str) -> bool:
    """Return whether a migration raised the notice; PostgreSQL's own notices name what it skipped."""
    return notice.startswith("NOTICE:") and "skipping" not in notice


def plan_reversal(url: str, version: str | None = None) -> list[Reversal]:
    """Return the migrations to revert, newest first: those after `version` (a number or a name), or the newest one.

    Raises `MigrationError` if no applied migration has this number or name, or if a file to be reverted is missing.
    """
    with _open_locked(url) as (_, runner):
        rows = [row for row in runner.status() if row.applied]
        kept = len(rows) - 1 if version is None else _find_version(runner, rows, version) + 1
        return [_plan_row(row) for row in reversed(rows[max(kept, 0) :])]


def _find_version(runner: _Runner, rows: list[Migration], version: str) -> int:
    """Return the position of this version among the applied migrations."""
    for position, row in enumerate(rows):
        if version in (row.name, row.name.split("_")[0]):
            return position
    if any(version in (name, name.split("_")[0]) for name in _list_pending(runner)):
        raise MigrationError(f'the migration "{version}" is not applied to this database')
    newest = f"the newest applied one is {rows[-1].name}" if rows else "none is applied"
    raise MigrationError(f'there is no migration "{version}"; {newest}')


def _plan_row(row: Migration) -> Reversal:
    if row.path is None:
        raise MigrationError(f"migration {row.name} is of another version of Beckon: revert it with that version")
    return Reversal(row.name, list_losses(_locate_down(row).read_text()))


def revert(url: str, target: str | None = None) -> list[str]:
    """Revert the newest migration, or all back through `target`; return the names of those reverted.

    Raises `MigrationError` if a down file fails. Those before it stay reverted, because each is its own transaction.
    """
    with _open_locked(url) as (_, runner):
        applied_before = set(runner.applied())
        try:
            return [str(name) for name in runner.down(target)]
        except (peewee.PeeweeException, psycopg2.Error) as error:
            newest = [row.name for row in runner.status() if row.applied][-1]
            reverted = sorted(applied_before - set(runner.applied()), reverse=True)
            before_it = f" (reverted before it: {', '.join(reverted)})" if reverted else ""
            raise MigrationError(
                f"migration {newest} could not be reverted and is unchanged{before_it}: {error}"
            ) from error


def list_pending(url: str) -> list[str]:
    """Return the names of migrations not applied to this database."""
    with _open_locked(url) as (_, runner):
        return _list_pending(runner)


def _list_pending(runner: _Runner) -> list[str]:
    return [row.name for row in runner.status() if row.path and not row.applied]


def _ensure_roles(database: Any) -> None:
    try:
        with database.atomic():
            for role in ROLES:
                _ensure_role(database, role)
    except (peewee.ProgrammingError, psycopg2.errors.InsufficientPrivilege) as error:
        owner = database.execute_sql("select quote_ident(current_user)").fetchone()[0]
        app, service = ROLES
        raise MigrationError(
            f"its user may not create or act as the roles {app} and {service}; as a superuser run: "
            f"create role {app} nologin; create role {service} nologin; "
            f"grant {app}, {service} to {owner} with inherit false, set true"
        ) from error


def _ensure_role(database: Any, role: str) -> None:
    existing = database.execute_sql("select 1 from pg_roles where rolname = %s", (role,)).fetchone()
    if existing is None:
        _execute_for_role(database, _CREATE_ROLE, role)
    may_act, inherits, may_grant = database.execute_sql(
        "select pg_has_role(%(role)s, 'set'), pg_has_role(%(role)s, 'usage') and not rolsuper, "
        "pg_has_role(%(role)s, 'member with admin option') from pg_roles where rolname = current_user",
        {"role": role},
    ).fetchone()
    # A role's policies also apply to roles that inherit it, and then the owner would see every row.
    if not may_act or (inherits and may_grant):
        _execute_for_role(database, _GRANT_ROLE, role)


def _execute_for_role(database: Any, statement: sql.SQL, role: str) -> None:
    database.execute_sql(statement.format(role=sql.Identifier(role)))


def _transfer_functions(database: Any) -> None:
    """Transfer functions restored without their owners, or created by a migration that did not transfer them."""
    if database.execute_sql("select to_regproc('transfer_function_ownership')").fetchone()[0] is not None:
        database.execute_sql("call transfer_function_ownership()")


def _digest(migration: Migration) -> str:
    return hashlib.sha256(Path(migration.path).read_bytes()).hexdigest()


def _refuse_drift(database: Any, runner: _Runner) -> None:
    database.execute_sql("create table if not exists schema_hashes (name text primary key, sha256 text not null)")
    hashes = dict(SchemaHash.select(SchemaHash.name, SchemaHash.sha256).tuples().execute(database))
    for migration in runner.migrations():
        if hashes.get(migration.name, _digest(migration)) != _digest(migration):
            raise MigrationError(f"migration {migration.name} was changed after it was applied to this database")


def _record_hashes(database: Any, runner: _Runner) -> None:
    """Record the hashes of migrations that were applied before hashes were recorded with them."""
    for row in runner.status():
        if row.path and row.applied:
            _insert_hash(row).execute(database)


def _insert_hash(migration: Migration) -> Any:
    return SchemaHash.insert(name=migration.name, sha256=_digest(migration)).on_conflict_ignore()
