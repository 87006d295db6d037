"""Whether this process can accept work, for probes: cheap, and answered in time while a server hangs."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from cachetools import TTLCache, cached

import clock
from models.reports.health import ServerFacts
from settings import Settings
from tasks.health import leader, queues, sends, stores
from tasks.health.facts import Facts, read_essential
from tasks.health.parts import Part, Problem
from tasks.health.problem_times import fill_times

#: Seconds for which an answer is reused: probes come each second, and from several places.
CACHE_SECONDS = 1.0
#: Problems with which nothing can be accepted.
_BLOCKING = frozenset({"postgres_down", "postgres_read_only", "migrations_pending", "disk_full"})
#: Problems that somebody should look at, and that change nothing for those who call.
_IGNORED = ("clock:", "worker_lost:")


@dataclass(frozen=True)
class Readiness:
    """Whether triggers can be accepted, and every reason why something is not as it should be."""

    accepts: bool
    database_answers: bool
    problems: tuple[Problem, ...]


def judge_readiness(settings: Settings) -> Readiness:
    """Return the readiness, at most CACHE_SECONDS old."""
    return _judge(settings)


def forget() -> None:
    """Forget the last answer; for tests, which change what is measured faster than any fault."""
    _judge.cache_clear()


@cached(TTLCache(4, CACHE_SECONDS), condition=threading.Condition())
def _judge(settings: Settings) -> Readiness:
    facts = read_essential(settings)
    problems = [
        problem
        for part in fill_times(_build_parts(facts, settings), clock.now())
        for problem in part.problems
        if not problem.key.startswith(_IGNORED)
    ]
    server = facts.get("postgres", ServerFacts)
    return Readiness(
        accepts=not any(problem.key in _BLOCKING for problem in problems),
        database_answers=server is not None,
        problems=tuple(problems),
    )


def _build_parts(facts: Facts, settings: Settings) -> list[Part]:
    now = clock.now()
    return [
        stores.build_postgres_part(facts, None, settings),
        stores.build_redis_part(facts, now, settings, deployment_owner=False),
        stores.build_disk_part(facts, settings),
        *queues.build_queue_parts(facts, {}, [], now, deployment_owner=False),
        leader.build_leader_part(facts, deployment_owner=False),
        sends.build_sends_part(facts),
    ]
