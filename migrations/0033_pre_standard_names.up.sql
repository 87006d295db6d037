-- Two tables, three periodic jobs and a procedure get the standard names that the code uses. Programs of the earlier
-- version use the old names: of the tables by views, which they read and write like tables.

alter table duties rename to periodic_jobs;
alter table cap_places rename to cap_reservations;
alter index cap_places_contact rename to cap_reservations_contact;

-- Primary keys, and since PostgreSQL 18 the constraints of `not null` as well.
do $$
declare
    old record;
begin
    for old in
        select k.conrelid::regclass as relation, k.conname as name, v.old_table, v.new_table
        from (values ('duties', 'periodic_jobs'), ('cap_places', 'cap_reservations')) v (old_table, new_table)
        join pg_constraint k on k.conrelid = v.new_table::regclass and starts_with(k.conname, v.old_table || '_')
    loop
        execute format('alter table %s rename constraint %I to %I',
            old.relation, old.name, old.new_table || substr(old.name, length(old.old_table) + 1));
    end loop;
end
$$;

-- As their caller: row security and grants of the tables apply.
create view duties with (security_invoker = true) as select * from periodic_jobs;
create view cap_places with (security_invoker = true) as select * from cap_reservations;
grant select on duties to beckon_app;
grant select, insert, update, delete on duties to beckon_service;
grant select, insert, update, delete on cap_places to beckon_app, beckon_service;

-- Copied, because a scheduler of the earlier version still writes the old rows; 0034 deletes them.
insert into periodic_jobs (name, last_succeeded_at, last_failed_at, last_error, counts)
select v.new_name, j.last_succeeded_at, j.last_failed_at, j.last_error, j.counts
from (values ('bells', 'notifications'), ('look_ups', 'reconciliations'), ('tallies', 'rollups')) v (old_name, new_name)
join periodic_jobs j on j.name = v.old_name
on conflict (name) do nothing;

alter procedure hand_functions_over() rename to transfer_function_ownership;
create procedure hand_functions_over() language sql set search_path = public, pg_temp as
    'call transfer_function_ownership()';
revoke execute on procedure hand_functions_over() from public;
