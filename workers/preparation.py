"""What must be true of the servers before a program starts: they answer, they fit, and the schema is this version's."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import psycopg2
import redis

from models import embedded_roles, migrations
from settings import Settings
from workers import kept_files
from workers.home import CannotStart

#: Seconds that a server may take until it answers.
ANSWER_SECONDS = 30.0
OLDEST_REDIS = (6, 2)
OLDEST_POSTGRES = 160_000


def _wanting(variable: str, embedded: bool, error: Exception) -> CannotStart:
    what = "PostgreSQL" if variable == "DATABASE_URL" else "Redis"
    where = f"the embedded {what}" if embedded else variable
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return CannotStart(f"{where}: {what} does not answer: {reason}")


def _is_starting(told: Settings, error: psycopg2.OperationalError) -> bool:
    """Whether it may answer in a moment: ours always may; another's only while it says that it starts."""
    return told.embedded_database or "starting up" in str(error)


def _connect(told: Settings, url: str) -> Any:
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return psycopg2.connect(url, connect_timeout=5)
        except psycopg2.OperationalError as error:
            if not _is_starting(told, error) or time.monotonic() > deadline:
                raise _wanting("DATABASE_URL", told.embedded_database, error) from None
            time.sleep(0.05)


def check_postgres(told: Settings) -> None:
    """PostgreSQL answers and is new enough. Raises CannotStart."""
    with closing(_connect(told, told.database_url)) as connection:
        version = connection.server_version
        if version < OLDEST_POSTGRES:
            raise CannotStart(f"DATABASE_URL: PostgreSQL {version // 10_000} is too old, 16 or newer is needed")


def _redis_state(told: Settings) -> dict[str, Any]:
    deadline = time.monotonic() + ANSWER_SECONDS
    with closing(redis.Redis.from_url(told.redis_url, socket_connect_timeout=5)) as client:
        while True:
            try:
                return dict(client.info("server")) | dict(client.info("memory"))
            except (redis.ConnectionError, redis.TimeoutError) as error:
                loading = isinstance(error, redis.BusyLoadingError)
                if not (told.embedded_redis or loading) or time.monotonic() > deadline:
                    raise _wanting("REDIS_URL", told.embedded_redis, error) from None
                time.sleep(0.05)
            except redis.RedisError as error:
                raise _wanting("REDIS_URL", told.embedded_redis, error) from None


def check_redis(told: Settings) -> None:
    """Redis answers, is new enough and evicts nothing. Raises CannotStart."""
    state = _redis_state(told)
    version = str(state["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise CannotStart(f"REDIS_URL: Redis {version} is too old, 6.2 or newer is needed")
    policy = state.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise CannotStart(f"REDIS_URL: Redis would drop work: its maxmemory-policy is {policy}, set it to noeviction")


def migrate(told: Settings) -> migrations.Upgrade:
    """Apply the missing migrations; what they did. Raises CannotStart."""
    check_postgres(told)
    try:
        upgrade = migrations.upgrade(told.database_url)
    except migrations.MigrationRefused as error:
        raise CannotStart(f"DATABASE_URL: {' '.join(str(error).split())}") from None
    if told.embedded_database:
        embedded_roles.let_owner_see(told.database_url)
    return upgrade


def prepare(told: Settings) -> dict[str, Any]:
    """Check both servers, migrate, make the demo workspace if it is wanted; what access.json now says."""
    from models import demo

    check_redis(told)
    migrate(told)
    made = demo.ensure_demo(told) if told.demo else {}
    return kept_files.write_access(told, made)
