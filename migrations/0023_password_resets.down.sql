drop function workspaces_of(bytea), rename_person(bytea, text), change_password(bytea, text, text),
    reset_password(bytea, text), find_password_reset(bytea);
drop table password_resets;
