drop table contact_tasks, suppressions, contacts;
