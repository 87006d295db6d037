alter table workspaces drop column import_columns;
