-- A session also ends after twelve idle hours, and one question says which keys and sessions of open streams still are.

alter table sessions add column used_at timestamptz not null default beckon_now();
grant update (used_at) on sessions to beckon_app;

create function session_lasts(expires timestamptz, used timestamptz) returns boolean
    language sql stable parallel safe
    as $$ select expires > beckon_now() and used > beckon_now() - interval '12 hours' $$;

create or replace function find_session(wanted bytea)
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

revoke execute on function find_credentials(bytea[]) from public;
grant execute on function find_credentials(bytea[]) to beckon_app, beckon_service;
