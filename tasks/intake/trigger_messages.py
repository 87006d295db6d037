"""Accepts triggers that a producer enqueues in Redis: queue `triggers`, actor `receive_trigger`.

They are validated like triggers by HTTP. An invalid trigger is logged, counted and dropped, because no producer waits
for a response. While PostgreSQL is unavailable, or another request holds the key, the trigger is retried without limit.
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
from rules.bodies import find_invalid_values
from rules.problems import Problem
from rules.trigger_bodies import parse_request
from rules.trigger_requests import TriggerRequest
from tasks.intake.triggers import RejectedTrigger, accept

log = structlog.get_logger(__name__)

#: Delay between two attempts, in ms.
MIN_BACKOFF_MS = 1_000
MAX_BACKOFF_MS = 60_000


class TryAgain(Exception):
    """The trigger was rejected temporarily: another request holds its key."""


def _is_transient(_retries: int, error: BaseException) -> bool:
    return isinstance(error, (TryAgain, *CONNECTION_ERRORS))


@dramatiq.actor(
    actor_name="receive_trigger",
    queue_name="triggers",
    max_retries=None,
    retry_when=_is_transient,
    min_backoff=MIN_BACKOFF_MS,
    max_backoff=MAX_BACKOFF_MS,
)
def receive_trigger(trigger: Mapping[str, Any]) -> None:
    """Accept one trigger for its workspace."""
    body = dict(trigger) if isinstance(trigger, Mapping) else {}
    workspace_id = body.pop("workspaceId", None)
    if not isinstance(workspace_id, str) or not is_id(workspace_id) or workspace.get(workspace_id) is None:
        _drop("workspaceId: no workspace with this id")
        return
    request = find_invalid_values(body) or parse_request(body)
    if not isinstance(request, TriggerRequest):
        _drop(_format_problems(request))
        return
    result = accept(workspace_id, [request], "redis")[0]
    if isinstance(result, RejectedTrigger) and result.retry_after is not None:
        raise TryAgain(request.idempotency_key)
    if isinstance(result, RejectedTrigger):
        _drop(_format_problems(result.problems))


def _format_problems(problems: Sequence[Problem]) -> str:
    return "; ".join(f"{problem.path}: {problem.message}" for problem in problems)


def _drop(reason: str) -> None:
    metrics.triggers_total.labels(source="redis", result="invalid").inc()
    log.warning("trigger from redis rejected", reason=reason)
