"""Tells an e-mail or SMS that comes from the workspace's own address or number: it is no answer of a contact.

Such a message arrives where a copy, a forwarding rule or another program of the workspace writes to the address to
which contacts reply.
"""

from __future__ import annotations

from email.utils import parseaddr

from models import workspace_preferences
from models.engine.rows import StoredMessageRow
from providers.base import Callback
from settings import load
from tasks.steps.workspace_settings import resolve_workspace_settings


def is_from_own_address(callback: Callback, message_row: StoredMessageRow | None, workspace_id: str) -> bool:
    """Whether a received message has the address of the workspace's sender, or the one that it was sent to.

    `message_row` is our message that it answers.
    """
    own = {callback.detail.get("to"), callback.detail.get("recipient"), message_row and message_row["sender"]}
    if callback.provider == "mailgun":
        own |= _list_senders(workspace_id)
    return _normalize(callback.address) in {_normalize(address) for address in own if address}


def _list_senders(workspace_id: str) -> set[str | None]:
    settings = resolve_workspace_settings(load(), workspace_id)
    return {settings.mailgun_from, workspace_preferences.load_cached(workspace_id).sender_address}


def _normalize(address: object) -> str:
    text = str(address or "")
    return (parseaddr(text)[1] or text).lower()
