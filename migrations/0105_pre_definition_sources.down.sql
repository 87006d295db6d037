alter table automations drop column draft_base_version, drop column draft_revision, drop column draft_source;
alter table workflow_versions drop column source;
