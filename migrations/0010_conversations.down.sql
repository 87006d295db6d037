drop table received_messages, conversations, accounts;
