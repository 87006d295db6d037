"""Counts operators' actions: done, or refused because of what they found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import metrics
from models.errors import Conflict, NotFound


@contextmanager
def count_action(action: str) -> Iterator[None]:
    """Count the action inside, or each call of the function that this decorates."""
    try:
        yield
    except (Conflict, NotFound):
        metrics.operator_actions_total.labels(action=action, result="refused").inc()
        raise
    metrics.operator_actions_total.labels(action=action, result="done").inc()
