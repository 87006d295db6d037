-- How many rows fell into the default partitions because their month had no partition, as counts only: the dashboard sees
-- no rows. Retention keeps rows there on purpose: those of months that it dropped, which are older than `keep_days`.

create function default_partition_facts(keep_days integer) returns table (executions bigint, steps bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
    with bound as materialized (
        select lowest_id_at(date_trunc('month', beckon_now() - make_interval(days => keep_days), 'UTC')) as id
    )
    -- A scrape needs no exact number of many.
    select
        (select count(*) from (
            select from executions_default e where e.id >= (select b.id from bound b) limit 10000) counted_executions),
        (select count(*) from (
            select from steps_default s where s.execution_id >= (select b.id from bound b) limit 10000) counted_steps)
$$;

revoke execute on function default_partition_facts(integer) from public;
grant execute on function default_partition_facts(integer) to beckon_app, beckon_service;

call transfer_function_ownership();
