"""Checks the servers before a program starts: they answer, their versions suffice, the schema is up to date."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import redis

from ephemeral.redis_breaker import describe_answer
from models import embedded_roles, migrations
from settings import Settings
from workers import generated_secrets, redis_rights
from workers.home import StartupError

#: Seconds that a server has to answer.
CONNECT_TIMEOUT_SECONDS = 30.0
MIN_REDIS_VERSION = (6, 2)
MIN_POSTGRES_VERSION = 160_000


def _build_startup_error(variable: str, embedded: bool, error: Exception) -> StartupError:
    server = "PostgreSQL" if variable == "DATABASE_URL" else "Redis"
    setting = f"the embedded {server}" if embedded else variable
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return StartupError(f"{setting}: {server} does not answer: {reason}")


def _is_starting(settings: Settings, error: psycopg2.OperationalError) -> bool:
    """Whether PostgreSQL may answer soon: the embedded one always may, another one only while it reports a start."""
    return settings.embedded_database or "starting up" in str(error)


def _connect(settings: Settings, url: str) -> Any:
    deadline = time.monotonic() + CONNECT_TIMEOUT_SECONDS
    while True:
        try:
            return psycopg2.connect(url, connect_timeout=5)
        except psycopg2.OperationalError as error:
            if not _is_starting(settings, error) or time.monotonic() > deadline:
                raise _build_startup_error("DATABASE_URL", settings.embedded_database, error) from None
            time.sleep(0.05)


def check_postgres(settings: Settings) -> None:
    """Check that PostgreSQL answers and is new enough. Raises StartupError."""
    with closing(_connect(settings, settings.database_url)) as connection:
        version = connection.server_version
        if version < MIN_POSTGRES_VERSION:
            raise StartupError(
                f"DATABASE_URL: PostgreSQL {version // 10_000} is too old; version 16 or newer is required"
            )


def _read_redis_info(settings: Settings) -> dict[str, Any]:
    deadline = time.monotonic() + CONNECT_TIMEOUT_SECONDS
    with closing(redis.Redis.from_url(settings.redis_url, socket_connect_timeout=5)) as client:
        while True:
            try:
                return dict(client.info("server")) | dict(client.info("memory"))
            except (redis.ConnectionError, redis.TimeoutError) as error:
                loading = isinstance(error, redis.BusyLoadingError)
                if not (settings.embedded_redis or loading) or time.monotonic() > deadline:
                    raise _build_startup_error("REDIS_URL", settings.embedded_redis, error) from None
                time.sleep(0.05)
            except redis.ResponseError as error:
                raise StartupError(f"REDIS_URL: Redis refuses INFO: {describe_answer(error)}") from None
            except redis.RedisError as error:
                raise _build_startup_error("REDIS_URL", settings.embedded_redis, error) from None


def check_redis(settings: Settings) -> None:
    """Check that Redis answers, is new enough, never evicts keys and does what is asked. Raises StartupError."""
    info = _read_redis_info(settings)
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS_VERSION:
        raise StartupError(f"REDIS_URL: Redis {version} is too old; version 6.2 or newer is required")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise StartupError(
            f"REDIS_URL: Redis would evict messages: its maxmemory-policy is {policy}, set it to noeviction"
        )
    _check_redis_rights(settings)


def _check_redis_rights(settings: Settings) -> None:
    """Check that Redis does what the programs ask of it. A refusal that may pass by itself is only a line."""
    try:
        refusal = redis_rights.find_refusal(settings)
    except redis.RedisError as error:
        raise _build_startup_error("REDIS_URL", settings.embedded_redis, error) from None
    if not refusal:
        return
    line = f"REDIS_URL: Redis refuses {refusal}"
    if redis_rights.is_lasting(refusal):
        raise StartupError(line)
    print(
        f"beckon: {line}; triggers are accepted and wait in PostgreSQL until it does not", file=sys.stderr, flush=True
    )


@contextmanager
def _reporting_migration_errors() -> Iterator[None]:
    try:
        yield
    except migrations.MigrationError as error:
        raise StartupError(f"DATABASE_URL: {' '.join(str(error).split())}") from None


def migrate(settings: Settings, *, pre_only: bool = False) -> migrations.Upgrade:
    """Apply the pending migrations (`pre_only`: up to the first post migration). Raises StartupError."""
    check_postgres(settings)
    with _reporting_migration_errors():
        upgrade = migrations.upgrade(settings.database_url, pre_only=pre_only)
    if settings.embedded_database:
        embedded_roles.create_owner_policies(settings.database_url)
    return upgrade


def plan_reversal(settings: Settings, version: str | None) -> list[migrations.Reversal]:
    """Return the migrations after `version`, or the newest one, to be reverted. Raises StartupError."""
    check_postgres(settings)
    with _reporting_migration_errors():
        return migrations.plan_reversal(settings.database_url, version)


def revert(settings: Settings, target: str) -> list[str]:
    """Revert all migrations back through `target`; return their names. Raises StartupError."""
    with _reporting_migration_errors():
        return migrations.revert(settings.database_url, target)


def prepare(settings: Settings) -> dict[str, Any]:
    """Check both servers, migrate, create the demo workspace if configured, and return access.json's new content."""
    from models.demo import workspace as demo_workspace

    check_redis(settings)
    migrate(settings)
    demo_fields = demo_workspace.ensure_demo(settings) if settings.demo else {}
    return generated_secrets.write_access(settings, demo_fields)
