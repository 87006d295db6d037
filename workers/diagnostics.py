"""The checks of `beckon doctor`: explains every setting and checks every part of a copy.

Each check is one function that returns a Check and never raises: an unreachable part is a problem with its remedy, and
the other parts are still checked.
"""

from __future__ import annotations

import ipaddress
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import peewee
import psycopg2
import redis

import settings
from ephemeral.connection import open_ephemeral
from models import database, migrations, workspace
from models.checks import deployment
from models.connection_pools import DOCTOR_POOL
from providers.registry import FEATURES, PROVIDERS
from settings import Settings
from tasks.health.measurement import Health, measure
from tasks.health.parts import BAD_STATES, RESTART_REMEDY, Part
from tasks.runtime import broker
from tasks.runtime.broker import QUEUES
from tasks.steps import accounts
from workers import generated_secrets, outages, startup
from workers.preflight import MIN_POSTGRES_VERSION, MIN_REDIS_VERSION

#: Seconds that one part has to answer.
TIMEOUT_SECONDS = 3
START_REMEDY = "start Beckon with `beckon up`"


Status = Literal["ok", "note", "problem"]
#: Workspaces that are measured.
MAX_WORKSPACES = 100
#: Measured where there is no workspace yet.
NO_WORKSPACE = "00000000-0000-7000-8000-000000000000"
#: Parts that are the same for all workspaces.
_DEPLOYMENT_PARTS = frozenset({*(f"queue:{queue}" for queue in QUEUES), "leader", "cache", "executor", "disk"})


@dataclass(frozen=True)
class Check:
    """The result of one check: ok, a note, or a problem with its remedy."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class SettingDescription:
    """One setting: its value (secrets are hidden), whether it is set, its purpose and what it blocks when not set."""

    name: str
    value: str
    is_set: bool
    explanation: str
    blocks: str


def describe_settings(config: Settings) -> list[SettingDescription]:
    """Describe every setting in the order of the documentation; a secret's value is only `set` or `not set`."""
    needed = {variable for provider in FEATURES for variable in PROVIDERS[provider].required_settings}
    return [
        SettingDescription(
            variable.name,
            _describe_value(config, variable),
            variable.name in os.environ,
            variable.explanation,
            _list_blocked_features(variable.name) if variable.name in needed else "",
        )
        for variable in settings.VARIABLES
    ]


def _list_blocked_features(variable: str) -> str:
    features = [entry.feature for entry in PROVIDERS.values() if entry.feature and variable in entry.required_settings]
    return " or ".join(features).replace(" messages or ", " or ")


def _describe_value(config: Settings, variable: settings.Variable) -> str:
    """The value, or of a URL that was not set the server that is used in its place."""
    embedded = {"DATABASE_URL": config.embedded_database, "REDIS_URL": config.embedded_redis}
    if variable.name not in os.environ and embedded.get(variable.name):
        return variable.default_text
    return _format_value(variable, getattr(config, variable.attribute))


def _format_value(variable: settings.Variable, value: Any) -> str:
    if variable.secret:
        return "set" if value else "not set"
    if isinstance(value, tuple):
        value = ",".join(str(item) for item in value)
    if isinstance(value, bool):
        return "1" if value else "0"
    return "not set" if value in (None, "") else str(value)


def run_checks(config: Settings) -> Iterator[Check]:
    """Run every check; yields each result as soon as it is known."""
    yield _check_home(config)
    postgres_check = _check_postgres(config)
    yield postgres_check
    redis_check = _check_redis(config)
    yield redis_check
    if postgres_check.status == "ok":
        yield _check_migrations(config)
        yield from (_check_role(config, role, url) for role, url in _list_roles(config))
        yield from _check_health(config)
    yield _check_dashboard(config)
    yield _check_sandbox(config)
    yield from (_check_provider(config, provider) for provider in FEATURES)
    yield _check_clock(config)


def _check_home(config: Settings) -> Check:
    if not config.home.exists():
        return Check("home", "problem", f"{config.home} does not exist", START_REMEDY)
    if not os.access(config.home, os.W_OK):
        return Check("home", "problem", f"{config.home} is not writable", "set BECKON_HOME to a directory that you own")
    return Check("home", "ok", str(config.home))


def _format_error(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


#: The variable with each server's URL, and the key of its problem in `/readyz`.
_SERVERS = {"postgresql": ("DATABASE_URL", "postgres_down"), "redis": ("REDIS_URL", "redis_down")}


def report_outage(config: Settings, name: str, program: str, error: str) -> Check:
    """Report a part that does not answer: a program of this copy, or without one a server of its own."""
    if program:
        seen = outages.explain_program(config, program, error)
    else:
        variable, key = _SERVERS.get(name, _SERVERS["postgresql"])
        seen = outages.describe_server(variable, error, startup.read_readiness(config).since.get(key, ""))
    return Check(name, "problem", seen.detail, seen.remedy)


def _check_postgres(config: Settings) -> Check:
    try:
        with closing(psycopg2.connect(config.database_url, connect_timeout=TIMEOUT_SECONDS)) as connection:
            version = connection.server_version
    except psycopg2.Error as error:
        return report_outage(config, "postgresql", "postgres" if config.embedded_database else "", _format_error(error))
    detail = f"version {version // 10_000}.{version % 10_000}{', embedded' if config.embedded_database else ''}"
    if version < MIN_POSTGRES_VERSION:
        return Check("postgresql", "problem", detail, "upgrade it to 16 or newer")
    return Check("postgresql", "ok", detail)


def _check_redis(config: Settings) -> Check:
    try:
        with closing(redis.Redis.from_url(config.redis_url, socket_timeout=TIMEOUT_SECONDS,
                                          socket_connect_timeout=TIMEOUT_SECONDS)) as client:  # fmt: skip
            info = dict(client.info("server")) | dict(client.info("memory"))
    except (redis.RedisError, OSError) as error:
        return report_outage(config, "redis", "redis" if config.embedded_redis else "", _format_error(error))
    version, policy = str(info["redis_version"]), str(info.get("maxmemory_policy", "noeviction"))
    detail = f"version {version}, {policy}{', embedded' if config.embedded_redis else ''}"
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_REDIS_VERSION:
        return Check("redis", "problem", detail, "upgrade it to 6.2 or newer")
    if policy != "noeviction":
        return Check("redis", "problem", f"{detail}: it would evict messages", "set its maxmemory-policy to noeviction")
    return Check("redis", "ok", detail)


def _check_migrations(config: Settings) -> Check:
    try:
        missing = migrations.list_pending(config.database_url)
    except (migrations.MigrationError, psycopg2.Error, peewee.PeeweeException) as error:
        return Check("migrations", "problem", _format_error(error), "run `beckon migrate` as the database's owner")
    if missing and migrations.is_post(missing[0]):
        remedy = "run `beckon migrate` once all programs of the earlier version have ended"
        return Check("migrations", "note", f"not applied: {', '.join(missing)}", remedy)
    if missing:
        return Check("migrations", "problem", f"not applied: {', '.join(missing)}", "run `beckon migrate`")
    return Check("migrations", "ok", "all applied")


_OWN_URLS = {"beckon_app": "DATABASE_APP_URL", "beckon_service": "DATABASE_SERVICE_URL"}


def _list_roles(config: Settings) -> tuple[tuple[database.Role, str], ...]:
    return ("beckon_app", config.database_app_url), ("beckon_service", config.database_service_url)


def _check_role(config: Settings, role: database.Role, url: str) -> Check:
    """Check the role and the login of this program's transactions, from inside one."""
    database.open_pool(url, role, 1)
    try:
        acting_role = deployment.fetch_acting_role()
    except (peewee.PeeweeException, psycopg2.Error) as error:
        remedy = f"grant {role} to the user of its URL, or run `beckon migrate` as a user that may create roles"
        return Check(role, "problem", f"role not usable: {_format_error(error)}", remedy)
    finally:
        database.db.close_all()
    detail = f"transactions act as {acting_role.acting.name}, logged in as {acting_role.login.name}"
    detail += "" if acting_role.is_direct else ", through a pooler"
    # The owner's connection may have any login; the login of a program's own connection must obey RLS too.
    identities = (acting_role.acting,) if url == config.database_url else (acting_role.acting, acting_role.login)
    for identity in identities:
        if identity.power:
            remedy = f"alter role {identity.name} no{identity.power}"
            return Check(role, "problem", f"{detail}: {identity.name} is {identity.power}, so it bypasses RLS", remedy)
    if url == config.database_url and not is_local(config):
        detail += ": the owner's connection, which can also act as other roles"
        return Check(role, "note", detail, f"set {_OWN_URLS[role]} to a separate login role (docs/operating.md)")
    return Check(role, "ok", f"{detail}; RLS enforced")


def is_local(config: Settings) -> bool:
    """Whether this copy is reachable only from its own machine."""
    return all(_is_loopback(host) for host in (config.host, urlsplit(config.url).hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_health(config: Settings) -> Iterator[Check]:
    """Check the parts of the Health page by its own measurement: all of the first workspace, and of every other one
    what belongs to it alone."""
    database.open_pool(config.database_service_url, "beckon_service", DOCTOR_POOL)
    open_ephemeral(config)
    broker.set_up(config)
    try:
        own_id = generated_secrets.read(config.home / generated_secrets.ACCESS_FILE).get("workspaceId")
        rows = sorted(workspace.list_all(), key=lambda row: row["id"] != own_id)
        first_id, *_ = [row["id"] for row in rows] or [NO_WORKSPACE]
        yield from report_health(measure(config, first_id, deployment_owner=True))
        for row in rows[1:MAX_WORKSPACES]:
            yield from report_health(measure(config, row["id"], deployment_owner=True), row["slug"])
        if len(rows) > MAX_WORKSPACES:
            detail = f"{len(rows) - MAX_WORKSPACES} more workspaces are not checked"
            yield Check("workspaces", "note", detail, "open their Health pages, or see the metrics of providers")
    except (peewee.PeeweeException, psycopg2.Error) as error:
        yield Check("health", "problem", f"cannot be read: {_format_error(error)}", "run `beckon migrate`")
    finally:
        database.db.close_all()


def report_health(health: Health, slug: str = "") -> Iterator[Check]:
    """Report a measurement as checks: of every part, or, of another workspace, of those that have a problem."""
    for part in health.parts:
        if part.group == "stores" and part.name != "disk":
            # Checked already, with the owner's connection.
            continue
        if part.state == "unknown" and health.redis is None:
            # Redis is reported by itself.
            continue
        if slug and (part.name in _DEPLOYMENT_PARTS or not part.problems):
            continue
        yield from _report_part(part, f"{part.name} ({slug})" if slug else part.name)


def _report_part(part: Part, name: str) -> Iterator[Check]:
    for problem in part.problems:
        status: Status = "problem" if part.state in BAD_STATES or problem.severity == "critical" else "note"
        yield Check(name, status, f"{problem.title}: {problem.meaning}", problem.remedy)
    if not part.problems and part.state in BAD_STATES:
        yield Check(name, "problem", part.text, RESTART_REMEDY)
    elif not part.problems:
        yield Check(name, "note" if part.state == "not_configured" else "ok", part.text)


def _check_dashboard(config: Settings) -> Check:
    readiness = startup.read_readiness(config)
    if readiness.status == "ok":
        return Check("dashboard", "ok", f"ready at {config.url}")
    if readiness.status == "unreachable":
        seen = outages.explain_program(config, "dashboard", f"{config.local_url}/readyz does not answer")
        return Check("dashboard", "problem", seen.detail, seen.remedy)
    detail = f"{readiness.status} at {config.url}: {'; '.join(readiness.reasons)}"
    return Check("dashboard", "problem", detail, "correct these first; it follows")


def _check_sandbox(config: Settings) -> Check:
    if config.sandbox == "off":
        return Check("sandbox", "note", "off: tests and the demo cannot send")
    try:
        with urllib.request.urlopen(f"{config.sandbox_url}/_sandbox/messages?to=nobody", timeout=TIMEOUT_SECONDS):
            return Check("sandbox", "ok", f"answers at {config.sandbox_url}")
    except (OSError, urllib.error.URLError) as error:
        return report_outage(config, "sandbox", "sandbox", _format_error(error))


def _check_provider(config: Settings, provider: str) -> Check:
    absent, needed = accounts.find_missing_secrets(config, provider), PROVIDERS[provider].required_settings
    if not absent:
        return Check(provider, "ok", f"configured, for {FEATURES[provider]}")
    names = " and ".join(absent)
    if len(absent) < len(needed):
        return Check(provider, "problem", f"partly configured: {names} is not set", f"set {names}")
    detail = f"not configured, which blocks {FEATURES[provider]} outside the demo workspace and tests"
    return Check(provider, "note", detail, f"set {names}")


def _check_clock(config: Settings) -> Check:
    if config.clock_offset:
        detail = f"ahead by {config.clock_offset:g} s, for testing"
        return Check("clock", "note", detail, "start without BECKON_CLOCK_OFFSET in production")
    return Check("clock", "ok", "current time")
