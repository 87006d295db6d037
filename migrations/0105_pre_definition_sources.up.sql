-- The text of a definition as its author wrote it, beside the document that the engine runs.
alter table workflow_versions add column source text;
-- A draft may have a text that cannot be parsed, and two people may edit it.
alter table automations
    add column draft_source text,
    add column draft_revision integer not null default 0,
    add column draft_base_version integer;
set local role beckon_service;
update automations set draft_base_version = version, draft_saved_at = coalesce(draft_saved_at, updated_at)
    where draft is not null;
set local role none;
