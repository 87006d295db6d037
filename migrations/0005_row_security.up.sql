-- Tenants are apart: row security on every table that belongs to a workspace.
--
-- beckon_app (dashboard and API) sees only the workspace it acts as, and nothing without one. beckon_service (workers
-- and the scheduler) sees all. Neither owns a table. Both roles were made before the migrations ran.

grant usage on schema public to beckon_app, beckon_service;

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array[
        'memberships', 'api_keys', 'site_keys', 'audit', 'contacts', 'suppressions', 'contact_tasks', 'automations',
        'workflow_versions', 'automation_schedules', 'pauses', 'triggers', 'idempotency_keys', 'executions', 'steps',
        'stage_history', 'messages', 'limit_counts', 'limit_reservations', 'operations'
    ] loop
        execute format('alter table %I enable row level security', tenant_table);
        execute format(
            'create policy own_workspace on %I to beckon_app using (workspace_id = acting_workspace()) '
            'with check (workspace_id = acting_workspace())', tenant_table);
        execute format('create policy whole on %I to beckon_service using (true) with check (true)', tenant_table);
        execute format('grant select, insert, update, delete on %I to beckon_app, beckon_service', tenant_table);
    end loop;
end
$$;

alter table workspaces enable row level security;
create policy own_workspace on workspaces to beckon_app using (id = acting_workspace());
create policy whole on workspaces to beckon_service using (true) with check (true);
grant select, update on workspaces to beckon_app;
grant select, insert, update, delete on workspaces to beckon_service;

-- The log is only written to.
revoke update, delete on audit from beckon_app, beckon_service;

-- A callback names no workspace until its message is found: the door may write it, only the service reads it.
alter table inbound_events enable row level security;
create policy received on inbound_events for insert to beckon_app with check (true);
create policy whole on inbound_events to beckon_service using (true) with check (true);
grant insert on inbound_events to beckon_app;
grant select, insert, update, delete on inbound_events to beckon_service;

-- People belong to no single workspace. Their rows are reached by e-mail or session only, through the functions below.
alter table users enable row level security;
create policy fellow_members on users for select to beckon_app using (
    id in (select m.user_id from memberships m where m.workspace_id = acting_workspace()));
create policy whole on users to beckon_service using (true) with check (true);
-- Not the hash of the password: a sign-in asks find_sign_in.
grant select (id, email, name, created_at) on users to beckon_app;
grant select, insert, update, delete on users to beckon_service;

alter table sessions enable row level security;
create policy own_workspace on sessions to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on sessions to beckon_service using (true) with check (true);
grant select, insert, delete on sessions to beckon_app;
grant select, insert, update, delete on sessions to beckon_service;

grant select on duties, leadership to beckon_app;
grant select, insert, update, delete on duties, leadership to beckon_service;

-- The five doors through which a request finds its workspace: each takes a secret or its hash and answers one row.
create function find_api_key(wanted bytea)
    returns table (id uuid, workspace_id uuid, name text, scopes text[])
    language sql stable security definer set search_path = public, pg_temp as
    $$ select k.id, k.workspace_id, k.name, k.scopes from api_keys k where k.secret_hash = wanted and k.revoked_at is null $$;

create function find_site_key(wanted text)
    returns table (id uuid, workspace_id uuid, origins text[])
    language sql stable security definer set search_path = public, pg_temp as
    $$ select k.id, k.workspace_id, k.origins from site_keys k where k.key = wanted and k.revoked_at is null $$;

create function find_sign_in(wanted text)
    returns table (user_id uuid, email text, name text, password_hash text, workspace_id uuid, role text)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name, u.password_hash, m.workspace_id, m.role
       from users u join memberships m on m.user_id = u.id where lower(u.email) = lower(wanted) order by m.created_at $$;

create function find_session(wanted bytea)
    returns table (user_id uuid, email text, name text, workspace_id uuid, role text, expires_at timestamptz)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name, s.workspace_id, m.role, s.expires_at
       from sessions s join users u on u.id = s.user_id
       join memberships m on m.user_id = s.user_id and m.workspace_id = s.workspace_id
       where s.token_hash = wanted and s.expires_at > beckon_now() $$;

create function find_hook(wanted bytea)
    returns table (workspace_id uuid, automation_id uuid)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select a.workspace_id, a.id from automations a
       where a.hook_token_hash = wanted and a.deleted_at is null and a.trigger_type = 'hook' $$;

revoke execute on function find_api_key(bytea), find_site_key(text), find_sign_in(text), find_session(bytea),
    find_hook(bytea) from public;
grant execute on function find_api_key(bytea), find_site_key(text), find_sign_in(text), find_session(bytea),
    find_hook(bytea) to beckon_app, beckon_service;
