"""Remembers when a problem that does not tell by itself since when it lasts was first seen, by any process.

Redis keeps the times for all processes; without Redis each process has its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from ephemeral import problem_times
from ephemeral.connection import ERRORS
from ephemeral.problem_times import ProblemId
from tasks.health.parts import Part, Problem

_first_seen: dict[ProblemId, datetime] = {}
_lock = threading.Lock()


def fill_times(parts: Iterable[Part], now: datetime) -> list[Part]:
    """Return the parts with a time for every problem, and forget the problems of these parts that ended.

    For parts that are the same for all workspaces: their problems' keys are unique.
    """
    parts = list(parts)
    times = _note_in_process(parts, now)
    # Without an answer of Redis there is nothing to wait for.
    if not any(part.name == "redis" and part.problems for part in parts):
        with contextlib.suppress(*ERRORS):
            times |= problem_times.keep([part.name for part in parts], times)
    return [_fill_part(part, times) for part in parts]


def _note_in_process(parts: Sequence[Part], now: datetime) -> dict[ProblemId, datetime]:
    """Return when this process first saw each problem."""
    names = {part.name for part in parts}
    present = {(part.name, problem.key) for part in parts for problem in part.problems}
    with _lock:
        for problem in [problem for problem in _first_seen if problem[0] in names and problem not in present]:
            del _first_seen[problem]
        return {problem: _first_seen.setdefault(problem, now) for problem in present}


def _fill_part(part: Part, times: dict[ProblemId, datetime]) -> Part:
    problems = tuple(_fill_problem(part, problem, times) for problem in part.problems)
    if not problems or part.state == "ready":
        return replace(part, problems=problems)
    return replace(part, problems=problems, since=problems[0].since)


def _fill_problem(part: Part, problem: Problem, times: dict[ProblemId, datetime]) -> Problem:
    return replace(problem, since=problem.since or times[part.name, problem.key])
