-- The secret that signs a workspace's outgoing webhooks is derived from this version; the one before it stays valid for
-- a day after a rotation.

alter table workspaces
    add column webhook_secret_version integer not null default 0,
    add column webhook_secret_rotated_at timestamptz;
