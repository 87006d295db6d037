create or replace function is_pending(invitation invitations) returns boolean
    language sql stable as $$
    select invitation.expires_at > beckon_now() and case invitation.actor_kind
        when 'user' then exists (
            select 1 from memberships m where m.workspace_id = invitation.workspace_id
                and m.user_id = invitation.actor_id and m.role = 'owner')
        when 'api_key' then exists (
            select 1 from api_keys k where k.id = invitation.actor_id and k.revoked_at is null)
        else true end
$$;

set local role beckon_service;
drop function rename_person(bytea, text);
set local role none;
create function rename_person(session bytea, new_name text) returns void
    language sql security definer set search_path = public, pg_temp as
    $$ update users u set name = new_name from find_session(session) s where u.id = s.user_id $$;
revoke execute on function rename_person(bytea, text) from public;
grant execute on function rename_person(bytea, text) to beckon_app, beckon_service;

call hand_functions_over();
