"""Reads the facts of a claim anew before a later outside call, once they are old.

Between the claim and the last send of an execution a model may think for a minute. Meanwhile an operator may have
paused a queue, and the contact may have unsubscribed or have another address.
"""

from __future__ import annotations

import time

import structlog

from models.database import CONNECTION_ERRORS, connection
from models.engine.current_facts import fetch_current_facts
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
    if not are_old(claimed):
        return False
    asked_at = time.monotonic()
    try:
        with connection():
            facts = fetch_current_facts(claimed.execution_id)
    except CONNECTION_ERRORS as error:
        # What the execution has done is not recorded yet, so it must not be abandoned for this.
        log.warning("postgres is unreachable, facts not read", execution_id=claimed.execution_id, error=str(error))
        return False
    if facts is None:
        return False
    claimed.replace_facts(facts, asked_at)
    repeat_unrecorded_changes(claimed)
    return True
