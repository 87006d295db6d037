-- Suppressions of addresses: they outlive the contact. A contact's own suppressions stay beside them.

-- A random key of each workspace, encrypted and never replaced: of an erased address only its keyed hash is kept.
create table address_keys (
    workspace_id uuid primary key references workspaces on delete cascade,
    value text not null,
    created_at timestamptz not null default beckon_now()
);

create table suppressed_addresses (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    channel text not null,
    -- Normalized; null once it is erased.
    address text,
    -- Null for rows of earlier versions until the address is erased.
    address_hash bytea,
    reason text not null check (
        reason in ('bounced', 'complained', 'unsubscribed', 'stopped', 'blocked', 'operator')),
    created_at timestamptz not null default beckon_now(),
    constraint suppressed_addresses_identified check (address is not null or address_hash is not null)
);
create unique index suppressed_addresses_by_address on suppressed_addresses (workspace_id, channel, address, reason);
create unique index suppressed_addresses_by_hash on suppressed_addresses (workspace_id, address_hash, reason);
create index suppressed_addresses_newest on suppressed_addresses (workspace_id, id desc);
create index suppressed_addresses_search on suppressed_addresses (workspace_id, address text_pattern_ops);

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array['address_keys', 'suppressed_addresses'] loop
        execute format('alter table %I enable row level security, force row level security', tenant_table);
        execute format('create policy own_workspace on %I to beckon_app using (workspace_id = acting_workspace()) '
            'with check (workspace_id = acting_workspace())', tenant_table);
        execute format('create policy whole on %I to beckon_service using (true) with check (true)', tenant_table);
        execute format('grant select, insert, update, delete on %I to beckon_app, beckon_service', tenant_table);
    end loop;
end
$$;
revoke update, delete on address_keys from beckon_app;

alter table suppressions drop constraint suppressions_reason_check, add constraint suppressions_reason_check check (
    reason in ('bounced', 'complained', 'unsubscribed', 'stopped', 'blocked', 'operator')) not valid;
alter table suppressions validate constraint suppressions_reason_check;

set local role beckon_service;
insert into suppressed_addresses (id, workspace_id, channel, address, reason, created_at)
-- An id by time, as programs make them.
select (lpad(to_hex((extract(epoch from s.created_at) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid,
    s.workspace_id, s.channel, s.address, s.reason, s.created_at
from suppressions s where s.address is not null
on conflict do nothing;
set local role none;

-- The suppressed channels of a contact, its own and those of the addresses that it has now: one row for each, with the
-- reason that weighs most. A bounce belongs to its address alone.
create function suppressed_channels(workspace uuid, contact uuid)
    returns table (channel text, address text, reason text, created_at timestamptz)
    language sql stable as $$
    select distinct on (f.channel) f.channel, f.address, f.reason, f.created_at from (
        select s.channel, s.address, s.reason, s.created_at from suppressions s
        where s.workspace_id = suppressed_channels.workspace and s.contact_id = suppressed_channels.contact
            and (s.reason <> 'bounced' or s.address is null)
        union all
        select a.channel, a.address, a.reason, a.created_at
        from contacts c
        cross join lateral (values ('email', c.email), ('sms', c.phone), ('facebook', c.facebook_id),
            ('instagram', c.instagram_id)) v (channel, address)
        join suppressed_addresses a
            on a.workspace_id = c.workspace_id and a.channel = v.channel and a.address = v.address
        where c.id = suppressed_channels.contact and c.workspace_id = suppressed_channels.workspace
    ) f order by f.channel, f.reason = 'unsubscribed', f.created_at
$$;

-- The contacts with a suppression of this channel or, with 'any', of one; in no order, and some twice.
create function suppressed_contacts(workspace uuid, via text) returns setof uuid language sql stable as $$
    select s.contact_id from suppressions s
    where s.workspace_id = workspace and via in (s.channel, 'any') and (s.reason <> 'bounced' or s.address is null)
    union all
    select c.id from suppressed_addresses a
    join contacts c on c.email = a.address and c.workspace_id = a.workspace_id and c.deleted_at is null
    where a.workspace_id = workspace and a.channel = 'email' and via in (a.channel, 'any')
    union all
    select c.id from suppressed_addresses a
    join contacts c on c.phone = a.address and c.workspace_id = a.workspace_id and c.deleted_at is null
    where a.workspace_id = workspace and a.channel = 'sms' and via in (a.channel, 'any')
    union all
    select c.id from suppressed_addresses a
    join contacts c on c.facebook_id = a.address and c.workspace_id = a.workspace_id and c.deleted_at is null
    where a.workspace_id = workspace and a.channel = 'facebook' and via in (a.channel, 'any')
    union all
    select c.id from suppressed_addresses a
    join contacts c on c.instagram_id = a.address and c.workspace_id = a.workspace_id and c.deleted_at is null
    where a.workspace_id = workspace and a.channel = 'instagram' and via in (a.channel, 'any')
$$;

-- Words of opt-out count as unsubscriptions.
drop trigger record_unsubscription on suppressions;
create trigger record_unsubscription after insert on suppressions for each row
    when (new.reason in ('unsubscribed', 'stopped')) execute function record_unsubscription();

-- Also finds contacts by the suppressions of their addresses.
set local role beckon_service;
drop function find_contacts(text, uuid, tsquery, text, text, uuid, uuid, integer);
set local role none;
create function find_contacts(
    given text, own uuid, words tsquery, tag text, channel text, lowest uuid, below uuid, most integer
) returns setof uuid language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    mine constant text := 'c.workspace_id = $1 and c.deleted_at is null and not c.sample'
        || case when lowest is not null then ' and c.id >= $6' else '' end
        || case when below is not null then ' and c.id < $7' else '' end;
    fits constant text := case when given is null then ''
            else ' and (c.external_id = $2 or c.email = lower($2) or c.phone = $2'
                || case when words is null then '' else ' or c.search @@ $3' end
                || case when own is null then ')' else ' or c.id = $9)' end end
        || case when tag is null then '' else ' and c.tags @> array[$4]' end;
    newest constant text := ' order by c.id desc limit $8';
    found uuid[];
begin
    -- Suppressed contacts are few beside all: the others' conditions are looked at on these alone.
    if channel is not null or (given is null and tag is null) then
        return query execute 'select c.id from contacts c where ' || mine || fits
            || case when channel is null then '' else ' and c.id in (select suppressed_contacts($1, $5))' end || newest
            using acting_workspace(), given, words, tag, channel, lowest, below, most, own;
        return;
    end if;
    -- Nobody knows beforehand how often the beginning of a word occurs. What is common is found among the newest
    -- contacts, at a bounded price; what is not found there is rare enough to be gathered by its index and sorted.
    execute 'select array_agg(c.id) from (select c.id from (select * from contacts c where ' || mine
        || ' order by c.id desc limit 10000) c where true' || fits || newest || ') c'
        into found using acting_workspace(), given, words, tag, channel, lowest, below, most, own;
    if cardinality(found) = most then
        return query select unnest(found);
    else
        return query execute 'with c as materialized (select c.id from contacts c where ' || mine || fits
            || ') select c.id from c' || newest
            using acting_workspace(), given, words, tag, channel, lowest, below, most, own;
    end if;
end
$$;
revoke execute on function find_contacts(text, uuid, tsquery, text, text, uuid, uuid, integer) from public;
grant execute on function find_contacts(text, uuid, tsquery, text, text, uuid, uuid, integer) to beckon_app, beckon_service;

call transfer_function_ownership();
