"""Real servers for one run of the tests: started once, one database for each worker process, nothing left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import redis

from workers import embedded

#: Durability is not what these servers are for; the crash tests start their own.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
#: Names the major version of PostgreSQL to test on, where it is not the one that Beckon brings.
MAJOR = "TEST_POSTGRES_MAJOR"
#: Where the wheel keeps the oldest version that Beckon supports, beside its newest.
OLDEST_MAJOR, OLDEST_FOLDER = "16", "pginstall"


#: Who the programs log in as, as they do on the embedded server of a copy.
ROLES = ("beckon_app", "beckon_service")


class TestServers:
    """PostgreSQL and Valkey in a temporary directory, alive from `start` to `stop`."""

    __test__ = False

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="beckon-tests-"))
        self.servers = embedded.Servers(data=self.directory / "data", run=self.directory / "run", postgres_options=FAST)
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, postgres: bool, valkey: bool) -> None:
        """Start what is not given from outside, and return when it answers."""
        self.servers.data.mkdir(mode=0o700)
        with _use_programs(os.environ.get(MAJOR, embedded.POSTGRES_MAJOR)):
            embedded.make_cluster(self.servers)
            commands = [embedded.build_postgres_command(self.servers)] * postgres
        commands += [embedded.build_redis_command(self.servers)] * valkey
        for number, command in enumerate(commands):
            with open(self.directory / f"server-{number}.log", "wb") as log:
                self._running.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        if postgres:
            _wait(self._answers_sql)
            # The owner stays the superuser here, because tests empty tables and look at every row with it.
            run_sql(
                with_database(self.servers.database_url, "postgres"), *(f"create role {role} login" for role in ROLES)
            )
        if valkey:
            _wait(self._answers_ping)

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
            # PostgreSQL's fast way: on SIGTERM it would wait for whoever is still connected.
            process.send_signal(signal.SIGINT)
        for process in self._running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def answers_sql(url: str) -> bool:
    """Whether PostgreSQL lets us in."""
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def find_programs(major: str | None = None) -> Path:
    """The folder of PostgreSQL's programs, of the version that is tested where none is named."""
    major = major or os.environ.get(MAJOR, embedded.POSTGRES_MAJOR)
    newest = embedded.find_postgres_programs()
    if major not in (embedded.POSTGRES_MAJOR, OLDEST_MAJOR):
        raise RuntimeError(f"{MAJOR} must be {embedded.POSTGRES_MAJOR} or {OLDEST_MAJOR}, not {major}")
    return newest if major == embedded.POSTGRES_MAJOR else newest.parent.parent / OLDEST_FOLDER / "bin"


@contextmanager
def _use_programs(major: str) -> Iterator[None]:
    """Inside the block, clusters and commands are those of this major version."""
    original, folder = embedded.find_postgres_programs, find_programs(major)
    embedded.find_postgres_programs = lambda: folder
    try:
        yield
    finally:
        embedded.find_postgres_programs = original


def _wait(is_ready: Callable[[], bool], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not is_ready():
        if time.monotonic() > deadline:
            raise RuntimeError("a server of the tests does not answer")
        time.sleep(0.02)


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
    """Hold a lock among the worker processes."""
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
    """Remove what one run of the tests made on a server that is not its own."""
    with closing(psycopg2.connect(admin_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select datname from pg_database where datname like %s", (prefix.replace("_", r"\_") + "%",))
        names = [row[0] for row in cursor.fetchall()]
    run_sql(admin_url, *(f'drop database if exists "{name}" with (force)' for name in names))


def with_redis_database(url: str, number: int) -> str:
    """The same Redis, with another database."""
    if url.startswith("unix:"):
        return f"{url.split('?')[0]}?db={number}"
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))


#: Rows are deleted, because a truncate makes a new file for the table and for each of its indexes; what has grown large
#: is truncated, so that no test looks through what others left. Whoever still writes is waited for. Without a
#: superuser's right to pass by triggers and foreign keys, everything is truncated.
EMPTY_EVERY_TABLE = """
do $$
declare
    may_pass_by constant boolean := current_setting('is_superuser')::boolean;
    small constant integer := case when may_pass_by then 131072 else 0 end;
    filled regclass[];
    large text;
    one regclass;
begin
    select array_agg(oid::regclass) into filled from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' and pg_relation_size(oid) > 0
      and relname not in ('schema_migrations', 'schema_hashes');
    if filled is null then
        return;
    end if;
    execute 'lock table ' || array_to_string(filled, ', ') || ' in exclusive mode';
    if may_pass_by then
        set local session_replication_role = replica;
    end if;
    foreach one in array filled loop
        if pg_relation_size(one) > small then
            large := concat_ws(', ', large, one::text);
        else
            execute format('delete from %s', one);
        end if;
    end loop;
    if large is not null then
        execute 'truncate ' || large || ' cascade';
    end if;
end $$
"""
