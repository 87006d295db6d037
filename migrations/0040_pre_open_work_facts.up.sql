-- What a scrape says of the whole installation beside engine_facts(), as counts only: the dashboard sees no rows.

create function open_work_facts()
    returns table (unknown_undecided bigint, unknown_reconciling bigint, callbacks_unprocessed bigint,
                   callbacks_oldest_seconds float8)
    language sql stable security definer set search_path = public, pg_temp as $$
    select u.undecided, u.reconciling, c.unprocessed, c.oldest_seconds
    from (
        select count(*) filter (where not planned) as undecided, count(*) filter (where planned) as reconciling
        from (
            select bool_or(m.look_up_at is not null) as planned
            from messages m join executions e on e.id = m.execution_id
            where m.status = 'outcome_unknown' and not m.test
                and e.status = 'failed' and e.error_class = 'unknown_outcome'
            group by e.id
        ) of_execution
    ) u, (
        select count(*) as unprocessed,
            coalesce(extract(epoch from beckon_now() - min(received_at)), 0)::float8 as oldest_seconds
        from inbound_events where processed_at is null
    ) c
$$;

create function pause_facts() returns table (kind text, name text, reason text, workspaces bigint)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select kind, name, reason, count(*) from pauses group by kind, name, reason $$;

revoke execute on function open_work_facts(), pause_facts() from public;
grant execute on function open_work_facts(), pause_facts() to beckon_app, beckon_service;

call transfer_function_ownership();
