-- A session starts only from a proof that still holds, and only the service says who may look at the deployment.

-- Starts a session for a member, in place of the session `former`; false where the account, its membership or the proof
-- is not what it was. The proof is the hash of the password that was given, or else the session `former`. The account
-- is locked: whoever changes its password or takes its address over ends this session too, or is seen here. A session
-- that another one proves ends when that one would have, so that a stolen cookie cannot be kept alive for good.
create function start_session(new_session bytea, account uuid, workspace uuid, lifetime interval, proven_hash text,
    former bytea) returns boolean
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    present_hash text;
    ends_at timestamptz := beckon_now() + lifetime;
begin
    select u.password_hash into present_hash from users u where u.id = account and u.email is not null for share;
    if not found or proven_hash <> present_hash then
        return false;
    end if;
    if proven_hash is null and former is not null then
        select s.expires_at into ends_at from find_session(former) s where s.user_id = account;
        if not found then
            return false;
        end if;
    end if;
    perform from memberships m where m.user_id = account and m.workspace_id = workspace for share;
    if not found then
        return false;
    end if;
    delete from sessions s where s.token_hash = former;
    insert into sessions (token_hash, user_id, workspace_id, expires_at)
        values (new_session, account, workspace, ends_at);
    return true;
end
$$;
revoke execute on function start_session(bytea, uuid, uuid, interval, text, bytea) from public;
grant execute on function start_session(bytea, uuid, uuid, interval, text, bytea) to beckon_app, beckon_service;
revoke insert on sessions from beckon_app;

-- An account that lost its address has no sessions, however they came to be.
set local role beckon_service;
drop function find_session(bytea), find_credentials(bytea[]);
set local role none;

create function find_session(wanted bytea)
    returns table (user_id uuid, email text, name text, workspace_id uuid, role text, expires_at timestamptz,
        deployment_owner boolean)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name, s.workspace_id, m.role, s.expires_at, u.deployment_owner
       from sessions s join users u on u.id = s.user_id
       join memberships m on m.user_id = s.user_id and m.workspace_id = s.workspace_id
       where s.token_hash = wanted and session_lasts(s.expires_at, s.used_at) and u.email is not null $$;

create function find_credentials(hashes bytea[])
    returns table (hash bytea, workspace_id uuid, scopes text[], role text)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select k.secret_hash, k.workspace_id, k.scopes, null::text
       from api_keys k where k.secret_hash = any (hashes) and k.revoked_at is null
       union all
       select s.token_hash, s.workspace_id, null::text[], m.role
       from sessions s join users u on u.id = s.user_id
       join memberships m on m.user_id = s.user_id and m.workspace_id = s.workspace_id
       where s.token_hash = any (hashes) and session_lasts(s.expires_at, s.used_at) and u.email is not null $$;

revoke execute on function find_session(bytea), find_credentials(bytea[]) from public;
grant execute on function find_session(bytea), find_credentials(bytea[]) to beckon_app, beckon_service;

-- The dashboard issues keys, notes their use and revokes them. It gives no key more afterwards, and makes none that may
-- look at the deployment as a whole.
revoke insert, update on api_keys from beckon_app;
grant insert (id, workspace_id, name, prefix, secret_hash, scopes) on api_keys to beckon_app;
grant update (last_used_at, revoked_at) on api_keys to beckon_app;

call hand_functions_over();
