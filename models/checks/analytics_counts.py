"""The query of the invariant that the counts of Analytics equal the rows, written by hand as those of
`models.checks.invariants` are: for the last two days, which retention never shortens."""

from __future__ import annotations

#: The automations whose counts of executions, steps, messages or tracked executions differ from their rows.
ANALYTICS_ADD_UP = """
    with start as (
        select date_trunc('hour', beckon_now() - interval '48 hours') as at
    ), counted as (
        select workspace_id, automation_id, subject, dimension, value, status, sum(count) as count from (
            select workspace_id, automation_id, subject, dimension, value, status, count from analytics_tallies, start
            where span = 'hour' and analytics_tallies.at >= start.at
                and automation_id <> '00000000-0000-0000-0000-000000000000'
            union all
            select workspace_id, automation_id, subject, dimension, value, status, count from analytics_changes, start
            where analytics_changes.at >= start.at
        ) c
        where (subject, dimension) in (('executions', 'trigger'), ('steps', 'action'), ('messages', 'channel'))
        group by 1, 2, 3, 4, 5, 6
    ), kept as (
        select workspace_id, automation_id, subject, status, sum(count) as count from counted group by 1, 2, 3, 4
    ), present as (
        select e.workspace_id, e.automation_id, 'executions' as subject, case when e.finished_at is null then 'active'
            when e.status = 'failed' and e.error_class = 'unknown_outcome' then 'unknown' else e.status end as status
        from executions e, start where e.created_at >= start.at and not e.test
        union all
        select w.workspace_id, w.workflow_id, 'executions', case w.status when 'success' then 'succeeded'
            when 'error' then 'failed' else 'timed_out' end
        from workflow_executions w, start where w.executed_at >= start.at
        union all
        select e.workspace_id, e.automation_id, 'steps', s.status
        from executions e join steps s on s.execution_id = e.id, start
        where e.created_at >= start.at and not e.test and s.status in ('succeeded', 'failed', 'skipped')
        union all
        select v.workspace_id, v.workflow_id, 'steps', case when v.error is null then 'succeeded' else 'failed' end
        from analytics_events v, start where v.occurred_at >= start.at and v.event_type = 'action'
        union all
        select m.workspace_id, m.automation_id, 'messages', 'sent'
        from messages m, start where m.sent_at >= start.at and not m.test
        union all
        select m.workspace_id, m.automation_id, 'messages', r.kind
        from message_responses r join messages m on m.id = r.message_id, start
        where m.sent_at >= start.at and not m.test
    ), rows as (
        select workspace_id, automation_id, subject, status, count(*) as count from present group by 1, 2, 3, 4
    )
    select distinct coalesce(k.automation_id, r.automation_id) as id, coalesce(k.workspace_id, r.workspace_id)
        as workspace_id
    from kept k full join rows r using (workspace_id, automation_id, subject, status)
    where coalesce(k.count, 0) <> coalesce(r.count, 0)
        and not (subject = 'messages' and status in ('delivered', 'opened'))
"""
