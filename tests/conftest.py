"""Fixtures of every test: real PostgreSQL and Redis, an environment of its own, and nothing left behind.

The servers start once: with xdist in the first process, else when a fixture first asks for them. Each worker process
of xdist has its own database (copied from one migrated template when a test first needs it) and its own two Redis
databases. TEST_DATABASE_URL and TEST_REDIS_URL name external servers. The environment is set before any module of the
application is imported.

With `--no-servers` none can start: the tests that ask for one, and those marked `servers`, are not selected, and a
process that is started as a server all the same fails its test.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import argon2
import psycopg2
import pytest
import redis
from xdist.scheduler import LoadScopeScheduling

sys.path.append(str(Path(__file__).resolve().parent.parent))

from tests.support import browsers, waiting
from tests.support import servers as real

#: Variables with which the first process passes the servers to the others.
DATABASE, REDIS, DIRECTORY, RUN = "TESTS_DATABASE", "TESTS_REDIS", "TESTS_DIRECTORY", "TESTS_RUN"
#: Prefixes of the application's own variables, which no test may see.
APPLICATION_PREFIXES = (
    "BECKON_", "MAILGUN_", "TELNYX_", "META_", "GEMINI_", "OPENAI_", "SLACK_", "DISCORD_", "WEBHOOK_", "DATABASE_",
    "REDIS_URL", "SECRET_KEY", "RUN_TRACKING", "STATS_IN_API", "EXECUTION_TRACKING", "PROMETHEUS_", "OTEL_",
)  # fmt: skip

#: Files whose tests share a running copy, faulty servers, a browser or filled tables.
GROUPED_FILES = (
    "tests/browser/", "tests/crashes/test_outages.py", "tests/dashboard/test_route_access.py",
    "tests/deploy/test_faults.py", "tests/deploy/test_prometheus.py", "tests/deploy/test_running_copy.py",
    "tests/journeys/",
    "tests/models/test_owner.py", "tests/models/test_row_security.py", "tests/workers/test_embedded_roles.py",
    "tests/workers/test_up.py",
)  # fmt: skip

#: Files whose tests take seconds and would be the last: one process would still run them while the others have ended.
EARLY_FILES = (
    "tests/workers/commands/test_demo.py", "tests/workers/test_gunicorn_worker.py",
    "tests/workers/test_up_through_pooler.py", "tests/workers/test_web_processes.py",
)  # fmt: skip

#: Programs that `--no-servers` refuses to start, and the words of the command that starts them in another process.
SERVER_PROGRAMS = {"chromium", "initdb", "pgbouncer", "postgres", "redis-server", "valkey-server"}
UP_COMMAND = {"workers.command", "up"}

_running: real.TestServers | None = None


@dataclass(frozen=True)
class DatabaseUrls:
    """The URLs of one database, for its owner and for the two roles of the programs."""

    owner: str
    app: str
    service: str


def _parse_worker() -> tuple[str, int]:
    name = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return name, int(name.removeprefix("gw"))


def _set_environment() -> None:
    name, number = _parse_worker()
    for variable in [key for key in os.environ if key.startswith(APPLICATION_PREFIXES)]:
        del os.environ[variable]
    home = Path(os.environ[DIRECTORY]) / "homes" / name
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = f"{os.environ[RUN]}_{name}"
    redis_url = os.environ[REDIS]
    os.environ.update(
        BECKON_ENV_FILE=str(home / "none.env"),
        BECKON_HOME=str(home),
        DATABASE_URL=(owner := real.with_database(os.environ[DATABASE], database)),
        **_build_role_urls(owner),
        REDIS_URL=real.with_redis_database(redis_url, 2 * number),
        SECRET_KEY="a secret key of the tests, long enough",
        MAILGUN_WEBHOOK_SIGNING_KEY="mailgun signing key of the tests",
        META_APP_SECRET="meta app secret of the tests",
        META_VERIFY_TOKEN="meta verify token of the tests",
    )


def _build_role_urls(owner: str) -> dict[str, str]:
    """URLs with a login per role on the tests' own server; on an external one the programs set the role instead."""
    if os.environ.get("TEST_DATABASE_URL"):
        return {}
    app, service = real.ROLES
    return {"DATABASE_APP_URL": real.with_user(owner, app), "DATABASE_SERVICE_URL": real.with_user(owner, service)}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `--no-servers`."""
    parser.addoption(
        "--no-servers", action="store_true", help="select only the tests that need no PostgreSQL, Redis or browser"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Give every process its environment; with xdist, start the servers in the first one, for all."""
    global _running
    if not hasattr(config, "workerinput"):
        _running = real.TestServers()
        os.environ[DATABASE] = os.environ.get("TEST_DATABASE_URL") or real.with_database(
            _running.servers.database_url, "postgres"
        )
        os.environ[REDIS] = os.environ.get("TEST_REDIS_URL") or _running.servers.redis_url
        os.environ[DIRECTORY] = str(_running.directory)
        os.environ[RUN] = f"beckon_test_{os.getpid()}"
        if config.getoption("numprocesses", None) and not config.getoption("no_servers"):
            _start_servers(_running)
    if config.getoption("no_servers"):
        sys.addaudithook(_refuse_servers)
    _set_environment()


def _start_servers(servers: real.TestServers) -> None:
    try:
        servers.start(postgres=not os.environ.get("TEST_DATABASE_URL"), valkey=not os.environ.get("TEST_REDIS_URL"))
    except BaseException:
        servers.stop()
        raise


def _refuse_servers(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "subprocess.Popen":
        return
    words = {Path(os.fsdecode(word)).name for word in (arguments[0], *arguments[1]) if word}
    if words & SERVER_PROGRAMS or words >= UP_COMMAND:
        raise RuntimeError(f"--no-servers: {arguments[1]} starts a server; mark the test with `servers`")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests whose fixtures need a server, and put long ones first; select the others with `--no-servers`."""
    items.sort(key=lambda item: not item.nodeid.startswith(EARLY_FILES))
    for item in items:
        if "running_servers" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")
    if config.getoption("no_servers"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("servers")])
        items[:] = [item for item in items if not item.get_closest_marker("servers")]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Close the browser before a test of another folder."""
    if not item.nodeid.startswith(browsers.FOLDERS):
        browsers.close()


def pytest_sessionfinish() -> None:
    """Close the browser of the last tests."""
    browsers.close()


class GroupedFilesScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Runs the grouped files first, each on one worker; every other test goes to any free worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return file if file.startswith(GROUPED_FILES) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupedFilesScheduling:
    """Schedule without the groups of xdist 3.8, which pytest 9.2 ignores."""
    return GroupedFilesScheduling(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, or drop the databases on an external server."""
    if _running is None:
        return
    if os.environ.get("TEST_DATABASE_URL") and not config.getoption("no_servers"):
        real.drop_databases(os.environ[DATABASE], os.environ[RUN])
    _running.stop()


def _make_database(url: str) -> None:
    """Copy the migrated template, which the first process creates."""
    import settings
    from models import migrations

    template = f"{os.environ[RUN]}_template"
    with real.hold_lock(Path(os.environ[DIRECTORY]) / "template.lock"):
        if not real.database_exists(os.environ[DATABASE], template):
            unfinished = f"{os.environ[RUN]}_half_made"
            real.run_sql(
                os.environ[DATABASE],
                f'drop database if exists "{unfinished}" with (force)',
                f'create database "{unfinished}" template template0',
            )
            migrations.migrate(real.with_database(os.environ[DATABASE], unfinished))
            real.run_sql(os.environ[DATABASE], f'alter database "{unfinished}" rename to "{template}"')
    assert settings.load().database_url == url
    name = url.split("?")[0].rsplit("/", 1)[1]
    real.run_sql(os.environ[DATABASE], f'create database "{name}" template "{template}" strategy file_copy')


@pytest.fixture(scope="session")
def running_servers(pytestconfig: pytest.Config) -> None:
    """PostgreSQL and Redis answer. Every fixture that connects to one of them asks for this one."""
    if pytestconfig.getoption("no_servers"):
        pytest.fail("--no-servers: this test needs a server; mark it with `servers`")
    if _running is not None and not _running.started:
        _start_servers(_running)


@pytest.fixture(scope="session")
def database_urls(running_servers: None) -> DatabaseUrls:
    """The migrated database of this worker process."""
    import settings

    config = settings.load()
    _make_database(config.database_url)
    return DatabaseUrls(owner=config.database_url, app=config.database_app_url, service=config.database_service_url)


@pytest.fixture
def url(database_urls: DatabaseUrls) -> Iterator[str]:
    """The owner's URL of an empty database for one test."""
    name = f"{database_urls.owner.split('?')[0].rsplit('/', 1)[1]}_own"
    drop = f'drop database if exists "{name}" with (force)'
    real.run_sql(database_urls.owner, drop, f'create database "{name}" template template0')
    yield real.with_database(database_urls.owner, name)
    real.run_sql(database_urls.owner, drop)


@pytest.fixture(scope="session")
def redis_url(running_servers: None) -> str:
    """The Redis database of this worker process's broker; the next one is for everything else."""
    return os.environ["REDIS_URL"]


@pytest.fixture(scope="session")
def _sweepers(database_urls: DatabaseUrls, redis_url: str) -> Iterator[tuple[Any, list[redis.Redis]]]:
    import settings

    config = settings.load()
    clients = [redis.Redis.from_url(url) for url in (config.broker_url, config.ephemeral_url)]
    with closing(psycopg2.connect(database_urls.owner)) as connection:
        connection.autocommit = True
        yield connection, clients
    for client in clients:
        client.close()


def _try_empty_tables(connection: Any) -> bool:
    """Empty every table; False if an earlier test still writes and PostgreSQL chose this session as deadlock victim."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(real.EMPTY_EVERY_TABLE)
    except psycopg2.errors.DeadlockDetected:
        return False
    return True


@pytest.fixture
def clean(_sweepers: tuple[Any, list[redis.Redis]]) -> None:
    """Empty every table except the migrations' own, and both Redis databases."""
    _empty(_sweepers)


@pytest.fixture(scope="module")
def clean_for_module(_sweepers: tuple[Any, list[redis.Redis]]) -> None:
    """Empty everything, once for all tests of a module."""
    _empty(_sweepers)


def _empty(sweepers: tuple[Any, list[redis.Redis]]) -> None:
    connection, clients = sweepers
    waiting.eventually(lambda: _try_empty_tables(connection))
    for client in clients:
        client.flushdb()


@pytest.fixture(scope="session", autouse=True)
def _current_reads() -> None:
    """A page shows what a test has just changed, however slow the machine: no read of it is reused."""
    from models import recent_reads

    recent_reads.SLOW_SECONDS = math.inf


@pytest.fixture(scope="session", autouse=True)
def peoples_hasher() -> Any:
    """The production hasher of passwords. The tests use a hasher that costs a thousandth of it."""
    from models import user

    original, user._hasher = user._hasher, argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    user._DUMMY_HASH = user.hash_password("nobody's")
    return original


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """`eventually(condition, timeout=10.0)`: the condition's first truthy value, or the test fails."""
    return waiting.eventually
