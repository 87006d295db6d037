-- What health and metrics say of the whole installation, as counts only: the dashboard may ask, but sees no rows.

create function engine_facts()
    returns table (pending bigint, running bigint, waiting bigint, due bigint, oldest_due_seconds float8,
                   leases_expired bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
    select
        (select count(*) from executions where status = 'pending' and due_at is not null),
        (select count(*) from executions where status = 'running'),
        (select count(*) from executions where status = 'waiting'),
        d.due, d.oldest_due_seconds,
        (select count(*) from executions where status = 'running' and lease_until < beckon_now())
    from (
        select count(*) as due,
            coalesce(extract(epoch from beckon_now() - min(due_at)), 0)::float8 as oldest_due_seconds
        from executions where status in ('pending', 'waiting') and due_at is not null and due_at <= beckon_now()
    ) d
$$;

create function newest_migration() returns text
    language sql stable security definer set search_path = public, pg_temp as
    $$ select max(name) from schema_hashes $$;

revoke execute on function engine_facts(), newest_migration() from public;
grant execute on function engine_facts(), newest_migration() to beckon_app, beckon_service;
