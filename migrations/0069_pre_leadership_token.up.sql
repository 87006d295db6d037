-- The token of the scheduler that leads: each takeover replaces it, and every transaction of a periodic job compares it.
-- A scheduler of the earlier version leaves it as it is and replaces host and pid, which the renewal compares, too.

alter table leadership add column token uuid not null default gen_random_uuid();
