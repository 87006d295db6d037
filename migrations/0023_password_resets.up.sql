-- People change their own name and password, and look into each of their workspaces.

-- A link with which a person sets a new password, printed by the command. Belongs to a person, not to a workspace: the
-- dashboard reaches it through the functions below.
create table password_resets (
    token_hash bytea primary key,
    user_id uuid not null unique references users on delete cascade,
    expires_at timestamptz not null
);
alter table password_resets enable row level security;
create policy whole on password_resets to beckon_service using (true) with check (true);
grant select, insert, update, delete on password_resets to beckon_service;

-- An account that lost its address to somebody else cannot be reset.
create function find_password_reset(link_hash bytea)
    returns table (user_id uuid, email text, name text)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name from password_resets r join users u on u.id = r.user_id
       where r.token_hash = link_hash and r.expires_at > beckon_now() and u.email is not null $$;

-- Sets the password by a reset's link, once, and ends every session of the person; their workspaces, null for a dead
-- link.
create function reset_password(link_hash bytea, new_hash text) returns uuid[]
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    person uuid;
begin
    delete from password_resets r using users u
        where r.token_hash = link_hash and r.expires_at > beckon_now() and u.id = r.user_id and u.email is not null
        returning r.user_id into person;
    if person is null then
        return null;
    end if;
    update users set password_hash = new_hash where id = person;
    delete from sessions where user_id = person;
    return array(select m.workspace_id from memberships m where m.user_id = person);
end
$$;

-- Changes the password of the person behind a session, where the hash of the old one is still `old_hash`, and ends
-- their other sessions; their workspaces, null where nothing was changed.
create function change_password(session bytea, old_hash text, new_hash text) returns uuid[]
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    person uuid;
begin
    update users u set password_hash = new_hash from find_session(session) s
        where u.id = s.user_id and u.password_hash = old_hash returning u.id into person;
    if person is null then
        return null;
    end if;
    delete from sessions where user_id = person and token_hash <> session;
    delete from password_resets where user_id = person;
    return array(select m.workspace_id from memberships m where m.user_id = person);
end
$$;

create function rename_person(session bytea, new_name text) returns void
    language sql security definer set search_path = public, pg_temp as
    $$ update users u set name = new_name from find_session(session) s where u.id = s.user_id $$;

-- The workspaces of the person behind a session, with their role in each.
create function workspaces_of(session bytea)
    returns table (id uuid, name text, role text)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select w.id, w.name, m.role from find_session(session) s join memberships m on m.user_id = s.user_id
       join workspaces w on w.id = m.workspace_id order by w.name, w.id $$;

revoke execute on function find_password_reset(bytea), reset_password(bytea, text), change_password(bytea, text, text),
    rename_person(bytea, text), workspaces_of(bytea) from public;
grant execute on function find_password_reset(bytea), reset_password(bytea, text), change_password(bytea, text, text),
    rename_person(bytea, text), workspaces_of(bytea) to beckon_app, beckon_service;
