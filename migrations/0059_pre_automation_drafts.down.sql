alter table workflow_versions drop column note;
alter table automations drop column draft_saved_at, drop column draft_saved_by;
