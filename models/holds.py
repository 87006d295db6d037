"""Which executions a pause holds: those that wait for its end, for new credentials of its provider, or for an
answer of it.

A pause is named `<kind>:<name>`, such as `provider:telnyx` or `queue:sending`.
"""

from __future__ import annotations

import peewee

from models.expressions import all_of
from models.tables import Execution, Message
from rules.channels import TEXT_PROVIDERS


def build_held_condition(pause: str) -> peewee.Expression:
    """Build the condition that an execution waits for the end of this pause. A text has no message, so its queue
    tells."""
    kind, _, name = pause.partition(":")
    if kind == "queue":
        return _build_waiting("pause") & (Execution.queue == name)
    unanswered = _build_waiting("provider") & (Execution.provider == name)
    is_waiting = _build_waiting("pause", "configuration")
    if name in TEXT_PROVIDERS:
        return unanswered | is_waiting & (Execution.queue == "generation")
    message = Message.select(Message.id).where(
        Message.execution_id == Execution.id, Message.status == "pending", Message.provider == name
    )
    return unanswered | is_waiting & peewee.fn.exists(message)


def _build_waiting(*reasons: str) -> peewee.Expression:
    return all_of(Execution.status == "waiting", Execution.waiting_for.in_(reasons))
