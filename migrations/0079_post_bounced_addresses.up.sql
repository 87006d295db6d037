-- Programs of the earlier version have ended: a bounce belongs to its address alone, and only there.
set local role beckon_service;
insert into suppressed_addresses (id, workspace_id, channel, address, reason, created_at)
select gen_random_uuid(), s.workspace_id, s.channel, s.address, s.reason, s.created_at
from suppressions s where s.address is not null
on conflict do nothing;
delete from suppressions where reason = 'bounced' and address is not null;
