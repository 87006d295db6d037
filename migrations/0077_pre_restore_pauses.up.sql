-- `beckon up --paused` pauses the providers of every workspace after a restore, until an operator resumes them.

set local lock_timeout = '5s';
alter table pauses drop constraint pauses_reason_check,
    add constraint pauses_reason_check check (reason in ('operator', 'configuration', 'restore'));
