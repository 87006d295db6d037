-- How many automatic messages a contact's event has answered in a row; null for every trigger that is no contact's event.

set local lock_timeout = '10s';
alter table triggers add column loop_depth integer;
