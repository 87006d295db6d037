"""Follow-ups: what calls them off between two looks, and how an operator stops them.

A worker reads this when a follow-up is due and again right before it is sent, because an answer may come meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.conversation import PRIVATE_MESSAGE_KINDS
from models.database import Row, fetch_row, fetch_rows


def fetch_stop_reasons(execution_id: str, contact_id: str | None, channel: str, since: datetime) -> Row:
    """`stopped` (an operator's wish, or None), `suppressed` (why the channel is, or None), and `replied_at`: when a
    message of the contact arrived after `since`, by our own clock."""
    row = fetch_row(
        """
        select e.follow_ups_stopped as stopped,
            (select s.reason from suppressions s where s.workspace_id = e.workspace_id and s.contact_id = %(contact)s
                and s.channel = %(channel)s) as suppressed,
            (select min(r.created_at) from received_messages r where r.contact_id = %(contact)s
                and r.created_at > %(since)s and r.kind = any(%(said)s)) as replied_at
        from executions e where e.id = %(execution)s
        """,
        {
            "execution": execution_id,
            "contact": contact_id,
            "channel": channel,
            "since": since,
            "said": sorted(PRIVATE_MESSAGE_KINDS),
        },
    )
    assert row is not None
    return row


def wake(contact_id: str) -> list[Row]:
    """Look again now at what waits for an answer of this contact: something happened; ids with queues."""
    return fetch_rows(
        """
        update executions set due_at = beckon_now(), rung_at = beckon_now()
        where contact_id = %s and wait_event is not null and status = 'waiting' and waiting_for = 'follow_up'
        returning id, queue
        """,
        (contact_id,),
    )


def stop(execution_id: str, reason: Mapping[str, Any]) -> Row | None:
    """Let an execution in flight send no follow-up any more: id, queue and `ends`; None where none is to come.

    Whoever works on it sees the wish before it sends the next one. What waits for an answer, a review or the time of a
    follow-up is made due, so that it ends now; what a pause holds ends when it is let go.
    """
    return fetch_row(
        """
        with wanted as materialized (
            select e.id, e.status = 'waiting' and e.waiting_for <> 'pause'
                and (e.round > 0 or e.waiting_for = 'follow_up') as ends
            from executions e join workflow_versions v on v.id = e.version_id
            where e.workspace_id = acting_workspace() and e.id = %s and e.status in ('pending', 'running', 'waiting')
                and (v.definition #>> '{rules,follow_ups,max}')::numeric > 0
            for update of e
        )
        update executions e set follow_ups_stopped = %s::jsonb,
            due_at = case when w.ends then beckon_now() else e.due_at end,
            rung_at = case when w.ends then beckon_now() else e.rung_at end
        from wanted w where e.id = w.id
        returning e.id, e.queue, w.ends
        """,
        (execution_id, json.dumps(dict(reason))),
    )
