-- Stores what several webhook requests brought, in one transaction and in the order in which they arrived.
--
-- Requests: `[{"id", "workspace_id", "token_hash", "door", "body_hash"}]`, the hashes as hexadecimal digits.
-- `workspace_id` is that of the path, the token that of a signature which does not cover the body; each may be null.
-- Events: `[{"request", "id", "provider", "event_id", "sandbox", "body"}]`.
--
-- Returns for each request its outcome and the ids of its events that are new:
--   refused   the token was consumed by another request
--   missing   the workspace does not exist; the token is consumed
--   repeated  the token was consumed by the same body at the same door: a retry
--   stored    the events that were not stored before are, which the other outcomes prevent
-- Of two requests with one token, and of two events with one id, the first counts. Waits `max_wait_ms` for a lock, 0
-- without a bound.
create function store_webhooks(requests json, events json, max_wait_ms integer)
    returns table (request uuid, outcome text, stored_ids uuid[])
    language plpgsql security definer set search_path = public, pg_temp set enable_seqscan = off as $$
declare
    new_tokens bytea[];
begin
    perform set_config('lock_timeout', max_wait_ms::text, true);

    -- Both insertions in one order for every process, so that two of them cannot deadlock.
    with inserted as (
        insert into webhook_tokens as t (token_hash, door, body_hash)
        select distinct on (d.token_hash) decode(d.token_hash, 'hex'), d.door, decode(d.body_hash, 'hex')
        from rows from (
            json_to_recordset(requests) as (token_hash text, door text, body_hash text)
        ) with ordinality as d(token_hash, door, body_hash, place)
        where d.token_hash is not null order by d.token_hash, d.place
        on conflict do nothing returning t.token_hash
    )
    select coalesce(array_agg(i.token_hash), '{}') into new_tokens from inserted i;

    -- A statement of its own, which sees the tokens that others consumed while this one waited for them.
    return query
    with arrived as materialized (
        select d.id, d.workspace_id, d.door, decode(d.token_hash, 'hex') as token_hash,
            decode(d.body_hash, 'hex') as body_hash,
            row_number() over (partition by d.token_hash order by d.place) = 1 as is_first
        from rows from (
            json_to_recordset(requests) as (id uuid, workspace_id uuid, token_hash text, door text, body_hash text)
        ) with ordinality as d(id, workspace_id, token_hash, door, body_hash, place)
    ), judged as materialized (
        select a.id, a.workspace_id, case
            when a.token_hash is not null and not exists (
                select from webhook_tokens t
                where t.token_hash = a.token_hash and t.door = a.door and t.body_hash = a.body_hash
            ) then 'refused'
            when a.workspace_id is not null and not exists (select from workspaces w where w.id = a.workspace_id)
                then 'missing'
            when a.token_hash is not null and not (a.is_first and a.token_hash = any(new_tokens)) then 'repeated'
            else 'stored' end as outcome
        from arrived a
    ), brought as materialized (
        select e.* from rows from (
            json_to_recordset(events) as
                (request uuid, id uuid, provider text, event_id text, sandbox boolean, body jsonb)
        ) with ordinality as e(request, id, provider, event_id, sandbox, body, place)
    ), inserted as (
        insert into inbound_events as i (id, provider, event_id, workspace_id, body, sandbox)
        select b.id, b.provider, b.event_id, j.workspace_id, b.body, b.sandbox
        from brought b join judged j on j.id = b.request
        where j.outcome = 'stored' order by b.provider, b.event_id, b.sandbox, b.place
        on conflict do nothing returning i.id
    )
    select j.id, j.outcome,
        array(select b.id from brought b where b.request = j.id and b.id in (select i.id from inserted i) order by b.place)
    from judged j;
end
$$;
revoke execute on function store_webhooks(json, json, integer) from public;
grant execute on function store_webhooks(json, json, integer) to beckon_app, beckon_service;

call transfer_function_ownership();
