"""Real servers for one run of the tests: started once, with one database per worker process, and removed at the end."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import redis

from tests.support.waiting import eventually
from workers import embedded

#: These servers need no durability; the crash tests start their own.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
#: The variable with the major version of PostgreSQL to test on; the embedded version by default.
MAJOR = "TEST_POSTGRES_MAJOR"
#: The oldest supported version, and its folder in the wheel.
OLDEST_MAJOR, OLDEST_FOLDER = "16", "pginstall"
#: Seconds that a server has to start.
START_SECONDS = 30.0


#: The roles that the programs log in as, as on the embedded server.
ROLES = ("beckon_app", "beckon_service")


class TestServers:
    """PostgreSQL and Valkey in a temporary directory, alive from `start` to `stop`."""

    __test__ = False

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="beckon-tests-"))
        self.servers = embedded.Servers(data=self.directory / "data", run=self.directory / "run", postgres_options=FAST)
        self.started = False
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, postgres: bool, valkey: bool) -> None:
        """Start the servers that are not external, and return when they answer."""
        self.started = True
        self.servers.data.mkdir(mode=0o700)
        with _use_programs(os.environ.get(MAJOR, embedded.POSTGRES_MAJOR)):
            embedded.make_cluster(self.servers)
            commands = [embedded.build_postgres_command(self.servers)] * postgres
        commands += [embedded.build_redis_command(self.servers)] * valkey
        for number, command in enumerate(commands):
            with open(self.directory / f"server-{number}.log", "wb") as log:
                self._running.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        if postgres:
            eventually(self._answers_sql, timeout=START_SECONDS)
            # The owner stays the superuser here: tests use it to empty tables and to read every row.
            run_sql(
                with_database(self.servers.database_url, "postgres"), *(f"create role {role} login" for role in ROLES)
            )
        if valkey:
            eventually(self._answers_ping, timeout=START_SECONDS)

    def _answers_sql(self) -> bool:
        return answers_sql(with_database(self.servers.database_url, "postgres"))

    def _answers_ping(self) -> bool:
        try:
            with closing(redis.Redis.from_url(self.servers.redis_url)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def stop(self) -> None:
        """Stop the servers and remove their files."""
        for process in self._running:
            # Fast shutdown of PostgreSQL: on SIGTERM it would wait for open connections.
            process.send_signal(signal.SIGINT)
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def answers_sql(url: str) -> bool:
    """Whether PostgreSQL accepts connections."""
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def find_programs(major: str | None = None) -> Path:
    """The folder of PostgreSQL's programs; of the tested version by default."""
    major = major or os.environ.get(MAJOR, embedded.POSTGRES_MAJOR)
    newest = embedded.find_postgres_programs()
    if major not in (embedded.POSTGRES_MAJOR, OLDEST_MAJOR):
        raise RuntimeError(f"{MAJOR} must be {embedded.POSTGRES_MAJOR} or {OLDEST_MAJOR}, not {major}")
    return newest if major == embedded.POSTGRES_MAJOR else newest.parent.parent / OLDEST_FOLDER / "bin"


@contextmanager
def _use_programs(major: str) -> Iterator[None]:
    """Use the programs of this major version during the block."""
    original, folder = embedded.find_postgres_programs, find_programs(major)
    embedded.find_postgres_programs = lambda: folder
    try:
        yield
    finally:
        embedded.find_postgres_programs = original


def with_database(url: str, name: str) -> str:
    """The same server's URL, with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def with_user(url: str, name: str) -> str:
    """The same database's URL, for another user without a password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{name}@{host}"))


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a file lock between the worker processes during the block."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_sql(url: str, *statements: str) -> None:
    """Run statements outside a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def database_exists(admin_url: str, name: str) -> bool:
    """Whether the server has this database."""
    with closing(psycopg2.connect(admin_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select 1 from pg_database where datname = %s", (name,))
        return cursor.fetchone() is not None


def drop_databases(admin_url: str, prefix: str) -> None:
    """Drop the databases of one test run on an external server."""
    with closing(psycopg2.connect(admin_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select datname from pg_database where datname like %s", (prefix.replace("_", r"\_") + "%",))
        names = [row[0] for row in cursor.fetchall()]
    run_sql(admin_url, *(f'drop database if exists "{name}" with (force)' for name in names))


def with_redis_database(url: str, number: int) -> str:
    """The same Redis, with another database."""
    if url.startswith("unix:"):
        return f"{url.split('?')[0]}?db={number}"
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))


#: Rows are deleted, because a truncate creates a new file for the table and for each of its indexes; large tables are
#: truncated, so that no test scans the dead rows of others. The lock waits for open transactions. Only a superuser may
#: disable triggers and foreign keys; without one, everything is truncated.
EMPTY_EVERY_TABLE = """
do $$
declare
    is_superuser constant boolean := current_setting('is_superuser')::boolean;
    small constant integer := case when is_superuser then 131072 else 0 end;
    filled regclass[];
    large text;
    relation regclass;
begin
    select array_agg(oid::regclass) into filled from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' and pg_relation_size(oid) > 0
      and relname not in ('schema_migrations', 'schema_hashes');
    if filled is null then
        return;
    end if;
    execute 'lock table ' || array_to_string(filled, ', ') || ' in exclusive mode';
    if is_superuser then
        set local session_replication_role = replica;
    end if;
    foreach relation in array filled loop
        if pg_relation_size(relation) > small then
            large := concat_ws(', ', large, relation::text);
        else
            execute format('delete from %s', relation);
        end if;
    end loop;
    if large is not null then
        execute 'truncate ' || large || ' cascade';
    end if;
end $$
"""
