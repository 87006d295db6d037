-- Who saved a draft and when, so that an editor never overwrites another one's; and what a version changes, in words.
alter table automations add column draft_saved_at timestamptz, add column draft_saved_by text;
alter table workflow_versions add column note text;
