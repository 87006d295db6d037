-- Follow-ups: which round an execution is in, how many follow-ups left, and why no more are to come.

alter table executions
    -- 0 for the first passage, n for follow-up n.
    add column round integer not null default 0,
    -- Follow-ups that were sent.
    add column follow_up_count integer not null default 0,
    -- {"rule", "detail"}: what ended them before their time.
    add column follow_up_ended_because jsonb,
    -- The same, as an operator asked for it; no worker's record replaces it, so that none can undo the wish.
    add column follow_ups_stopped jsonb,
    drop constraint executions_waiting_for_check,
    add constraint executions_waiting_for_check check (waiting_for in (
        'time', 'window', 'event', 'follow_up', 'retry', 'rate_limit', 'review', 'pause', 'configuration'));
