"""Sends the workspace's answer to HELP, once: carriers allow it to numbers that opted out, and count it as no campaign.

It belongs to no execution and to no limit. Its intent is committed before the call; what fails is not repeated, because
the person can ask again.
"""

from __future__ import annotations

import dramatiq
import structlog

from models import help_reply
from models.database import transaction
from models.help_reply import HelpReplyRow
from providers.base import OutgoingMessage
from providers.registry import SENDERS
from rules.errors import ExecutionError
from tasks.runtime.engine import get_engine
from tasks.steps.accounts import resolve_account
from tasks.steps.workspace_settings import resolve_workspace_settings

log = structlog.get_logger(__name__)

PROVIDER = "telnyx"


@dramatiq.actor(actor_name="send_help_reply", queue_name="sending", max_retries=0)
def send_help_reply(row_id: str) -> None:
    """Send one reply, unless another process has it."""
    with transaction():
        row = help_reply.claim(row_id)
    if row is None:
        return
    error = _send(row_id, row)
    with transaction():
        help_reply.finish(row_id, error)
    log.info("help reply", workspace_id=row["workspace_id"], help_reply_id=row_id, error=error)


def _send(row_id: str, row: HelpReplyRow) -> str | None:
    """Send the text; return what went wrong."""
    settings = resolve_workspace_settings(get_engine().settings, row["workspace_id"])
    outgoing = OutgoingMessage(key=f"help:{row_id}", to=row["to_address"], body=row["body"], sender=row["sender"])
    try:
        account = resolve_account(settings, PROVIDER, row["workspace_id"], test=row["sandbox"], demo=row["demo"])
        SENDERS[PROVIDER].send(account, outgoing)
    except ExecutionError as error:
        return error.message
    return None
