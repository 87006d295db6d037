-- What the columns of imported files of contacts become, by their names, as the workspace's last imports had them.

set local lock_timeout = '5s';
alter table workspaces add column import_columns jsonb not null default '{}';
