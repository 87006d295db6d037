-- What Meta calls an account in its own comments, by which other events of that account are told from a person's.

set local lock_timeout = '10s';
alter table accounts add column username text, add column scoped_id text;
