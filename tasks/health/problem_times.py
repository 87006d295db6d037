"""Remembers when this process first saw a problem that does not tell by itself since when it lasts."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from tasks.health.parts import Part, Problem

_first_seen: dict[str, datetime] = {}
_lock = threading.Lock()


def fill_times(parts: Iterable[Part], now: datetime) -> list[Part]:
    """Return the parts with a time for every problem, and forget the problems that ended.

    For parts that are the same for all workspaces: their problems' keys are unique.
    """
    parts = list(parts)
    keys = {problem.key for part in parts for problem in part.problems}
    with _lock:
        for key in _first_seen.keys() - keys:
            del _first_seen[key]
        return [_fill_part(part, now) for part in parts]


def _fill_part(part: Part, now: datetime) -> Part:
    problems = tuple(_fill_problem(problem, now) for problem in part.problems)
    if not problems or part.state == "ready":
        return replace(part, problems=problems)
    return replace(part, problems=problems, since=problems[0].since)


def _fill_problem(problem: Problem, now: datetime) -> Problem:
    since = problem.since or _first_seen.setdefault(problem.key, now)
    return replace(problem, since=since)
