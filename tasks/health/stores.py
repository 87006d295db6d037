"""Judges PostgreSQL, Redis and the disk."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from models import migrations
from models.reports.health import ServerFacts
from rules.durations import format_duration
from rules.server_faults import SIGHTINGS, classify_error, describe_remedy
from settings import Settings
from tasks.health.facts import DiskFacts, Facts, RedisFacts
from tasks.health.parts import Part, Problem, State

#: A trivial query that takes longer is slow.
SLOW_MS = 250.0
#: The part of its memory limit that Redis may use before a warning.
REDIS_MEMORY_RATIO = 0.8
#: Below this free space nothing is accepted, because PostgreSQL would fail soon.
DISK_FULL_BYTES = 100_000_000
MEGABYTE, GIGABYTE = 1_000_000, 1_000_000_000
#: Redis as it is needed: it must never evict a message.
POLICY = "noeviction"


def _list_needed_migrations() -> tuple[str, ...]:
    names = sorted(file.name.removesuffix(".up.sql") for file in migrations.FOLDER.glob("[0-9]*.up.sql"))
    return tuple(name for name in names if not migrations.is_post(name))


#: Read once: an upgrade replaces the files while the programs of the version before still run.
_NEEDED_MIGRATIONS = _list_needed_migrations()


def build_postgres_part(facts: Facts, active_automations: int | None, settings: Settings) -> Part:
    """Build the part of PostgreSQL, with the state of the migrations."""
    server = facts.get("postgres", ServerFacts)
    if server is None:
        problem = _describe_postgres_down(facts.reason("postgres"), settings)
        return Part("postgres", "PostgreSQL", "stores", "failing", "Does not answer", problems=(problem,))
    problems = tuple(problem for problem in (_find_postgres_problem(server), _find_migrations(facts)) if problem)
    words = [describe_migrations(facts)]
    if active_automations is not None:
        words.append(f"{active_automations:,} active {'automation' if active_automations == 1 else 'automations'}")
    return Part(
        "postgres",
        "PostgreSQL",
        "stores",
        _judge_problems(problems),
        " · ".join([*words, f"version {server.version}"]),
        figure=format_milliseconds(server.latency_ms),
        since=server.started_at,
        problems=problems,
    )


def _judge_problems(problems: tuple[Problem, ...]) -> State:
    if any(problem.severity == "critical" for problem in problems):
        return "failing"
    return "degraded" if problems else "ready"


def format_milliseconds(milliseconds: float) -> str:
    """`0.8 ms`, `240 ms`, `2.1 s`."""
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else format_duration(milliseconds / 1000)


def _describe_postgres_down(reason: str, settings: Settings) -> Problem:
    fault = classify_error(reason)
    return Problem(
        "postgres_down",
        "postgres",
        "critical",
        f"PostgreSQL {SIGHTINGS[fault]}",
        f"Nothing can be accepted or processed: {reason}. Producers get 503 and try again; nothing accepted is lost. "
        "Beckon reconnects by itself.",
        describe_remedy(fault, "DATABASE_URL", "postgres" if settings.embedded_database else ""),
    )


def _find_postgres_problem(server: ServerFacts) -> Problem | None:
    if server.read_only:
        return Problem(
            "postgres_read_only", "postgres", "critical", "PostgreSQL is read-only",
            "It is a standby, or it protects a full disk. Nothing can be accepted or processed.",
            "Point DATABASE_URL to the primary server, or free disk space and end the read-only mode.",
        )  # fmt: skip
    if server.latency_ms > SLOW_MS:
        return Problem(
            "postgres_slow", "postgres", "warning", "PostgreSQL is slow",
            f"A trivial query takes {format_milliseconds(server.latency_ms)}; usual is under 5 ms.",
            "Check the server's load, its disk and the network between.",
        )  # fmt: skip
    return None


def list_pending_migrations(newest: str | None) -> list[str]:
    """Return the migrations that this version needs and the database lacks, by the newest applied one."""
    return [name for name in _NEEDED_MIGRATIONS if name > (newest or "")]


def describe_migrations(facts: Facts) -> str:
    """`migration 0033, up to date`."""
    if not facts.is_measured("migrations"):
        return "migrations unknown"
    newest: str | None = facts.results["migrations"]
    pending = list_pending_migrations(newest)
    number = (newest or "none").split("_")[0]
    return f"migration {number}, {f'{len(pending)} pending' if pending else 'up to date'}"


def _find_migrations(facts: Facts) -> Problem | None:
    if not facts.is_measured("migrations"):
        return None
    pending = list_pending_migrations(facts.results["migrations"])
    if not pending:
        return None
    return Problem(
        "migrations_pending",
        "postgres",
        "critical",
        f"{len(pending)} {'migration is' if len(pending) == 1 else 'migrations are'} pending",
        f"This version needs {', '.join(pending[:5])}. Until then Beckon accepts nothing.",
        "Run `beckon migrate` as the database's owner.",
    )


def build_redis_part(facts: Facts, now: datetime, settings: Settings, *, deployment_owner: bool) -> Part:
    """Build the part of Redis. Its memory holds the messages of all workspaces: only a deployment owner sees it."""
    redis = facts.get("redis", RedisFacts)
    if redis is None:
        problem = _describe_redis_down(facts.reason("redis"), settings)
        return Part("redis", "Redis", "stores", "failing", "Does not answer", problems=(problem,))
    faults = (_find_refusal(redis), _find_policy(redis), _find_memory(redis))
    problems = tuple(problem for problem in faults if problem)
    words = [format_milliseconds(redis.latency_ms), f"policy {redis.policy}"]
    if deployment_owner and not redis.limit_bytes:
        words.append("no memory limit")
    return Part(
        "redis",
        "Redis",
        "stores",
        _judge_problems(problems),
        " · ".join(words),
        figure=_describe_memory(redis) if deployment_owner else "",
        since=now - timedelta(seconds=redis.uptime_seconds),
        gauge=(redis.used_bytes, redis.limit_bytes) if deployment_owner and redis.limit_bytes else None,
        problems=problems,
    )


def _describe_memory(redis: RedisFacts) -> str:
    used = redis.used_bytes / MEGABYTE
    return f"{used:,.0f} of {redis.limit_bytes / MEGABYTE:,.0f} MB" if redis.limit_bytes else f"{used:,.0f} MB"


def _describe_redis_down(reason: str, settings: Settings) -> Problem:
    fault = classify_error(reason)
    return Problem(
        "redis_down",
        "redis",
        "critical",
        f"Redis {SIGHTINGS[fault]}",
        f"Workers get no notifications: {reason}. Triggers are accepted and wait in PostgreSQL; nothing is lost. Work "
        "continues within seconds after it is back.",
        describe_remedy(fault, "REDIS_URL", "redis" if settings.embedded_redis else ""),
    )


def _find_refusal(redis: RedisFacts) -> Problem | None:
    if not redis.refusal:
        return None
    return Problem(
        "redis_refuses",
        "redis",
        "critical",
        f"Redis refuses changes{_format_code(redis.refusal)}",
        f"It answers: {redis.refusal[:300]}. Workers get no notifications and record no heartbeats. Triggers are "
        "accepted and wait in PostgreSQL; nothing is lost.",
        "Remove the cause that Redis names: its disk, memory or replicas, or the rights of REDIS_URL's user. Work "
        "continues within seconds after it accepts changes.",
    )


def _format_code(answer: str) -> str:
    """The code that an answer of Redis begins with, in brackets; empty for one without."""
    code = re.match(r"[A-Z]{3,40}\b", answer)
    return f" ({code[0]})" if code else ""


def _find_policy(redis: RedisFacts) -> Problem | None:
    if redis.policy == POLICY:
        return None
    return Problem(
        "redis_policy", "redis", "critical", f"Redis may evict messages ({redis.policy})",
        "When its memory is full, it deletes keys, also those of queued messages.",
        "Set its maxmemory-policy to noeviction.",
    )  # fmt: skip


def _find_memory(redis: RedisFacts) -> Problem | None:
    if not redis.limit_bytes or redis.used_bytes <= REDIS_MEMORY_RATIO * redis.limit_bytes:
        return None
    used = redis.used_bytes / redis.limit_bytes
    return Problem(
        "redis_memory", "redis", "warning", f"Redis uses {used:.0%} of its memory limit",
        "When it is full, notifications are refused and the sweep repeats them later: everything becomes slower.",
        "Raise its maxmemory, or find out which queue grows.",
    )  # fmt: skip


def build_disk_part(facts: Facts, settings: Settings) -> Part:
    """Build the part of the disk of BECKON_HOME."""
    disk = facts.get("disk", DiskFacts)
    if disk is None:
        return Part("disk", "Disk", "stores", "unknown", f"Cannot be measured: {facts.reason('disk')}")
    problem = find_disk_problem(disk, settings)
    used = disk.total - disk.free
    return Part(
        "disk",
        "Disk",
        "stores",
        _judge_problems((problem,) if problem else ()),
        f"used, {disk.free / GIGABYTE:,.1f} GB free",
        figure=f"{used / disk.total:.0%}" if disk.total else "",
        gauge=(used, disk.total) if disk.total else None,
        continues=True,
        problems=(problem,) if problem else (),
    )


def is_disk_full(disk: DiskFacts, settings: Settings) -> bool:
    """Whether nothing more can be accepted: the embedded PostgreSQL needs the space that is left."""
    return settings.embedded_database and disk.free < DISK_FULL_BYTES


def find_disk_problem(disk: DiskFacts, settings: Settings) -> Problem | None:
    """Return the problem of a disk that is full or nearly full. It has the embedded PostgreSQL, and the logs."""
    free = f"{disk.free / MEGABYTE:,.0f} MB"
    if is_disk_full(disk, settings):
        return Problem(
            "disk_full", "disk", "critical", f"The disk is full: {free} free",
            "Nothing is accepted, because it could not be stored. Accepted work goes on while PostgreSQL can write.",
            "Free space on the disk of BECKON_HOME, or enlarge it. Beckon continues by itself.",
        )  # fmt: skip
    if disk.free < settings.disk_reserve_mb * MEGABYTE:
        limit = f"Below {DISK_FULL_BYTES / MEGABYTE:,.0f} MB nothing more is accepted."
        return Problem(
            "disk_nearly_full", "disk", "warning", f"The disk is nearly full: {free} free",
            limit if settings.embedded_database else "When it is full, the programs' log lines are dropped.",
            "Free space on the disk of BECKON_HOME, or enlarge it. BECKON_DISK_RESERVE_MB sets this warning.",
        )  # fmt: skip
    return None
