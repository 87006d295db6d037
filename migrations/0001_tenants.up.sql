-- Who may do what: the clock, workspaces, people, keys, and the audit log.

-- The application's idea of now: the one SQL function that knows BECKON_CLOCK_OFFSET, which every connection carries
-- as the setting beckon.clock_offset (seconds). Its Python twin is clock.now().
create function beckon_now() returns timestamptz
    language sql stable parallel safe
    as $$ select now() + make_interval(secs => coalesce(nullif(current_setting('beckon.clock_offset', true), ''), '0')::float8) $$;

-- The workspace that a request acts as; null outside of one, and then row security shows nothing.
create function acting_workspace() returns uuid
    language sql stable parallel safe
    as $$ select nullif(current_setting('beckon.workspace', true), '')::uuid $$;

create table workspaces (
    id uuid primary key,
    slug text not null unique,
    name text not null,
    timezone text not null default 'UTC',
    demo boolean not null default false,
    created_at timestamptz not null default beckon_now()
);

create table users (
    id uuid primary key,
    email text not null,
    name text not null default '',
    password_hash text not null,
    created_at timestamptz not null default beckon_now()
);
create unique index users_email on users (lower(email));

create table memberships (
    workspace_id uuid not null references workspaces on delete cascade,
    user_id uuid not null references users on delete cascade,
    role text not null check (role in ('owner', 'operator', 'viewer')),
    created_at timestamptz not null default beckon_now(),
    primary key (workspace_id, user_id)
);
create index memberships_user on memberships (user_id);

-- A signed-in browser. The cookie holds the token, this table only its hash.
create table sessions (
    token_hash bytea primary key,
    user_id uuid not null references users on delete cascade,
    workspace_id uuid not null references workspaces on delete cascade,
    created_at timestamptz not null default beckon_now(),
    expires_at timestamptz not null
);
create index sessions_expires on sessions (expires_at);

create table api_keys (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    name text not null,
    prefix text not null,
    secret_hash bytea not null unique,
    scopes text[] not null check (scopes <@ array['trigger', 'track', 'read', 'write']),
    created_at timestamptz not null default beckon_now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_workspace on api_keys (workspace_id, id);

-- Public keys of the browser script, bound to origins.
create table site_keys (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    name text not null,
    key text not null unique,
    origins text[] not null,
    created_at timestamptz not null default beckon_now(),
    revoked_at timestamptz
);
create index site_keys_workspace on site_keys (workspace_id, id);

-- Every change that a person or a program made by hand: who, what, on which object.
create table audit (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    actor_kind text not null check (actor_kind in ('user', 'api_key', 'command', 'system')),
    actor_id uuid,
    actor_name text not null,
    action text not null,
    object_kind text not null,
    object_id text not null,
    detail jsonb not null default '{}',
    at timestamptz not null default beckon_now()
);
create index audit_workspace on audit (workspace_id, id desc);
