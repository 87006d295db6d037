drop function find_api_key(bytea);
create function find_api_key(wanted bytea)
    returns table (id uuid, workspace_id uuid, name text, scopes text[])
    language sql stable security definer set search_path = public, pg_temp as
    $$ select k.id, k.workspace_id, k.name, k.scopes from api_keys k where k.secret_hash = wanted and k.revoked_at is null $$;

drop function find_session(bytea);
create function find_session(wanted bytea)
    returns table (user_id uuid, email text, name text, workspace_id uuid, role text, expires_at timestamptz)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name, s.workspace_id, m.role, s.expires_at
       from sessions s join users u on u.id = s.user_id
       join memberships m on m.user_id = s.user_id and m.workspace_id = s.workspace_id
       where s.token_hash = wanted and s.expires_at > beckon_now() $$;

revoke execute on function find_api_key(bytea), find_session(bytea) from public;
grant execute on function find_api_key(bytea), find_session(bytea) to beckon_app, beckon_service;

alter table users drop column deployment_owner;
alter table api_keys drop column deployment_owner;
alter table api_keys drop constraint api_keys_scopes_check;
-- A key that could only do what owners do can do nothing without its scope.
update api_keys set scopes = array_remove(scopes, 'admin');
alter table api_keys add constraint api_keys_scopes_check check (scopes <@ array['trigger', 'track', 'read', 'write']);
