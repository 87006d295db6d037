drop procedure hand_functions_over();
alter procedure transfer_function_ownership() rename to hand_functions_over;

-- The earlier version does not know these jobs; without a success it does not report them as overdue.
update periodic_jobs set last_succeeded_at = null where name in ('notifications', 'reconciliations', 'rollups');

drop view cap_places, duties;
alter index cap_reservations_contact rename to cap_places_contact;
alter table cap_reservations rename to cap_places;
alter table periodic_jobs rename to duties;

do $$
declare
    new record;
begin
    for new in
        select k.conrelid::regclass as relation, k.conname as name, v.old_table, v.new_table
        from (values ('duties', 'periodic_jobs'), ('cap_places', 'cap_reservations')) v (old_table, new_table)
        join pg_constraint k on k.conrelid = v.old_table::regclass and starts_with(k.conname, v.new_table || '_')
    loop
        execute format('alter table %s rename constraint %I to %I',
            new.relation, new.name, new.old_table || substr(new.name, length(new.new_table) + 1));
    end loop;
end
$$;
