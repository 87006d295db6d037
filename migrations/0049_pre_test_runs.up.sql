-- Sample contacts of tests, and the test runs that create three automations, execute them and delete them again.

-- Nobody real: no list, count or search has a sample contact, and only test executions may message one.
alter table contacts add column sample boolean not null default false;
create index contacts_samples on contacts (workspace_id, updated_at) where sample;

-- Earlier tests left theirs among the workspace's contacts.
set local role beckon_service;
update contacts c set sample = true
where c.external_id ~ '^sample-[0-9]+$' and c.email = c.external_id || '@example.com' and c.tags = array['sample']
    and not exists (select from executions e where e.contact_id = c.id and not e.test);
drop function find_contacts(text, uuid, tsquery, text, text, uuid, uuid, integer);
set local role none;

create function find_contacts(
    given text, own uuid, words tsquery, tag text, channel text, lowest uuid, below uuid, most integer
) returns setof uuid language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    mine constant text := 'c.workspace_id = $1 and c.deleted_at is null and not c.sample'
        || case when lowest is not null then ' and c.id >= $6' else '' end
        || case when below is not null then ' and c.id < $7' else '' end;
    fits constant text := case when given is null then ''
            else ' and (c.external_id = $2 or c.email = lower($2) or c.phone = $2'
                || case when words is null then '' else ' or c.search @@ $3' end
                || case when own is null then ')' else ' or c.id = $9)' end end
        || case when tag is null then '' else ' and c.tags @> array[$4]' end;
    newest constant text := ' order by c.id desc limit $8';
    found uuid[];
begin
    -- Suppressed contacts are few beside all: the others' conditions are looked at on these alone.
    if channel is not null or (given is null and tag is null) then
        return query execute 'select c.id from contacts c where ' || mine || fits
            || case when channel is null then '' else ' and exists (select from suppressions s where s.workspace_id = $1 '
                'and s.contact_id = c.id and (s.channel = $5 or $5 = ''any''))' end || newest
            using acting_workspace(), given, words, tag, channel, lowest, below, most, own;
        return;
    end if;
    -- Nobody knows beforehand how often the beginning of a word occurs. What is common is found among the newest
    -- contacts, at a bounded price; what is not found there is rare enough to be gathered by its index and sorted.
    execute 'select array_agg(c.id) from (select c.id from (select * from contacts c where ' || mine
        || ' order by c.id desc limit 10000) c where true' || fits || newest || ') c'
        into found using acting_workspace(), given, words, tag, channel, lowest, below, most, own;
    if cardinality(found) = most then
        return query select unnest(found);
    else
        return query execute 'with c as materialized (select c.id from contacts c where ' || mine || fits
            || ') select c.id from c' || newest
            using acting_workspace(), given, words, tag, channel, lowest, below, most, own;
    end if;
end
$$;
revoke execute on function find_contacts(text, uuid, tsquery, text, text, uuid, uuid, integer) from public;
grant execute on function find_contacts(text, uuid, tsquery, text, text, uuid, uuid, integer) to beckon_app, beckon_service;

create table test_runs (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    status text not null default 'running' check (status in ('running', 'passed', 'failed')),
    steps jsonb not null default '[]',
    cleaned_up boolean not null default false,
    cancel_requested boolean not null default false,
    started_by text not null,
    started_at timestamptz not null default beckon_now(),
    -- When the process that executes the run last wrote; a sweep ends a run that is silent.
    seen_at timestamptz not null default beckon_now(),
    finished_at timestamptz
);
create unique index test_runs_running on test_runs (workspace_id) where status = 'running';
create index test_runs_newest on test_runs (workspace_id, id desc);

alter table test_runs enable row level security;
alter table test_runs force row level security;
create policy own_workspace on test_runs to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on test_runs to beckon_service using (true) with check (true);
grant select, insert, update, delete on test_runs to beckon_app, beckon_service;

-- An automation of a test run is created deleted, so that no list, count or card has it.
alter table automations add column test_run_id uuid references test_runs;
create index automations_test_run on automations (test_run_id) where test_run_id is not null;

call transfer_function_ownership();
