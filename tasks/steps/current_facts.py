"""Reads anew what others may have changed since an execution was claimed: right before each message to its contact,
and before any other outside call once the facts are old.

Between the claim and the last send of an execution a model may think for a minute. Meanwhile an operator may have
paused a queue, and the contact may have unsubscribed or have another address.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import structlog

from models import address_key
from models.database import CONNECTION_ERRORS, connection
from models.engine.current_facts import CurrentFacts, fetch_current_facts
from providers.base import LeaseLost
from rules.channels import ADDRESS_FIELDS
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.steps.local_steps import repeat_unrecorded_changes

log = structlog.get_logger(__name__)

#: Facts that are older than this are read again before they decide about an outside call.
MAX_AGE_SECONDS = 1.0


def are_old(claimed: ClaimedExecution) -> bool:
    """Whether the contact, suppressions and pauses may be outdated."""
    return claimed.age_seconds() > MAX_AGE_SECONDS


def refresh_if_old(claimed: ClaimedExecution) -> bool:
    """Read the contact, suppressions and pauses anew if they are old; return whether they were read."""
    return are_old(claimed) and refresh(claimed)


def refresh(claimed: ClaimedExecution) -> bool:
    """Read the contact, suppressions and pauses anew; return whether they were read.

    Raises `LeaseLost` where the execution was cancelled, or claimed by another process.
    """
    asked_at = time.monotonic()
    try:
        facts = _fetch_facts(claimed)
    except CONNECTION_ERRORS as error:
        # What the execution has done is not recorded yet, so it must not be abandoned for this.
        log.warning("postgres is unreachable, facts not read", execution_id=claimed.execution_id, error=str(error))
        return False
    if facts is None or facts["fence"] != claimed.fence:
        raise LeaseLost(claimed.execution_id)
    claimed.replace_facts(facts, asked_at)
    repeat_unrecorded_changes(claimed)
    return True


def _fetch_facts(claimed: ClaimedExecution) -> CurrentFacts | None:
    """Fetch the facts, and again if the contact has another address than the one whose hash was looked up."""
    workspace_id, addresses = claimed.row["workspace_id"], _list_addresses(claimed.contact)
    while True:
        hashes = address_key.hash_addresses(workspace_id, addresses)
        with connection():
            facts = fetch_current_facts(claimed.execution_id, list(hashes.values()))
        current = _list_addresses(facts and facts["contact"])
        if current == addresses:
            return facts
        addresses = current


def _list_addresses(contact: Mapping[str, Any] | None) -> dict[str, str | None]:
    """List the contact's addresses by channel."""
    return {channel: (contact or {}).get(field) for channel, field in ADDRESS_FIELDS.items()}
