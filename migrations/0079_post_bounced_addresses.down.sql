-- The earlier version knows a bounce by the contact that has the address.
set local role beckon_service;
insert into suppressions (workspace_id, contact_id, channel, address, reason, created_at)
select a.workspace_id, c.id, a.channel, a.address, a.reason, a.created_at
from suppressed_addresses a
join contacts c on c.workspace_id = a.workspace_id and c.deleted_at is null and a.address = case a.channel
    when 'email' then c.email when 'sms' then c.phone when 'facebook' then c.facebook_id else c.instagram_id end
where a.reason = 'bounced'
on conflict do nothing;
