drop table audit, site_keys, api_keys, sessions, memberships, users, workspaces;
drop function acting_workspace();
drop function beckon_now();
