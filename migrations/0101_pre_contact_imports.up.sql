-- Imports of contacts that are too large for one request: a worker writes them batch by batch.

set local lock_timeout = '5s';
alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
    check (kind in ('retry', 'cancel', 'discard', 'sent', 'resend', 'look_up', 'import'));
-- What an import did so far, in people: {"created", "updated", "repeated"}.
alter table operations add column counts jsonb not null default '{}';

-- The parts of an import. One that is still to be written has its valid rows as JSON; the transaction that writes its
-- contacts removes them, so that a repeated batch finds nothing.
create table contact_import_batches (
    operation_id uuid not null references operations on delete cascade,
    position integer not null,
    workspace_id uuid not null references workspaces on delete cascade,
    valid_rows text,
    -- The problems of invalid rows with their cells: [[line, field, message, cells, merge]].
    rejected text not null default '[]',
    -- The contacts of its rows, until the import ends: a later batch may name them again.
    contact_ids text[] not null default '{}',
    primary key (operation_id, position)
);
create index contact_import_batches_workspace on contact_import_batches (workspace_id);
alter table contact_import_batches enable row level security, force row level security;
create policy own_workspace on contact_import_batches to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on contact_import_batches to beckon_service using (true) with check (true);
grant select, insert, update, delete on contact_import_batches to beckon_app, beckon_service;
