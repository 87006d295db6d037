-- PostgreSQL's statistics do not mislead it: webhooks are stored through keys, and an import analyzes what it filled.

-- As in 0066, but for the look-ups: PostgreSQL reads all of a table for `exists`, to hash it, where it believes it small.
set local role beckon_service;
drop function store_webhooks(json, json, integer);
set local role none;

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
            when a.token_hash is not null and (
                select (t.door, t.body_hash) = (a.door, a.body_hash) from webhook_tokens t where t.token_hash = a.token_hash
            ) is not true then 'refused'
            when a.workspace_id is not null and (select w.id from workspaces w where w.id = a.workspace_id) is null
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


-- Gives PostgreSQL statistics of the contacts; the dashboard, which may not, calls it after an import. Does nothing while
-- another session holds the table, as one that analyzes it.
create function analyze_contacts() returns void
    language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '1s' as $$
begin
    analyze contacts;
exception when lock_not_available then
    null;
end
$$;
revoke execute on function analyze_contacts() from public;
grant execute on function analyze_contacts() to beckon_app, beckon_service;

-- With the new one among those that need the tables' owner.
create or replace procedure transfer_function_ownership() language plpgsql set search_path = public, pg_temp as $$
declare
    functions constant regprocedure[] := array(
        select p.oid from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proowner <> 'beckon_service'::regrole
            and p.proname not in ('create_partition', 'drop_partition', 'analyze_contacts'));
    moved regprocedure;
begin
    if functions = '{}' then
        return;
    end if;
    -- Whoever is to own a function must be allowed to make one; beckon_service is for this moment alone.
    grant create on schema public to beckon_service;
    foreach moved in array functions loop
        execute format('alter function %s owner to beckon_service', moved);
    end loop;
    revoke create on schema public from beckon_service;
end
$$;

call transfer_function_ownership();
