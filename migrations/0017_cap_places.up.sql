-- Rounds that may send to a contact under a frequency cap: each counts as a message from the moment it was judged until
-- its message is sent, or it is known that none will be.

create table cap_places (
    execution_id uuid not null,
    round integer not null,
    workspace_id uuid not null,
    contact_id uuid not null,
    taken_at timestamptz not null default beckon_now(),
    primary key (execution_id, round)
);
create index cap_places_contact on cap_places (contact_id);
alter table cap_places enable row level security;
create policy own_workspace on cap_places to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on cap_places to beckon_service using (true) with check (true);
grant select, insert, update, delete on cap_places to beckon_app, beckon_service;
