"""Finds out what became of a message whose answer was lost (semantics, section 4).

Found: it was sent, and its execution goes on. Not found: it stays held and is never resent because of that, unless its
step says `on_unknown: resend`, and then once.
"""

from __future__ import annotations

from datetime import timedelta

import dramatiq
import structlog

import metrics
from models import message, published, workspace
from models.database import Row, transaction
from providers import PROVIDERS
from providers.base import Receipt
from rules.definition import parse
from rules.errors import ExecutionError
from rules.plan import find_step
from tasks.accounts import account_for
from tasks.bells import ring_for
from tasks.engine import current

log = structlog.get_logger(__name__)

#: Seconds between look-ups of one message: providers list a message a while after they took it.
LOOK_UP_AFTER_SECONDS = (20.0, 60.0, 300.0)


@dramatiq.actor(actor_name="look_up_message", queue_name="sending", max_retries=0)
def look_up_message(message_id: str) -> None:
    """Ask the provider about one message of unknown outcome."""
    with transaction():
        found = message.get(message_id)
    if found is None or found["status"] != "outcome_unknown":
        return
    try:
        receipt, answered = _ask(found), True
    except ExecutionError as error:
        log.info("a look-up failed", message_id=message_id, error=error.message)
        receipt, answered = None, False
    with transaction():
        reopened = _conclude(found, receipt, answered)
    if reopened is not None:
        ring_for([reopened])


def _ask(found: Row) -> Receipt | None:
    provider = PROVIDERS[found["provider"]]
    if not provider.can_look_up:
        return None
    owner = workspace.get(found["workspace_id"])
    account = account_for(
        current().settings,
        found["provider"],
        found["workspace_id"],
        test=found["test"] or found["sandbox"],
        demo=bool(owner and owner["demo"]),
    )
    return provider.look_up(account, found["key"], found["sending_at"] - timedelta(minutes=1), found["to_address"])


def _conclude(found: Row, receipt: Receipt | None, answered: bool) -> Row | None:
    if receipt is not None:
        metrics.sends_total.labels(channel=found["channel"], provider=found["provider"], outcome="sent").inc()
        return message.resolve_sent(found["id"], receipt.provider_message_id)
    if found["look_ups"] < len(LOOK_UP_AFTER_SECONDS) and PROVIDERS[found["provider"]].can_look_up:
        message.note_look_up(found["id"], LOOK_UP_AFTER_SECONDS[found["look_ups"]])
        return None
    # A provider that could not be asked has not said that it knows nothing.
    if answered and found["resends"] == 0 and _may_resend(found):
        log.info("no trace of the message, it is sent once more", message_id=found["id"])
        return message.resolve_resend(found["id"])
    message.note_look_up(found["id"], None)
    return None


def _may_resend(found: Row) -> bool:
    document = published.definition_of_execution(found["execution_id"])
    step = find_step(parse(document), found["step_id"]) if document else None
    return step is not None and step.on_unknown == "resend"
