revoke insert (id, workspace_id, name, prefix, secret_hash, scopes), update (last_used_at, revoked_at) on api_keys
    from beckon_app;
grant insert, update on api_keys to beckon_app;

set local role beckon_service;
drop function start_session(bytea, uuid, uuid, interval, text, bytea), find_session(bytea), find_credentials(bytea[]);
set local role none;
grant insert on sessions to beckon_app;

create function find_session(wanted bytea)
    returns table (user_id uuid, email text, name text, workspace_id uuid, role text, expires_at timestamptz,
        deployment_owner boolean)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name, s.workspace_id, m.role, s.expires_at, u.deployment_owner
       from sessions s join users u on u.id = s.user_id
       join memberships m on m.user_id = s.user_id and m.workspace_id = s.workspace_id
       where s.token_hash = wanted and session_lasts(s.expires_at, s.used_at) $$;

create function find_credentials(hashes bytea[])
    returns table (hash bytea, workspace_id uuid, scopes text[], role text)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select k.secret_hash, k.workspace_id, k.scopes, null::text
       from api_keys k where k.secret_hash = any (hashes) and k.revoked_at is null
       union all
       select s.token_hash, s.workspace_id, null::text[], m.role
       from sessions s
       join memberships m on m.user_id = s.user_id and m.workspace_id = s.workspace_id
       where s.token_hash = any (hashes) and session_lasts(s.expires_at, s.used_at) $$;

revoke execute on function find_session(bytea), find_credentials(bytea[]) from public;
grant execute on function find_session(bytea), find_credentials(bytea[]) to beckon_app, beckon_service;
call hand_functions_over();
