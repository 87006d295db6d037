drop function create_invited_account(bytea, uuid, text, text);
drop function accept_invitation(bytea, uuid);
drop function find_account(text);
drop function find_invitation(bytea);
drop function is_pending(invitations);
drop table invitations;

-- An account that lost its address is reached by nobody with this one either.
update users set email = id || '@removed.invalid' where email is null;
alter table users alter column email set not null;
alter table users drop column verified_at;

create function add_person(new_id uuid, new_email text, new_name text, new_hash text)
    returns table (id uuid, is_new boolean)
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if acting_workspace() is null then
        raise exception 'a person is added to the workspace that is acted as';
    end if;
    insert into users (id, email, name, password_hash) values (new_id, new_email, new_name, new_hash)
        on conflict (lower(email)) do nothing;
    return query select u.id, u.id = new_id from users u where lower(u.email) = lower(new_email);
end
$$;

revoke execute on function add_person(uuid, text, text, text) from public;
grant execute on function add_person(uuid, text, text, text) to beckon_app, beckon_service;
