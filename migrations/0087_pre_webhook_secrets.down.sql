alter table workspaces drop column webhook_secret_version, drop column webhook_secret_rotated_at;
