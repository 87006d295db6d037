"""Follow-ups: the reasons that stop them, and how an operator stops them.

A worker checks these reasons when a follow-up is due and again right before it is sent, because a reply may arrive in
between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.conversation import PRIVATE_MESSAGE_KINDS
from models.database import Row, fetch_row, fetch_rows


def fetch_stop_reasons(execution_id: str, contact_id: str | None, channel: str, since: datetime) -> Row:
    """Return `stopped` (an operator's reason, or None), `suppressed` (why the channel is suppressed, or None) and
    `replied_at`: when a message of the contact arrived after `since`, by Beckon's clock."""
    row = fetch_row(
        """
        select e.follow_ups_stopped as stopped,
            (select s.reason from suppressions s where s.workspace_id = e.workspace_id and s.contact_id = %(contact)s
                and s.channel = %(channel)s) as suppressed,
            (select min(r.created_at) from received_messages r where r.contact_id = %(contact)s
                and r.created_at > %(since)s and r.kind = any(%(kinds)s)) as replied_at
        from executions e where e.id = %(execution)s
        """,
        {
            "execution": execution_id,
            "contact": contact_id,
            "channel": channel,
            "since": since,
            "kinds": sorted(PRIVATE_MESSAGE_KINDS),
        },
    )
    assert row is not None
    return row


def wake(contact_id: str) -> list[Row]:
    """Make the contact's executions due that wait for a reply, to check them again; return ids and queues."""
    return fetch_rows(
        """
        update executions set due_at = beckon_now(), rung_at = beckon_now()
        where contact_id = %s and wait_event is not null and status = 'waiting' and waiting_for = 'follow_up'
        returning id, queue
        """,
        (contact_id,),
    )


def stop(execution_id: str, reason: Mapping[str, Any]) -> Row | None:
    """Stop the follow-ups of an execution in flight; return id, queue and `ends`, or None if none is to come.

    A worker that processes it checks this before it sends the next one. An execution that waits for a reply, a review
    or the time of a follow-up becomes due, so that it ends now; a paused one ends when the pause does.
    """
    return fetch_row(
        """
        with target as materialized (
            select e.id, e.status = 'waiting' and e.waiting_for <> 'pause'
                and (e.round > 0 or e.waiting_for = 'follow_up') as ends
            from executions e join workflow_versions v on v.id = e.version_id
            where e.workspace_id = acting_workspace() and e.id = %s and e.status in ('pending', 'running', 'waiting')
                and (v.definition #>> '{rules,follow_ups,max}')::numeric > 0
            for update of e
        )
        update executions e set follow_ups_stopped = %s::jsonb,
            due_at = case when t.ends then beckon_now() else e.due_at end,
            rung_at = case when t.ends then beckon_now() else e.rung_at end
        from target t where e.id = t.id
        returning e.id, e.queue, t.ends
        """,
        (execution_id, json.dumps(dict(reason))),
    )
