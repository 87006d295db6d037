-- The executions that wait for a worker and whose notification was sent, by queue and workspace: a claim takes turns
-- between the workspaces, and finds those with due work by this index alone. And since when a provider limits the rate.

-- The condition is one expression, as in models/engine/claim_and_record.py, so that no other index serves the claim.
create index executions_turns on executions (queue, workspace_id, due_at, id)
    where case when status in ('pending', 'waiting') then rung_at >= due_at else false end;

-- Set by the first answer "too many requests", until the call is accepted: after a day such answers count as attempts.
alter table executions add column rate_limited_since timestamptz;
