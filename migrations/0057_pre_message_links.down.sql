drop trigger record_linked_message on messages;
drop function record_linked_message();
set local role beckon_service;
drop function follow_message_link(text, boolean);
set local role none;
drop table message_links;
