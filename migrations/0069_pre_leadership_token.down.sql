alter table leadership drop column token;
