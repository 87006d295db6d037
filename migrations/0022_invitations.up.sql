-- People join a workspace by an invitation, and only they ever see or set their password.

drop function add_person(uuid, text, text, text);

-- When a link that was mailed to the address proved it. Without it, anybody may have named the address.
alter table users add column verified_at timestamptz;
-- The address of the first owner is generated, and nobody may take it over.
update users set verified_at = beckon_now() where deployment_owner;
grant select (verified_at) on users to beckon_app;
-- An account that lost its address to the person who proved it keeps its memberships, and cannot sign in.
alter table users alter column email drop not null;

-- Pending invitations: one that is accepted, revoked or replaced is deleted, and the audit log says so.
create table invitations (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    email text not null,
    role text not null check (role in ('owner', 'operator', 'viewer')),
    -- Whoever accepts may look at the deployment as a whole.
    deployment_owner boolean not null default false,
    -- SHA-256 of the tokens of two links: the one that the inviter sees, and the one that is mailed and so proves the
    -- address.
    shown_hash bytea not null unique,
    mailed_hash bytea not null unique,
    actor_kind text not null check (actor_kind in ('user', 'api_key', 'command', 'system')),
    actor_id uuid,
    actor_name text not null,
    created_at timestamptz not null default beckon_now(),
    expires_at timestamptz not null
);
create unique index invitations_address on invitations (workspace_id, email);
alter table invitations enable row level security;
create policy own_workspace on invitations to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on invitations to beckon_service using (true) with check (true);
-- Not deployment_owner: only the command gives that.
grant insert (id, workspace_id, email, role, shown_hash, mailed_hash, actor_kind, actor_id, actor_name, expires_at)
    on invitations to beckon_app;
grant select, delete on invitations to beckon_app;
grant select, insert, update, delete on invitations to beckon_service;

-- Whether an invitation can be accepted: in time, and whoever made it could still make it.
create function is_pending(invitation invitations) returns boolean
    language sql stable as $$
    select invitation.expires_at > beckon_now() and case invitation.actor_kind
        when 'user' then exists (
            select 1 from memberships m where m.workspace_id = invitation.workspace_id
                and m.user_id = invitation.actor_id and m.role = 'owner')
        when 'api_key' then exists (
            select 1 from api_keys k where k.id = invitation.actor_id and k.revoked_at is null)
        else true end
$$;

create function find_invitation(link_hash bytea)
    returns table (id uuid, workspace_id uuid, workspace_name text, email text, role text, actor_name text,
        expires_at timestamptz)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select i.id, i.workspace_id, w.name, i.email, i.role, i.actor_name, i.expires_at
       from invitations i join workspaces w on w.id = i.workspace_id
       where link_hash in (i.shown_hash, i.mailed_hash) and is_pending(i) $$;

-- An account by its address, whether or not it is a member of anything.
create function find_account(address text)
    returns table (user_id uuid, email text, name text, password_hash text)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select u.id, u.email, u.name, u.password_hash from users u where lower(u.email) = lower(address) $$;

-- Makes an account a member by an invitation's link. No row where the link is dead; `outcome` is *accepted*, or
-- *member* where the account is one already, and then nothing changes.
create function accept_invitation(link_hash bytea, account uuid)
    returns table (outcome text, invitation_id uuid, workspace_id uuid, role text)
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    invitation invitations;
begin
    -- Of two who accept at once, the second waits here, and then finds nothing.
    select i.* into invitation from invitations i
        where link_hash in (i.shown_hash, i.mailed_hash) and is_pending(i) for update;
    if not found then
        return;
    end if;
    insert into memberships (workspace_id, user_id, role) values (invitation.workspace_id, account, invitation.role)
        on conflict do nothing;
    if not found then
        return query select 'member', invitation.id, invitation.workspace_id, invitation.role;
        return;
    end if;
    update users u set
        deployment_owner = u.deployment_owner or invitation.deployment_owner,
        verified_at = case when link_hash = invitation.mailed_hash and lower(u.email) = lower(invitation.email)
            then coalesce(u.verified_at, beckon_now()) else u.verified_at end
        where u.id = account;
    delete from invitations i where i.id = invitation.id;
    return query select 'accepted', invitation.id, invitation.workspace_id, invitation.role;
end
$$;

-- The same with a new account for the invited address. An address that has an account is *taken*, unless the link was
-- mailed and the account never proved the address: then that account loses it, with its sessions and its password.
create function create_invited_account(link_hash bytea, new_id uuid, new_name text, new_hash text)
    returns table (outcome text, invitation_id uuid, workspace_id uuid, role text)
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    invitation invitations;
    former users;
begin
    select i.* into invitation from invitations i
        where link_hash in (i.shown_hash, i.mailed_hash) and is_pending(i) for update;
    if not found then
        return;
    end if;
    select u.* into former from users u where lower(u.email) = lower(invitation.email) for update;
    if found and (link_hash <> invitation.mailed_hash or former.verified_at is not null) then
        return query select 'taken', invitation.id, invitation.workspace_id, invitation.role;
        return;
    end if;
    delete from sessions s where s.user_id = former.id;
    update users u set email = null, password_hash = '' where u.id = former.id;
    insert into users (id, email, name, password_hash, verified_at) values (new_id, invitation.email, new_name, new_hash,
        case when link_hash = invitation.mailed_hash then beckon_now() end)
        on conflict do nothing;
    if not found then
        -- Another workspace's invitation made an account of the address meanwhile.
        return query select 'taken', invitation.id, invitation.workspace_id, invitation.role;
        return;
    end if;
    return query select * from accept_invitation(link_hash, new_id);
end
$$;

revoke execute on function find_invitation(bytea), find_account(text), accept_invitation(bytea, uuid),
    create_invited_account(bytea, uuid, text, text) from public;
grant execute on function find_invitation(bytea), find_account(text), accept_invitation(bytea, uuid),
    create_invited_account(bytea, uuid, text, text) to beckon_app, beckon_service;
