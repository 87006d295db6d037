-- A changed name is written to the audit logs that show it, and an account that lost its address invites nobody.

-- Changing the own name is a change like others: it answers the workspaces whose audit logs say so, and nothing where
-- the name was the same.
set local role beckon_service;
drop function rename_person(bytea, text);
set local role none;
create function rename_person(session bytea, new_name text)
    returns table (workspace_id uuid, former_name text)
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    person uuid;
    former text;
begin
    select u.id, u.name into person, former
        from users u join find_session(session) s on s.user_id = u.id for no key update of u;
    if person is null or former = new_name then
        return;
    end if;
    update users set name = new_name where id = person;
    return query select m.workspace_id, former from memberships m where m.user_id = person;
end
$$;
revoke execute on function rename_person(bytea, text) from public;
grant execute on function rename_person(bytea, text) to beckon_app, beckon_service;

-- An account that lost its address cannot sign in, so what it invited ends as well.
create or replace function is_pending(invitation invitations) returns boolean
    language sql stable as $$
    select invitation.expires_at > beckon_now() and case invitation.actor_kind
        when 'user' then exists (
            select 1 from memberships m join users u on u.id = m.user_id
            where m.workspace_id = invitation.workspace_id and m.user_id = invitation.actor_id and m.role = 'owner'
                and u.email is not null)
        when 'api_key' then exists (
            select 1 from api_keys k where k.id = invitation.actor_id and k.revoked_at is null)
        else true end
$$;

call hand_functions_over();
