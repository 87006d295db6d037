drop table private_replies;
alter table messages drop column detail;
