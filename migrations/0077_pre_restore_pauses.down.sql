set local lock_timeout = '5s';
-- Nothing may be sent that an operator has not resumed.
set local role beckon_service;
update pauses set reason = 'operator' where reason = 'restore';
set local role none;
alter table pauses drop constraint pauses_reason_check,
    add constraint pauses_reason_check check (reason in ('operator', 'configuration'));
