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
            || case when channel is null then '' else ' and exists (select from suppressions s where s.workspace_id = $1 '
                'and s.contact_id = c.id and (s.channel = $5 or $5 = ''any''))' end || newest
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

-- An opt-out by word was an unsubscription before.
set local role beckon_service;
update suppressions set reason = 'unsubscribed' where reason = 'stopped';
set local role none;
drop trigger record_unsubscription on suppressions;
create trigger record_unsubscription after insert on suppressions for each row
    when (new.reason = 'unsubscribed') execute function record_unsubscription();
alter table suppressions drop constraint suppressions_reason_check, add constraint suppressions_reason_check check (
    reason in ('bounced', 'complained', 'unsubscribed', 'blocked', 'operator'));
drop function suppressed_channels(uuid, uuid), suppressed_contacts(uuid, text);
drop table suppressed_addresses, address_keys;

call transfer_function_ownership();
