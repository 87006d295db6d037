drop function find_credentials(bytea[]);

create or replace function find_session(wanted bytea)
    returns table (user_id uuid, email text, name text, workspace_id uuid, role text, expires_at timestamptz,
        deployment_owner boolean)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name, s.workspace_id, m.role, s.expires_at, u.deployment_owner
       from sessions s join users u on u.id = s.user_id
       join memberships m on m.user_id = s.user_id and m.workspace_id = s.workspace_id
       where s.token_hash = wanted and s.expires_at > beckon_now() $$;

drop function session_lasts(timestamptz, timestamptz);
alter table sessions drop column used_at;
