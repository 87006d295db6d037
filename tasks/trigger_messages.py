"""The trigger that a producer enqueues in Redis: queue `triggers`, actor `receive_trigger` (contract, Producers).

It is validated like one that came by HTTP. One that is wrong is logged, counted and dropped, because nobody waits for
an answer; one that finds PostgreSQL away, or its key in another's hands, is tried again for as long as that takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dramatiq
import structlog

import metrics
from models import workspace
from models.database import CONNECTION_ERRORS
from models.ids import is_id
from rules.bodies import unfit
from rules.problems import Problem
from tasks.trigger_bodies import read
from tasks.triggers import Refused, TriggerRequest, accept

log = structlog.get_logger(__name__)

#: Between two tries, in ms.
SHORTEST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 60_000


class TryAgain(Exception):
    """It was refused for now only: another request holds its key."""


def _passes(_retries: int, error: BaseException) -> bool:
    return isinstance(error, (TryAgain, *CONNECTION_ERRORS))


@dramatiq.actor(
    actor_name="receive_trigger",
    queue_name="triggers",
    max_retries=None,
    retry_when=_passes,
    min_backoff=SHORTEST_PAUSE_MS,
    max_backoff=LONGEST_PAUSE_MS,
)
def receive_trigger(trigger: Mapping[str, Any]) -> None:
    """Accept one trigger for the workspace that it names."""
    given = dict(trigger) if isinstance(trigger, Mapping) else {}
    workspace_id = given.pop("workspaceId", None)
    if not isinstance(workspace_id, str) or not is_id(workspace_id) or workspace.get(workspace_id) is None:
        _drop("workspaceId: no such workspace")
        return
    request = unfit(given) or read(given)
    if not isinstance(request, TriggerRequest):
        _drop(_in_words(request))
        return
    answer = accept(workspace_id, [request], "redis")[0]
    if isinstance(answer, Refused) and answer.retry_after is not None:
        raise TryAgain(request.idempotency_key)
    if isinstance(answer, Refused):
        _drop(_in_words(answer.problems))


def _in_words(problems: Sequence[Problem]) -> str:
    return "; ".join(f"{problem.path}: {problem.message}" for problem in problems)


def _drop(why: str) -> None:
    metrics.triggers_total.labels(source="redis", result="invalid").inc()
    log.warning("a trigger in Redis was refused", why=why)
