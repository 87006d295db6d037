-- The first of three steps that partition executions and steps by the months of the executions' ids: these tables become
-- the first partition as they are, without a copy. This one states the upper bound of their ids, for new rows alone and
-- thus at once; 0091 validates it while programs go on; 0092 replaces the tables.
--
-- The bound is the end of the month that lasts two days more at least: no id reaches it before 0092 is applied.
set local lock_timeout = '10s';

do $$
declare
    upper constant timestamptz :=
        (date_trunc('month', (beckon_now() + interval '2 days') at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    bound constant uuid := lowest_id_at(upper);
    is_reached boolean;
begin
    set local role beckon_service;
    select exists (select from executions where id >= bound) or exists (select from steps where execution_id >= bound)
        into is_reached;
    set local role none;
    if is_reached then
        raise exception 'there are executions with ids of the future, or with ids that are no UUIDs of version 7';
    end if;
    execute format('alter table executions add constraint executions_bound check (id < %L) not valid', bound);
    execute format('alter table steps add constraint steps_bound check (execution_id < %L) not valid', bound);
end
$$;
