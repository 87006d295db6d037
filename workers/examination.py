"""What `beckon doctor` looks at: every setting explained, and every part of a copy asked whether it is well.

Each look is one function that answers a Check and never raises: a part that is away is a problem with its remedy, and
the others are looked at all the same.
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
from ephemeral import heartbeats
from ephemeral.connection import open_ephemeral
from models import database, deployment, duty, migrations, pause, workspace
from models.database import Row, acting_as
from providers import REQUIRED_SECRETS
from settings import Settings
from tasks import accounts
from tasks.broker import QUEUES
from workers import starting
from workers.preparation import OLDEST_POSTGRES, OLDEST_REDIS

#: Seconds that one part may take to answer.
PATIENCE_SECONDS = 3
#: What stands still in a workspace without the sandbox while a provider has no key.
BLOCKS = {
    "mailgun": "e-mail",
    "telnyx": "SMS",
    "facebook": "messages on Facebook",
    "instagram": "messages on Instagram",
    "gemini": "texts written by Gemini",
    "openai": "texts written by an API that speaks OpenAI's",
    "slack": "notices to Slack",
    "discord": "notices to Discord",
}
START = "start Beckon with `beckon up`"


@dataclass(frozen=True)
class Check:
    """One part: well, worth knowing, or a problem with what to do about it."""

    name: str
    status: Literal["ok", "note", "problem"]
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Explained:
    """One setting: its value as it may be shown, whether somebody set it, what it is for and what needs it."""

    name: str
    value: str
    is_set: bool
    explanation: str
    blocks: str


def explained(told: Settings) -> list[Explained]:
    """Every setting, in the order of the documentation. Of secrets only whether they are set."""
    needed = {variable for provider in BLOCKS for variable in REQUIRED_SECRETS[provider]}
    return [
        Explained(
            one.name,
            _shown(one, getattr(told, one.attribute)),
            one.name in os.environ,
            one.explanation,
            _blocked_without(one.name) if one.name in needed else "",
        )
        for one in settings.VARIABLES
    ]


def _blocked_without(variable: str) -> str:
    return " and ".join(words for provider, words in BLOCKS.items() if variable in REQUIRED_SECRETS[provider])


def _shown(variable: settings.Variable, value: Any) -> str:
    if variable.secret:
        return "set" if value else "not set"
    if isinstance(value, tuple):
        value = ",".join(str(one) for one in value)
    if isinstance(value, bool):
        return "1" if value else "0"
    return "not set" if value in (None, "") else str(value)


def examine(told: Settings) -> Iterator[Check]:
    """Look at everything, each finding as soon as it is known."""
    yield _home(told)
    postgres = _postgres(told)
    yield postgres
    found_redis = _redis(told)
    yield found_redis
    if postgres.status == "ok":
        yield _migrations(told)
        yield from (_role(told, role, url) for role, url in _roles(told))
        yield from _inside_postgres(told)
    if found_redis.status == "ok":
        yield _workers(told)
    yield _dashboard(told)
    yield _sandbox(told)
    yield from (_provider(told, provider) for provider in BLOCKS)
    yield _clock(told)


def _home(told: Settings) -> Check:
    if not told.home.exists():
        return Check("home", "problem", f"{told.home} is not there", START)
    if not os.access(told.home, os.W_OK):
        return Check("home", "problem", f"{told.home} is not writable", "set BECKON_HOME to a directory that is yours")
    return Check("home", "ok", str(told.home))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _postgres(told: Settings) -> Check:
    remedy = START if told.embedded_database else "look at DATABASE_URL and at the server"
    try:
        with closing(psycopg2.connect(told.database_url, connect_timeout=PATIENCE_SECONDS)) as connection:
            version = connection.server_version
    except psycopg2.Error as error:
        return Check("postgresql", "problem", f"does not answer: {_first_line(error)}", remedy)
    shown = f"version {version // 10_000}.{version % 10_000}{', embedded' if told.embedded_database else ''}"
    if version < OLDEST_POSTGRES:
        return Check("postgresql", "problem", shown, "upgrade it to 16 or newer")
    return Check("postgresql", "ok", shown)


def _redis(told: Settings) -> Check:
    remedy = START if told.embedded_redis else "look at REDIS_URL and at the server"
    try:
        with closing(redis.Redis.from_url(told.redis_url, socket_timeout=PATIENCE_SECONDS,
                                          socket_connect_timeout=PATIENCE_SECONDS)) as client:  # fmt: skip
            state = dict(client.info("server")) | dict(client.info("memory"))
    except (redis.RedisError, OSError) as error:
        return Check("redis", "problem", f"does not answer: {_first_line(error)}", remedy)
    version, policy = str(state["redis_version"]), str(state.get("maxmemory_policy", "noeviction"))
    shown = f"version {version}, {policy}{', embedded' if told.embedded_redis else ''}"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return Check("redis", "problem", shown, "upgrade it to 6.2 or newer")
    if policy != "noeviction":
        return Check("redis", "problem", f"{shown}: it would drop work", "set its maxmemory-policy to noeviction")
    return Check("redis", "ok", shown)


def _migrations(told: Settings) -> Check:
    try:
        missing = migrations.pending(told.database_url)
    except (migrations.MigrationRefused, psycopg2.Error, peewee.PeeweeException) as error:
        return Check("migrations", "problem", _first_line(error), "run `beckon migrate` as the database's owner")
    if missing:
        return Check("migrations", "problem", f"not applied: {', '.join(missing)}", "run `beckon migrate`")
    return Check("migrations", "ok", "all applied")


_OWN_URLS = {"beckon_app": "DATABASE_APP_URL", "beckon_service": "DATABASE_SERVICE_URL"}


def _roles(told: Settings) -> tuple[tuple[database.Role, str], ...]:
    return ("beckon_app", told.database_app_url), ("beckon_service", told.database_service_url)


def _role(told: Settings, role: database.Role, url: str) -> Check:
    """What this program's transactions are, asked in one."""
    database.open_pool(url, role, 1)
    try:
        acting = deployment.acting_role()
    except (peewee.PeeweeException, psycopg2.Error) as error:
        remedy = f"grant {role} to the user of its URL, or run `beckon migrate` as a user that may make roles"
        return Check(role, "problem", f"no transaction acts as it: {_first_line(error)}", remedy)
    finally:
        database.db.close_all()
    words = f"transactions act as {acting['acting']}, logged in as {acting['login']}"
    words += "" if acting["direct"] else ", through a pooler"
    # The owner's own connection may have any login; a connection of a program's own has one that is bound as well.
    ours = ("acting",) if url == told.database_url else ("acting", "login")
    for who in ours:
        power = acting[f"{who}_power"]
        if power:
            remedy = f"alter role {acting[who]} no{power}"
            return Check(
                role, "problem", f"{words}: {acting[who]} is {power}, so row security can be passed by", remedy
            )
    if url == told.database_url and not is_local(told):
        words += ": the owner's connection, which may act as others too"
        return Check(role, "note", words, f"set {_OWN_URLS[role]} to a login role of its own (docs/operating.md)")
    return Check(role, "ok", f"{words}; row security binds it")


def is_local(told: Settings) -> bool:
    """Whether this copy is reached from its own machine alone."""
    return all(_is_loopback(host) for host in (told.host, urlsplit(told.url).hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _inside_postgres(told: Settings) -> Iterator[Check]:
    database.open_pool(told.database_service_url, "beckon_service", 1)
    try:
        leads = duty.leader()
        if leads is None:
            yield Check("scheduler", "problem", "nobody leads, so nothing that waits goes on", START)
        else:
            yield Check("scheduler", "ok", f"led by {leads['host']}, process {leads['pid']}")
        for own in workspace.every():
            with acting_as(own["id"]):
                held = pause.every(own["id"])
            yield from (_refused(own["slug"], one) for one in held if one["reason"] == "configuration")
    except (peewee.PeeweeException, psycopg2.Error) as error:
        yield Check("scheduler", "problem", f"cannot be asked for: {_first_line(error)}", "run `beckon migrate`")
    finally:
        database.db.close_all()


def _refused(slug: str, held: Row) -> Check:
    words = f"refused for the workspace {slug}: {held['message']}"
    return Check(held["name"], "problem", words, "correct its credentials and restart; what waits then goes on")


def _workers(told: Settings) -> Check:
    open_ephemeral(told)
    try:
        alive = heartbeats.workers()
    except redis.RedisError as error:
        return Check("workers", "problem", f"cannot be asked for: {_first_line(error)}", START)
    unserved = [queue for queue in QUEUES if not any(queue in worker.queues for worker in alive)]
    if unserved:
        return Check("workers", "problem", f"nobody serves {', '.join(unserved)}", START)
    return Check("workers", "ok", f"{len(alive)} processes serve every queue")


def _dashboard(told: Settings) -> Check:
    if starting.is_ready(told):
        return Check("dashboard", "ok", f"ready at {told.url}")
    return Check("dashboard", "problem", f"{told.local_url}/readyz is not 200", START)


def _sandbox(told: Settings) -> Check:
    if told.sandbox == "off":
        return Check("sandbox", "note", "switched off: tests and the demo cannot send")
    try:
        with urllib.request.urlopen(f"{told.sandbox_url}/_sandbox/messages?to=nobody", timeout=PATIENCE_SECONDS):
            return Check("sandbox", "ok", f"answers at {told.sandbox_url}")
    except (OSError, urllib.error.URLError) as error:
        return Check("sandbox", "problem", f"{told.sandbox_url} does not answer: {_first_line(error)}", START)


def _provider(told: Settings, provider: str) -> Check:
    absent, needed = accounts.missing(told, provider), REQUIRED_SECRETS[provider]
    if not absent:
        return Check(provider, "ok", f"configured, for {BLOCKS[provider]}")
    names = " and ".join(absent)
    if len(absent) < len(needed):
        return Check(provider, "problem", f"only half configured: {names} is not set", f"set {names}")
    words = f"not configured, which blocks {BLOCKS[provider]} outside the demo workspace and tests"
    return Check(provider, "note", words, f"set {names}")


def _clock(told: Settings) -> Check:
    if told.clock_offset:
        words = f"ahead by {told.clock_offset:g} s, for rehearsals"
        return Check("clock", "note", words, "start without BECKON_CLOCK_OFFSET for real work")
    return Check("clock", "ok", "the present time")
